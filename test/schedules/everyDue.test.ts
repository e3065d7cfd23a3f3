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
  it.effect("waits ten times as long as a look takes, once it is known", () =>
    Effect.gen(function* () {
      const known = yield* looks(Array.from({ length: 10 }, () => 50))
      assert.deepStrictEqual(known.slice(0, 8), [0, 150, 300, 450, 600, 750, 900, 1_050])
      assert.deepStrictEqual(known.slice(8), [1_600, 2_150])
    }))

  it.effect("does not wait longer after looks that were held up", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* looks([5, 5, 400, 300, 200, 5]), [0, 105, 210, 710, 1_110, 1_410])
      const many = yield* looks(Array.from({ length: 12 }, (_, at) => at === 4 ? 5 : 400))
      // One of the last eight was short.
      assert.deepStrictEqual(many.map((at, index) => at - (many[index - 1] ?? 0)).slice(9), [500, 500, 500])
    }))
})
