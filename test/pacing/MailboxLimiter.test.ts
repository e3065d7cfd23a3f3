import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { MailboxLimiter, type MailPlace } from "../../src/pacing/MailboxLimiter.ts"

const key = "mail:c:a"

describe("MailboxLimiter", () => {
  it.effect("lets fresh requests go before those of a backfill, and batches take all places", () =>
    Effect.gen(function* () {
      const { limit } = yield* MailboxLimiter
      const order: Array<string> = []
      let inside = 0
      let most = 0
      const gate = yield* Deferred.make<void>()
      const ask = (name: string, place: MailPlace) =>
        Effect.forkChild(
          limit(key, place)(Effect.gen(function* () {
            order.push(name)
            inside += place.places ?? 1
            most = Math.max(most, inside)
            if (name === "first") yield* Deferred.await(gate)
            yield* Effect.yieldNow
            inside -= place.places ?? 1
          })),
        )
      const fibers = [
        yield* ask("first", { lane: "backfill", places: 4 }),
        yield* ask("old 1", { lane: "backfill", places: 4 }),
        yield* ask("old 2", { lane: "backfill" }),
        yield* ask("new 1", {}),
        yield* ask("new 2", { lane: "fresh", places: 4 }),
        yield* ask("new 3", { lane: "fresh" }),
      ]
      const interrupted = yield* ask("nobody", { lane: "fresh", places: 4 })
      yield* Effect.yieldNow
      yield* Fiber.interrupt(interrupted)
      assert.deepStrictEqual(order, ["first"])
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(order, ["first", "new 1", "new 2", "new 3", "old 1", "old 2"])
      assert.strictEqual(most, 4)
    }).pipe(Effect.provide(MailboxLimiter.layer)))

  it.effect("counts ten thousand requests in any ten minutes", () =>
    Effect.gen(function* () {
      const { spend } = yield* MailboxLimiter
      assert.strictEqual(yield* spend(key, 4_000), 0)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(yield* spend(key, 6_000), 0)
      const wait = yield* spend(key, 1)
      assert.isAbove(wait, 6 * 60_000)
      assert.isAtMost(wait, 6.5 * 60_000)
      assert.strictEqual(yield* spend("mail:c:b", 1), 0)
      yield* TestClock.adjust(wait)
      assert.strictEqual(yield* spend(key, 4_000), 0)
      assert.isAbove(yield* spend(key, 1), 0)
      yield* TestClock.adjust("20 minutes")
      assert.strictEqual(yield* spend(key, 10_000), 0)
    }).pipe(Effect.provide(MailboxLimiter.layer)))
})
