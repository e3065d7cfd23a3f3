import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { bySettableClock, bySteadyClock, cachedFor } from "../../src/domain/Monotonic.ts"
import { Hands } from "../support/hands.ts"

const hour = 3_600_000

describe("cachedFor", () => {
  for (const [name, jump] of [["ahead", hour], ["back", -hour]] as const) {
    it.effect(`keeps a value as long as it is to be kept, where the clock is set ${name}`, () => {
      const clock = new Hands()
      return Effect.gen(function* () {
        const times: Array<number> = []
        const cached = yield* cachedFor(Effect.map(Clock.currentTimeMillis, (now) => times.push(now)), "1 second")
        yield* cached
        clock.wall += jump
        yield* cached
        clock.pass(999)
        yield* cached
        assert.strictEqual(times.length, 1)
        clock.pass(1)
        yield* cached
        // What is kept was told what time it is.
        assert.deepStrictEqual(times, [1_000_000, 1_000_000 + jump + 1_000])
      }).pipe(Effect.provideService(Clock.Clock, clock))
    })
  }
})

describe("bySteadyClock", () => {
  it.effect("hides what people set, but from what wants to know it", () => {
    const clock = new Hands()
    return Effect.gen(function* () {
      clock.pass(5)
      const both = Effect.all([Clock.currentTimeMillis, bySettableClock(Clock.currentTimeMillis)])
      assert.deepStrictEqual(yield* bySteadyClock(both), [5, 1_000_005])
      assert.deepStrictEqual(yield* both, [1_000_005, 1_000_005])
    }).pipe(Effect.provideService(Clock.Clock, clock))
  })
})
