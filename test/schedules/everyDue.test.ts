import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { everyDue } from "../../src/schedules/everyDue.ts"

/** When each of the looks began, of which the nth takes so many milliseconds and finds one item. */
const looks = (took: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const begun: Array<number> = []
    const next = everyDue(
      10,
      Effect.gen(function* () {
        const millis = took[begun.length] ?? 0
        begun.push(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
        yield* Effect.sleep(millis)
        return ["item"]
      }),
    )
    const fiber = yield* Effect.forkChild(Effect.repeat(next, { times: took.length - 1 }))
    yield* TestClock.adjust("10 minutes")
    yield* Fiber.join(fiber)
    return begun
  })

describe("everyDue", () => {
  it.effect("waits ten times as long as a look takes", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* looks([50, 50, 50]), [0, 150, 700])
    }))

  it.effect("does not wait longer after one look that was held up", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* looks([5, 5, 400, 5]), [0, 105, 210, 710])
    }))
})
