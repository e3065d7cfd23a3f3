import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionLimiter } from "../../src/pacing/ConnectionLimiter.ts"

const taken = Effect.fnUntraced(function* (key: string) {
  const { take } = yield* ConnectionLimiter
  const scope = yield* Scope.make()
  yield* Scope.provide(take(key), scope)
  return Scope.close(scope, Exit.void)
})

describe("ConnectionLimiter", () => {
  it.effect("gives two connections to a mailbox, the third when one is given back", () =>
    Effect.gen(function* () {
      const giveBack = yield* taken("a")
      yield* taken("a")
      yield* taken("b")
      const third = yield* Effect.forkChild(taken("a"), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(third.pollUnsafe())
      yield* giveBack
      yield* Fiber.join(third)
    }).pipe(Effect.provide(ConnectionLimiter.layer)))

  it.effect("tells who waits too long to come again, and keeps no connection for them", () =>
    Effect.gen(function* () {
      const giveBack = yield* taken("a")
      yield* taken("a")
      const third = yield* Effect.forkChild(Effect.flip(taken("a")), { startImmediately: true })
      yield* TestClock.adjust("20 seconds")
      const error = yield* Fiber.join(third)
      assert.deepStrictEqual([error.class, error.notSent, error.retryAfterMillis], ["throttled", true, 30_000])
      yield* giveBack
      yield* taken("a")
    }).pipe(Effect.provide(ConnectionLimiter.layer)))
})
