/** Folders whose changes come with the pages of another one, as the labels of Gmail. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { RemoteMessage } from "../../../src/mail/Mailbox.ts"
import { Folders } from "../../../src/storage/mail/Folders.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../../support/databases.ts"
import { changesOf, mailStorage, page, remoteFolder, removed, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const listing = [
  remoteFolder("all", { role: "archive" }),
  remoteFolder("in", { role: "inbox", followedBy: "all" }),
  remoteFolder("label", { followedBy: "all" }),
]

const at = (folderRemoteId: string, remoteId: string, fields: Partial<RemoteMessage> = {}) => ({
  ...upsert(remoteId, { subject: remoteId, ...fields }),
  folderRemoteId,
})

await onDatabases("Message streams", mailStorage, (it) => {
  it.effect("puts each message into its folder, moves it, and takes it out of the mailbox", () =>
    Effect.gen(function* () {
      const box = yield* mailbox({ listing })
      yield* box.apply(
        "all",
        page(at("in", "1"), at("label", "2"), upsert("3", { subject: "3" }), at("new label", "4")),
      )
      assert.deepStrictEqual(yield* box.log, ["created in", "created label", "created all", "created all"])
      yield* box.apply("all", page(at("label", "1", { isRead: true }), at("in", "2"), at("in", "3"), removed("4")))
      assert.deepStrictEqual(yield* box.log, ["moved label isRead", "moved in", "moved in"])
      yield* box.apply("all", page(at("all", "3"), removed("2"), removed("unknown")))
      yield* box.settle
      assert.deepStrictEqual((yield* box.log).toSorted(), ["deleted all", "deleted in", "moved all"])
      assert.deepStrictEqual(yield* box.holds, { all: ["3"], in: [], label: ["1"] })
    }))

  it.effect("reconciles all folders when the history is lost", () =>
    Effect.gen(function* () {
      const box = yield* mailbox({ listing })
      yield* box.apply("all", page(at("in", "1"), at("label", "2"), at("in", "3")))
      yield* box.log
      yield* box.restart("all")
      yield* box.apply("all", page(at("label", "1"), at("all", "4")))
      yield* box.settle
      assert.deepStrictEqual((yield* box.log).toSorted(), ["created all", "deleted in", "deleted label", "moved label"])
      assert.deepStrictEqual(yield* box.holds, { all: ["4"], in: [], label: ["1"] })
      const origins = (yield* changesOf(box.account.id)).slice(3).map(({ origin }) => origin)
      assert.deepStrictEqual([...new Set(origins)], ["reconcile"])
    }))

  it.effect("hands the mail of a label that is gone up to the folder that tells of it", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const writer = yield* MessageWriter
      const box = yield* mailbox({ listing })
      yield* box.apply("all", page(at("label", "1"), at("in", "2")))
      yield* box.log
      yield* writer.abandon(box.lease, box.folder("label"))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["moved all"])
      assert.deepStrictEqual((yield* folders.list(box.account.id)).map(({ displayName }) => displayName), ["all", "in"])
    }))

  it.effect("writes nothing of a quiet round, and tells of it by the account", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const box = yield* mailbox({ listing })
      yield* box.apply("all", page(at("in", "1")))
      const before = yield* folders.states(box.lease)
      for (const quiet of [page(), { ...page(), cursor: box.folder("all").cursor! }]) {
        assert.strictEqual((yield* box.apply("all", quiet)).changes, 0)
      }
      assert.deepStrictEqual(yield* folders.states(box.lease), before)
      const [all, inbox] = yield* folders.list(box.account.id)
      assert.isNotNull(all!.syncedAt)
      assert.deepStrictEqual(inbox!.syncedAt, all!.syncedAt)
      yield* folders.reconciled(box.lease, box.folder("in"), { remoteMessages: 3, difference: 2 })
      const [, compared] = yield* folders.list(box.account.id)
      assert.deepStrictEqual([compared!.remoteMessages, compared!.difference, compared!.reconciled?.difference], [
        3,
        2,
        2,
      ])
    }))
})
