import { assert } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { Database } from "../../../src/storage/Database.ts"
import { Folders } from "../../../src/storage/mail/Folders.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { SyncLeases } from "../../../src/storage/mail/SyncLeases.ts"
import { onDatabases } from "../../support/databases.ts"
import {
  acquireLease,
  changesOf,
  mailStorage,
  middlePage,
  page,
  remoteFolder,
  removed,
  upsert,
} from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const one = upsert("1", { subject: "one" })
const two = upsert("2", { subject: "two" })

await onDatabases("MessageWriter", mailStorage, (it, engine) => {
  it.effect("stores a first listing as backfill, and what comes later as live", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", middlePage(one))
      yield* box.apply("A", page(two))
      yield* box.apply("A", page(upsert("3", { subject: "three" })))
      const origins = (yield* changesOf(box.account.id)).map(({ origin }) => origin)
      assert.deepStrictEqual(origins, ["backfill", "backfill", "live"])
      assert.deepStrictEqual(yield* box.log, ["created A", "created A", "created A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["one", "three", "two"], B: [], C: [] })
    }))

  it.effect("calls a new folder of a synced account live", () =>
    Effect.gen(function* () {
      const box = yield* mailbox({ synced: true })
      yield* box.apply("A", page(one))
      assert.strictEqual((yield* changesOf(box.account.id))[0]?.origin, "live")
    }))

  it.effect("merges updates and logs true differences only", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const box = yield* mailbox()
      const receivedAt = DateTime.makeUnsafe("2026-03-01T10:00:00.000Z")
      const whole = {
        subject: "one",
        from: { name: "Ada", address: "ada@example.com" },
        to: [{ name: "Lin", address: "lin@example.com" }],
        receivedAt,
        categories: ["red"],
        threadId: "T",
        html: "<p>hi</p>",
        text: "hi",
      }
      yield* box.apply("A", page(upsert("1", whole)))
      yield* box.log
      yield* box.apply("A", page(upsert("1", whole)))
      yield* box.apply("A", page(upsert("1", {})))
      assert.deepStrictEqual(yield* box.log, [])

      yield* box.apply("A", page(upsert("1", { isRead: true, to: [], text: "another rendering", html: "<p>hi</p>" })))
      yield* box.apply("A", page(upsert("1", { from: null, subject: "one" })))
      yield* box.apply("A", page(upsert("1", { categories: [], text: "plain", html: null })))
      assert.deepStrictEqual(yield* box.log, [
        "updated A to+isRead",
        "updated A from",
        "updated A categories+text+html",
      ])

      const [listed] = (yield* messages.list({ accountId: box.account.id, limit: 1 })).items
      const message = (yield* messages.get(listed!.id)).pipe((option) =>
        option._tag === "Some" ? option.value : undefined
      )
      assert.strictEqual(message?.isRead, true)
      assert.strictEqual(message?.from, null)
      assert.strictEqual(message?.threadId, "T")
      assert.strictEqual(message?.text, "plain")
      assert.strictEqual(message?.html, null)
      assert.deepStrictEqual(message?.receivedAt, receivedAt)
    }))

  it.effect("takes the last word where a message comes more than once, and ignores unknown removals", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply(
        "A",
        page(
          removed("9"),
          one,
          upsert("1", { isRead: true }),
          two,
          removed("2"),
          removed("3"),
          upsert("3", { subject: "three" }),
        ),
      )
      yield* box.apply("A", page(one, one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["created A", "created A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["one", "three"], B: [], C: [] })
    }))

  for (const order of ["removal first", "arrival first"]) {
    it.effect(`tells a move as one move, ${order}`, () =>
      Effect.gen(function* () {
        const box = yield* mailbox()
        yield* box.apply("A", page(one, two))
        yield* box.log
        const leaves = box.apply("A", page(removed("1")))
        const arrives = box.apply("B", page(upsert("1", { subject: "one", isRead: true })))
        yield* order === "removal first" ? Effect.andThen(leaves, arrives) : Effect.andThen(arrives, leaves)
        yield* box.settle
        assert.deepStrictEqual(yield* box.log, ["moved B isRead"])
        assert.deepStrictEqual(yield* box.holds, { A: ["two"], B: ["one"], C: [] })
      }))
  }

  it.effect("follows a message there and back, and from folder to folder", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(one))
      yield* box.apply("B", page(one))
      yield* box.apply("A", page(removed("1")))
      yield* box.apply("C", page(one))
      yield* box.apply("B", page(removed("1")))
      yield* box.apply("A", page(one))
      yield* box.apply("C", page(removed("1")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["created A", "moved B", "moved C", "moved A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["one"], B: [], C: [] })
    }))

  it.effect("keeps a message whose old folder told late that it was there", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(one))
      // The move's arrival is written before a page of A that was read earlier.
      yield* box.apply("B", page(one))
      yield* box.apply("A", page(upsert("1", { isRead: true })))
      yield* box.apply("A", page(removed("1")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.holds, { A: [], B: ["one"], C: [] })
      assert.deepStrictEqual(yield* box.log, ["created A", "moved B", "moved A isRead", "moved B"])
      yield* box.apply("B", page(removed("1")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["deleted B"])
    }))

  it.effect("deletes at settling only, and only what left before the given time", () =>
    Effect.gen(function* () {
      const writer = yield* MessageWriter
      const box = yield* mailbox()
      yield* box.apply("A", page(one, two))
      yield* box.log
      const time = yield* writer.now
      assert.strictEqual((yield* box.apply("A", page(removed("1")))).left, 1)
      assert.strictEqual(yield* writer.unsettled(box.lease, time), true)
      assert.strictEqual(yield* writer.settle(box.lease, time), 0)
      assert.deepStrictEqual(yield* box.log, [])
      assert.strictEqual((yield* box.apply("A", page(removed("1")))).left, 0)
      assert.strictEqual(yield* box.settle, 1)
      assert.deepStrictEqual(yield* box.log, ["deleted A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["two"], B: [], C: [] })
    }))

  it.effect("takes a removal back when the folder shows the message again", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(one))
      yield* box.apply("A", page(removed("1")))
      yield* box.apply("A", page(one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["created A"])
    }))

  it.effect("reconciles after a lost cursor: true differences, old data kept until the listing is complete", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      const kept = upsert("3", { subject: "three" })
      yield* box.apply("A", page(one, two, kept))
      yield* box.apply("B", page(upsert("4", { subject: "four" })))
      yield* box.log
      yield* box.restart("A")
      yield* box.apply("A", middlePage(upsert("5", { subject: "five" }), one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.holds, { A: ["five", "one", "three", "two"], B: ["four"], C: [] })
      // In the meantime 2 was moved to B.
      yield* box.apply("B", page(two))
      yield* box.apply("A", page(upsert("3", { subject: "3" })))
      yield* box.apply("A", page(one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["created A", "moved B", "updated A subject"])
      assert.deepStrictEqual(yield* box.holds, { A: ["3", "five", "one"], B: ["four", "two"], C: [] })

      yield* box.restart("B")
      yield* box.apply("B", page(two))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["deleted B"])
      const origins = (yield* changesOf(box.account.id)).slice(4).map(({ kind, origin }) => `${kind} ${origin}`)
      assert.deepStrictEqual(origins, [
        "message.created reconcile",
        "message.moved live",
        "message.updated reconcile",
        "message.deleted reconcile",
      ])
    }))

  it.effect("reconciles a folder that a moved message had left unseen", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(one))
      yield* box.apply("B", page(one))
      // A lost its cursor before it told that 1 left: its listing does not show it.
      yield* box.restart("A")
      yield* box.apply("A", page())
      yield* box.apply("B", page(removed("1")))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["created A", "moved B", "deleted B"])
    }))

  it.effect("empties a folder that is gone, and forgets it once its mail is settled", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const writer = yield* MessageWriter
      const box = yield* mailbox()
      yield* box.apply("A", page(one, two, upsert("3", { subject: "three" })))
      yield* box.apply("B", page(two))
      yield* box.log
      assert.deepStrictEqual(yield* writer.abandon(box.lease, box.folder("A")), { changes: 0, left: 2 })
      yield* box.apply("C", page(one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["moved C", "deleted A"])
      assert.deepStrictEqual((yield* folders.list(box.account.id)).map(({ displayName }) => displayName), ["B", "C"])
    }))

  it.effect("lists a folder afresh that comes back", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const writer = yield* MessageWriter
      const box = yield* mailbox()
      yield* box.apply("A", page(one, two))
      yield* box.log
      yield* writer.abandon(box.lease, box.folder("A"))
      const back = yield* folders.store(box.lease, yield* folders.states(box.lease), [remoteFolder("A")])
      const state = back.find(({ remoteId }) => remoteId === "A")!
      assert.deepStrictEqual([state.cursor, state.listed, state.gone, state.origin], [null, false, false, "reconcile"])
      box.states.set("A", state)
      yield* box.apply("A", page(one))
      yield* box.settle
      assert.deepStrictEqual(yield* box.log, ["deleted A"])
    }))

  it.effect("refuses a stale lease and a page that was read from another position", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const writer = yield* MessageWriter
      const leases = yield* SyncLeases
      const box = yield* mailbox()
      const before = box.folder("A")
      yield* box.apply("A", page(one))
      for (const again of [page(two), middlePage()]) {
        assert.strictEqual((yield* Effect.flip(writer.applyPage(box.lease, before, again)))._tag, "LeaseLost")
      }
      yield* Effect.orDie(sql`update ${t.accounts} set sync_lease_until = now() where id = ${box.account.id}`)
      const taken = yield* acquireLease(box.account.id)
      for (const late of [page(two), middlePage(), page(removed("1"))]) {
        assert.strictEqual((yield* Effect.flip(box.apply("A", late)))._tag, "LeaseLost")
      }
      assert.strictEqual((yield* Effect.flip(writer.abandon(box.lease, before)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(box.restart("A")))._tag, "LeaseLost")
      assert.strictEqual(yield* leases.keep(box.lease), false)
      assert.strictEqual((yield* Effect.flip(leases.succeed(box.lease, 1_000)))._tag, "LeaseLost")
      yield* writer.applyPage(taken, box.folder("A"), page(two))
      assert.deepStrictEqual(yield* box.holds, { A: ["one", "two"], B: [], C: [] })
    }))

  it.effect("bears NUL characters and lone surrogates", () =>
    Effect.gen(function* () {
      const box = yield* mailbox()
      yield* box.apply("A", page(upsert("1", { subject: "a\0b", preview: "\ud800!", text: "\0", categories: ["\0x"] })))
      assert.deepStrictEqual(yield* box.holds, { A: ["ab"], B: [], C: [] })
    }))

  it.effect("writes nothing of a page whose transaction does not end", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const box = yield* mailbox()
      yield* box.apply("A", page(one))
      const failing = sql.withTransaction(Effect.andThen(
        box.apply("B", page(one, two)),
        sql`insert into ${t.meta} (name, value) values ('epoch', '1')`,
      ))
      yield* Effect.flip(failing)
      assert.deepStrictEqual(yield* box.log, ["created A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["one"], B: [], C: [] })
    }))

  if (engine === "postgres") {
    it.effect("writes pages of several folders at once without losing a count", () =>
      Effect.gen(function* () {
        const box = yield* mailbox()
        yield* Effect.forEach(
          ["A", "B", "C"],
          (name) =>
            Effect.forEach([1, 2, 3, 4, 5], (n) =>
              box.apply(
                name,
                middlePage(...Array.from({ length: 5 }, (_, i) => upsert(`${name}${n}${i}`, { subject: "x" }))),
              )),
          { concurrency: "unbounded" },
        )
        const found = yield* box.holds
        assert.deepStrictEqual([found["A"]?.length, found["B"]?.length, found["C"]?.length], [25, 25, 25])
      }))
  }
})
