import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Layer, Stream } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Settings } from "../../../src/domain/Settings.ts"
import { appendChanges } from "../../../src/storage/mail/ChangeLog.ts"
import { Changes } from "../../../src/storage/mail/Changes.ts"
import { Database } from "../../../src/storage/Database.ts"
import { Sweeps } from "../../../src/storage/Sweeps.ts"
import { onDatabases } from "../../support/databases.ts"

const append = (
  accountId: string,
  fields: ReadonlyArray<ReadonlyArray<string>>,
  before: Effect.Effect<unknown> = Effect.void,
) =>
  Effect.flatMap(Database, (database) =>
    Effect.orDie(database.sql.withTransaction(Effect.andThen(
      before,
      appendChanges(
        database,
        fields.map((names) => ({ accountId, kind: "message.updated", origin: "live", fields: names })),
      ),
    ))))

const sweeps = Sweeps.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({ changeDays: 30 }))))

await onDatabases("Changes", Layer.merge(Changes.layer, sweeps), (it, engine) => {
  it.effect("reads entries in order, page by page, and goes on from the last position", () =>
    Effect.gen(function* () {
      const log = yield* Changes
      const account = newId()
      const start = yield* log.latest
      yield* append(account, Array.range(1, 5).map((n) => [String(n), "isRead"]))

      const first = yield* log.list({ after: start, limit: 3 })
      const second = yield* log.list({ after: first.nextCursor, limit: 3 })
      const third = yield* log.list({ after: second.nextCursor, limit: 3 })
      const items = [...first.items, ...second.items]

      assert.deepStrictEqual(items.map(({ fields }) => fields?.[0]), ["1", "2", "3", "4", "5"])
      assert.deepStrictEqual(items.map(({ position }) => position), items.map(({ position }) => position).toSorted())
      assert.strictEqual(second.nextCursor, items[4]?.position)
      assert.deepStrictEqual(third, { items: [], nextCursor: second.nextCursor })
      assert.strictEqual(yield* log.latest, second.nextCursor)
    }))

  it.effect("names a position even where the log is empty", () =>
    Effect.gen(function* () {
      const log = yield* Changes
      const start = yield* log.latest
      yield* append(newId(), [["a"]])
      assert.strictEqual((yield* log.list({ after: start, limit: 10 })).items.length, 1)
    }))

  it.effect("refuses what is no position of this log", () =>
    Effect.gen(function* () {
      const log = yield* Changes
      for (
        const after of [
          "",
          "x",
          "1",
          "0001-1",
          "0001-9999999999999999999",
          "0001-000000000000000000x",
        ]
      ) {
        const error = yield* Effect.flip(log.list({ after, limit: 1 }))
        assert.strictEqual(error._tag, "InvalidCursor", after)
      }
      // Of before a restore, or of a database that was restored and is no more.
      for (const after of ["0000-0000000000000000001", "1772357400-0000000000000000001"]) {
        const error = yield* Effect.flip(log.list({ after, limit: 1 }))
        assert(error._tag === "PositionExpired", after)
        assert.strictEqual(error.position, yield* log.latest)
      }
    }))

  it.effect("keeps the lock of the log from a process that says nothing any more, and limits nothing else", () =>
    Effect.gen(function* () {
      const { sql } = yield* Database
      const limit = Effect.map(
        Effect.orDie(sql<{ limit: string }>`select current_setting('idle_in_transaction_session_timeout') as limit`),
        ([row]) => row?.limit,
      )
      const usual = yield* limit
      assert.notStrictEqual(usual, "15s")
      yield* Effect.orDie(sql.withTransaction(Effect.gen(function* () {
        yield* append(newId(), [["within"]])
        assert.strictEqual(yield* limit, "15s")
      })))
      assert.strictEqual(yield* limit, usual)
    }))

  it.effect("says so where entries after a position are past their time, and leaves no gap that nobody sees", () =>
    Effect.gen(function* () {
      const log = yield* Changes
      const { sql, tables: t } = yield* Database
      const sweep = Effect.flatMap(Sweeps, ({ changes }) => changes)
      const account = newId()
      const names = (items: ReadonlyArray<{ readonly fields?: ReadonlyArray<string> | undefined }>) =>
        items.map(({ fields }) => fields?.[0])
      const before = yield* log.latest
      // A reader that follows, and is slow.
      const slow = yield* Effect.flatMap(log.follow({ after: before }), Stream.toPull)
      yield* append(account, [["1"], ["2"], ["3"], ["4"], ["5"]])
      const { items } = yield* log.list({ after: before, limit: 10 })
      const after = (n: number) => items[n - 1]!.position
      // As if the first three had been there for long.
      yield* sql`update ${t.changes} set at = now() - interval '40 days' where fields[1] <= '3' or account_id <> ${account}`
      yield* sweep

      for (const position of [before, after(1), after(2)]) {
        const reads = [
          Effect.asVoid(log.list({ after: position, limit: 1 })),
          Effect.asVoid(log.follow({ after: position })),
        ]
        for (const read of reads) {
          const error = yield* Effect.flip(read)
          assert(error._tag === "PositionExpired", position)
          assert.strictEqual(error.position, after(5))
          assert.include(error.message, "MAILFLEET_CHANGE_RETENTION_DAYS")
        }
      }
      assert.strictEqual((yield* Effect.flip(slow))?._tag, "PositionExpired")
      assert.deepStrictEqual(names((yield* log.list({ after: after(3), limit: 10 })).items), ["4", "5"])
      // Who knows nothing yet begins at the oldest that is kept, and may go on from what is answered.
      const first = yield* log.list({ limit: 1 })
      assert.deepStrictEqual(names(first.items), ["4"])
      assert.deepStrictEqual(names((yield* log.list({ after: first.nextCursor, limit: 10 })).items), ["5"])
      assert.deepStrictEqual(yield* log.list({ after: "latest", limit: 10 }), { items: [], nextCursor: after(5) })

      // Of an account that is erased nobody is to hear: that is no gap.
      const erased = newId()
      yield* append(erased, [["6"]])
      yield* append(account, [["7"]])
      yield* sql`delete from ${t.changes} where account_id = ${erased}`
      assert.deepStrictEqual(names((yield* log.list({ after: after(5), limit: 10 })).items), ["7"])

      // The log is empty, and positions stay what they are.
      const newest = yield* log.latest
      yield* sql`update ${t.changes} set at = now() - interval '40 days'`
      yield* sweep
      assert.deepStrictEqual(yield* log.list({ limit: 10 }), { items: [], nextCursor: newest })
      assert.deepStrictEqual(yield* log.list({ after: newest, limit: 10 }), { items: [], nextCursor: newest })
      const following = yield* Effect.flatMap(log.follow({ after: "latest" }), Stream.toPull)
      yield* append(account, [["8"]])
      assert.deepStrictEqual(names(yield* following), ["8"])
      assert.deepStrictEqual(names((yield* log.list({ after: newest, limit: 10 })).items), ["8"])
    }).pipe(Effect.scoped))

  it.effect("never skips an entry that commits late", () =>
    Effect.gen(function* () {
      const log = yield* Changes
      const { sql } = yield* Database
      const account = newId()
      const writers = 40
      const each = engine === "postgres" ? 10 : 3
      let after = yield* log.latest

      const writing = yield* Effect.forEach(
        Array.range(1, writers),
        (writer) =>
          Effect.forEach(Array.range(1, each), (n) =>
            append(
              account,
              [[`${writer}.${n}.a`], [`${writer}.${n}.b`]],
              // Transactions of different lengths, so that they would not end in the order that they began.
              Effect.orDie(sql`select pg_sleep(${(((writer * 7 + n * 3) % 5) / 1_000)})`),
            )),
        { concurrency: "unbounded", discard: true },
      ).pipe(Effect.forkChild)

      const seen: Array<string> = []
      const total = writers * each * 2
      while (seen.length < total) {
        const page = yield* log.list({ after, limit: 7 })
        seen.push(...page.items.map(({ fields }) => fields![0]!))
        after = page.nextCursor
        if (page.items.length === 0) {
          yield* Effect.sleep(1)
          // A reader that skipped an entry would wait for ever.
          if (writing.pollUnsafe() !== undefined && (yield* log.list({ after, limit: 1 })).items.length === 0) break
        }
      }
      yield* Fiber.join(writing)
      assert.strictEqual(seen.length, total)
      assert.strictEqual(new Set(seen).size, total)
    }))
})
