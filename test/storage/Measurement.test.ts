/** Measurements that are shared and kept. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Database } from "../../src/storage/Database.ts"
import { keptFor, shared } from "../../src/storage/Measurement.ts"
import { onDatabases } from "../support/databases.ts"

await onDatabases("Measurement", Layer.empty, (it) => {
  it.effect("a quick one is not kept, a slow one for ten times as long as it took, at most half a minute", () =>
    Effect.sync(() => {
      assert.strictEqual(Duration.toMillis(keptFor(Duration.millis(199))), 0)
      assert.strictEqual(Duration.toMillis(keptFor(Duration.millis(300))), 3_000)
      assert.strictEqual(Duration.toMillis(keptFor(Duration.minutes(1))), 30_000)
    }))

  it.effect("callers at one time share one, and later ones its result while it is kept", () =>
    Effect.gen(function* () {
      let measured = 0
      const slow = Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => ++measured))
      const count = yield* shared(yield* Database, slow)
      const together = yield* Effect.forkChild(Effect.all([count, count], { concurrency: 2 }))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(together), [1, 1])
      assert.strictEqual(yield* count, 1)

      yield* TestClock.adjust("10 seconds")
      const later = yield* Effect.forkChild(count)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(later), 2)
    }).pipe(Effect.provide(TestClock.layer())))

  it.effect("a quick one is measured anew for the next caller", () =>
    Effect.gen(function* () {
      let measured = 0
      const count = yield* shared(yield* Database, Effect.sync(() => ++measured))
      assert.strictEqual(yield* count, 1)
      assert.strictEqual(yield* count, 2)
    }).pipe(Effect.provide(TestClock.layer())))

  it.effect("a transaction sees what it has written, and nobody else does", () =>
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const rows = sql<{ count: number }>`select count(*)::int4 as count from ${t.meta}`
      const count = yield* shared(database, Effect.map(rows, ([row]) => row!.count))
      const before = yield* count
      yield* sql.withTransaction(Effect.gen(function* () {
        yield* sql`insert into ${t.meta} (name, value) values ('measured', '')`
        assert.strictEqual(yield* count, before + 1)
        return yield* Effect.fail("undo")
      })).pipe(Effect.flip)
      assert.strictEqual(yield* count, before)
    }))
})
