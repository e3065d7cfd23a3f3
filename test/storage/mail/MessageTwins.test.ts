/** Messages whose ids do not outlive a move, a new numbering of their folder, or a change of channel. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { RemoteMessage } from "../../../src/mail/Mailbox.ts"
import { Folders } from "../../../src/storage/mail/Folders.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../../support/databases.ts"
import { mailStorage, page, remoteFolder, removed, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const twin = (remoteId: string, twinKey: string, fields: Partial<RemoteMessage> = {}) => ({
  ...upsert(remoteId, { subject: twinKey, ...fields }),
  twinKey,
})

await onDatabases("Message twins", mailStorage, (it) => {
  it.effect("tells a move to another id as one move, and a copy as a copy", () =>
    Effect.gen(function* () {
      const writer = yield* MessageWriter
      const box = yield* mailbox()
      yield* box.apply("A", page(twin("A/1", "x", { isRead: false }), twin("A/2", "y")))
      yield* box.log
      // The page of B comes first: the channel is asked whether the one in A is still there.
      const arrival = [twin("B/1", "x", { isRead: true }), twin("B/2", "y")]
      const live = yield* writer.liveTwins(box.lease, box.folder("B"), arrival)
      assert.deepStrictEqual([...live].map(([folder, ids]) => [folder, ids.toSorted()]), [["A", ["A/1", "A/2"]]])
      assert.strictEqual((yield* writer.left(box.lease, "A", ["A/1", "unknown"])).left, 1)
      yield* box.apply("B", page(...arrival))
      yield* box.apply("A", page(removed("A/1")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["moved B isRead", "created B"])
      assert.deepStrictEqual(yield* box.holds, { A: ["y"], B: ["x", "y"], C: [] })
      assert.deepStrictEqual((yield* writer.liveTwins(box.lease, box.folder("B"), arrival)).size, 0)
      assert.deepStrictEqual(yield* writer.left(box.lease, "nowhere", ["B/1"]), { changes: 0, left: 0 })
    }))

  it.effect("pairs one to one, those of the same size first", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const box = yield* mailbox()
      yield* box.apply(
        "A",
        page(
          twin("A/1", "x", { size: 10, preview: "small" }),
          twin("A/2", "x", { size: 20, preview: "large" }),
          twin("A/3", "x", { size: 30, preview: "stays" }),
        ),
      )
      yield* box.log
      yield* box.apply("A", page(removed("A/1"), removed("A/2")))
      yield* box.apply("B", page(twin("B/1", "x", { size: 20 }), twin("B/2", "x", { size: 11 }), twin("B/3", "x")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["moved B", "moved B", "created B"])
      const { items } = yield* messages.list({ accountId: box.account.id, limit: 9 })
      const sizes = items.map(({ preview, size }) => `${preview} ${size}`).toSorted()
      assert.deepStrictEqual(sizes, [" null", "large 20", "small 11", "stays 30"])
    }))

  it.effect("knows messages again after a new numbering of their folder", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(twin("A/7.1", "x"), twin("A/7.2", "y"), twin("A/7.3", "z")))
      yield* box.log
      yield* box.restart("A")
      yield* box.apply("A", page(twin("A/8.1", "y"), twin("A/8.2", "z", { isRead: true }), twin("A/8.3", "new")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["updated A isRead", "created A", "deleted A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["new", "y", "z"], B: [], C: [] })
      // Within one page: an edited draft is another message to IMAP.
      yield* box.apply("A", page(removed("A/8.1"), twin("A/8.9", "y", { subject: "y2" })))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["updated A subject"])
    }))

  it.effect("leaves changes of unknown messages out, and finds known ones", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(twin("A/1", "x")))
      yield* box.log
      yield* box.apply(
        "A",
        page({ ...upsert("A/1", { isRead: true }), ifKnown: true }, {
          ...upsert("A/9", { isRead: true }),
          ifKnown: true,
        }),
      )
      assert.deepStrictEqual(yield* box.log, ["updated A isRead"])
    }))

  it.effect("keeps id, cursor and mail of folders that are renamed, even where two change names", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const box = yield* mailbox()
      yield* box.apply("A", page(twin("A/1.1", "x")))
      yield* box.apply("B", page(twin("B/1.1", "y")))
      yield* box.log
      const before = yield* folders.states(box.lease)
      const ids = before.map(({ id }) => id)
      const after = yield* folders.store(box.lease, before, [
        remoteFolder("B", { renamedFrom: "A" }),
        remoteFolder("A", { renamedFrom: "B" }),
        remoteFolder("D", { renamedFrom: "C" }),
      ])
      assert.deepStrictEqual(after.map(({ id, remoteId }) => [id, remoteId]), [
        [ids[0], "B"],
        [ids[1], "A"],
        [ids[2], "D"],
      ])
      assert.deepStrictEqual(after.map(({ cursor }) => cursor), before.map(({ cursor }) => cursor))
      for (const state of after) box.states.set(state.displayName, state)
      yield* box.apply("A", page({ ...upsert("B/1.1", { isRead: true }), ifKnown: true }))
      assert.deepStrictEqual((yield* box.log).map((line) => line.split(" ")[0]), ["updated"])
      assert.deepStrictEqual(yield* folders.storedIds(box.lease, "B"), ["A/1.1"])
    }))
})
