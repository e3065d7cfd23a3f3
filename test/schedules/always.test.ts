import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Logger } from "effect"
import { TestClock } from "effect/testing"
import { always } from "../../src/schedules/always.ts"

describe("What never ends", () => {
  const logged: Array<string> = []
  const capture = Effect.provide(
    Logger.layer([Logger.map(Logger.formatLogFmt, (line) => {
      logged.push(line)
    })]),
  )

  it.effect("begins again after a fault and after an end, and ends where it is interrupted", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let times = 0
      const fiber = yield* Effect.forkChild(always(
        "the work",
        Effect.suspend(() => {
          times++
          if (times < 3) return Effect.die(new Error("a bug"))
          if (times === 3) return Effect.void
          return Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
        }),
      ))
      yield* TestClock.adjust("10 seconds")
      yield* Deferred.await(begun)
      assert.strictEqual(times, 4)
      yield* Fiber.interrupt(fiber)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(times, 4)
      assert.strictEqual(logged.length, 2)
      for (const line of logged) assert.include(line, "the work stopped unexpectedly")
    }).pipe(capture))
})
