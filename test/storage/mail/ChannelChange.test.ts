/** A mailbox that is read over another channel from now on. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Option } from "effect"
import { Settings } from "../../../src/domain/Settings.ts"
import type { RemoteMessage, Upsert } from "../../../src/mail/Mailbox.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { Folders } from "../../../src/storage/mail/Folders.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { onDatabases } from "../../support/databases.ts"
import { acquireLease, changesOf, mailStorage, page, remoteFolder, upsert } from "../../support/mail.ts"
import { MessageWriter as WriterOf } from "../../../src/storage/mail/MessageWriter.ts"
import { mailbox } from "../../support/mailbox.ts"

const storage = Layer.mergeAll(mailStorage, Accounts.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({})))))

const graph = [
  remoteFolder("AAinbox", { displayName: "Posteingang", role: "inbox", parentRemoteId: "root" }),
  remoteFolder("AAclients", { displayName: "Clients", parentRemoteId: "root" }),
  remoteFolder("AAnorth", { displayName: "North", parentRemoteId: "AAclients" }),
  remoteFolder("AAold", { displayName: "Only in Graph", parentRemoteId: "root" }),
]
const imap = [
  remoteFolder("INBOX", { role: "inbox" }),
  remoteFolder("Clients", {}),
  remoteFolder("Clients/North", { displayName: "North", parentRemoteId: "Clients" }),
  remoteFolder("Only in IMAP", {}),
]
const gmail = [
  remoteFolder("all", { displayName: "All Mail", role: "archive" }),
  remoteFolder("INBOX", { role: "inbox", followedBy: "all" }),
  remoteFolder("Label_1", { displayName: "Clients/North", followedBy: "all" }),
]

const letter = (remoteId: string, name: string, fields: Partial<RemoteMessage> = {}): Upsert =>
  upsert(remoteId, {
    subject: name,
    receivedAt: DateTime.makeUnsafe("2026-03-01T10:00:00.000Z"),
    internetMessageId: `<${name}@example.com>`,
    ...fields,
  })

await onDatabases("Change of channel", storage, (it) => {
  it.effect("keeps account, folders and mail, and logs true differences only", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const folders = yield* Folders
      const messages = yield* Messages
      const box = yield* mailbox({ listing: graph, synced: true })
      const inGraph = { threadId: "conversation", preview: "hi", html: "<p>hi</p>", text: "hi" }
      yield* box.apply(
        "AAinbox",
        page(letter("g1", "one", inGraph), letter("g2", "two", inGraph), letter("g3", "three")),
      )
      yield* box.apply("AAnorth", page(letter("g4", "four", inGraph), letter("g5", "one")))
      yield* box.apply("AAold", page(letter("g6", "six")))
      const before = yield* messages.list({ accountId: box.account.id, limit: 50 })
      const count = (yield* changesOf(box.account.id)).length

      Option.getOrThrow(yield* accounts.patch(box.account.id, { channel: "imap" }))
      // Whoever was reading the mailbox must not go on.
      assert.strictEqual((yield* Effect.flip(box.apply("AAinbox", page(letter("g9", "late")))))._tag, "LeaseLost")
      const lease = yield* acquireLease(box.account.id)
      assert.strictEqual(lease.account.channel, "imap")
      const earlier = yield* folders.states(lease)
      assert.isTrue(earlier.every((state) => state.earlier && state.cursor === null && !state.listed))
      const states = yield* folders.store(lease, earlier, imap)
      const known = new Map(box.states)
      const now = new Map(states.map((state) => [state.remoteId, state]))
      assert.deepStrictEqual(
        [now.get("INBOX")!.id, now.get("Clients")!.id, now.get("Clients/North")!.id],
        [known.get("AAinbox")!.id, known.get("AAclients")!.id, known.get("AAnorth")!.id],
      )
      assert.isTrue(states.find(({ id }) => id === known.get("AAold")!.id)!.gone)
      assert.isTrue(states.every(({ earlier, origin }) => !earlier && origin === "reconcile"))

      const next = { ...box, lease }
      box.states.clear()
      for (const state of states) box.states.set(state.remoteId, state)
      const write = (name: string, ...changes: ReadonlyArray<Upsert>) =>
        Effect.flatMap(WriterOf, (writer) => writer.applyPage(next.lease, now.get(name)!, page(...changes)))
      const inImap = (twinKey: string) => ({ twinKey, size: 5, preview: "Hi…", threadId: null })
      yield* write(
        "INBOX",
        { ...letter("INBOX/7.1", "one", { size: 5, preview: "Hi…" }), twinKey: "<one@example.com>" },
        { ...letter("INBOX/7.2", "two", { size: 5, isRead: true }), twinKey: "<two@example.com>" },
        { ...letter("INBOX/7.3", "new", { size: 5 }), twinKey: inImap("<new@example.com>").twinKey },
      )
      yield* write(
        "Clients/North",
        { ...letter("Clients/North/3.1", "one"), twinKey: "<one@example.com>" },
        { ...letter("Clients/North/3.2", "four"), twinKey: "<four@example.com>" },
      )
      yield* write("Clients")
      yield* write("Only in IMAP", { ...letter("Only in IMAP/1.1", "six"), twinKey: "<six@example.com>" })
      yield* Effect.flatMap(WriterOf, (writer) => Effect.flatMap(writer.now, (time) => writer.settle(lease, time)))

      const entries = (yield* changesOf(box.account.id)).slice(count)
      assert.deepStrictEqual(entries.map(({ fields, kind, origin }) => [kind, fields ?? [], origin]), [
        ["message.updated", ["isRead"], "reconcile"],
        ["message.created", [], "reconcile"],
        ["message.moved", [], "reconcile"],
        ["message.deleted", [], "reconcile"],
      ])
      const after = yield* messages.list({ accountId: box.account.id, limit: 50 })
      const ids = (items: typeof before.items) => new Map(items.map(({ id, subject }) => [id, subject]))
      const kept = [...ids(after.items)].filter(([id]) => ids(before.items).has(id))
      assert.deepStrictEqual(kept.map(([, subject]) => subject).toSorted(), ["four", "one", "one", "six", "two"])
      assert.strictEqual(after.items.length, 6)
      const [one] = (yield* messages.list({ accountId: box.account.id, q: "one", folder: "inbox", limit: 1 })).items
      // Its body is not asked for again.
      assert.strictEqual(one!.bodyState, "complete")
      const account = Option.getOrThrow(yield* accounts.get(box.account.id))
      assert.strictEqual(account.sync.messages, 6)
    }))

  it.effect("goes over to one history for all folders, and back", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const folders = yield* Folders
      const writer = yield* WriterOf
      const box = yield* mailbox({ listing: imap, synced: true })
      yield* box.apply("INBOX", page({ ...letter("INBOX/1.1", "one"), twinKey: "k" }, letter("INBOX/1.2", "two")))
      yield* box.apply("Clients/North", page(letter("Clients/North/1.1", "three"), letter("Clients/North/1.2", "gone")))
      yield* box.apply("Clients/North", page(letter("Clients/North/1.3", "one")))
      const count = (yield* changesOf(box.account.id)).length
      for (const [channel, listing] of [["gmail", gmail], ["imap", imap]] as const) {
        yield* accounts.patch(box.account.id, { channel })
        const lease = yield* acquireLease(box.account.id)
        const states = yield* folders.store(lease, yield* folders.states(lease), listing)
        const state = (name: string) => states.find(({ remoteId }) => remoteId === name)!
        if (channel === "gmail") {
          const inFolder = (folderRemoteId: string, upsert: Upsert): Upsert => ({ ...upsert, folderRemoteId })
          yield* writer.applyPage(
            lease,
            state("all"),
            page(
              inFolder("INBOX", letter("m1", "one")),
              inFolder("INBOX", letter("m2", "two")),
              inFolder("Label_1", letter("m3", "three")),
              inFolder("all", letter("m5", "one")),
            ),
          )
        } else {
          yield* writer.applyPage(lease, state("INBOX"), page(letter("INBOX/2.1", "one"), letter("INBOX/2.2", "two")))
          yield* writer.applyPage(lease, state("Clients/North"), page(letter("Clients/North/2.1", "three")))
          yield* writer.applyPage(lease, state("Only in IMAP"), page(letter("Only in IMAP/2.1", "one")))
        }
        yield* Effect.flatMap(writer.now, (time) => writer.settle(lease, time))
      }
      const kinds = (yield* changesOf(box.account.id)).slice(count).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds.filter((kind) => kind !== "message.moved"), ["message.deleted"])
      const account = Option.getOrThrow(yield* accounts.get(box.account.id))
      assert.strictEqual(account.sync.messages, 4)
    }))
})
