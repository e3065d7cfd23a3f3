import { assert, describe, it } from "@effect/vitest"
import { Clock, ConfigProvider, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Settings } from "../../src/domain/Settings.ts"
import { TokenRate } from "../../src/pacing/TokenRate.ts"
import { Hands } from "../support/hands.ts"

/** The times, in milliseconds, at which `count` requests under `key` pass that are there from the beginning. */
const passes = (count: number, key = "app") =>
  Effect.gen(function* () {
    const rate = yield* TokenRate
    const times: Array<number> = []
    yield* Effect.forEach(Array.from({ length: count }), () =>
      Effect.forkChild(
        Effect.andThen(rate.wait(key), Effect.map(Clock.currentTimeMillis, (now) => times.push(now))),
      ))
    for (let step = 0; step < 500; step++) yield* TestClock.adjust("10 millis")
    return times
  })

const mostInASecond = (times: ReadonlyArray<number>) =>
  Math.max(...times.map((from) => times.filter((time) => time >= from && time < from + 1_000).length))

describe("TokenRate", () => {
  for (const rate of [1, 7, 40, 1_000]) {
    it.effect(`lets ${rate} pass in a second, and not one more`, () =>
      Effect.gen(function* () {
        const times = yield* passes(rate * 3)
        assert.strictEqual(times.length, rate * 3)
        assert.isAtMost(mostInASecond(times), rate)
        assert.approximately(times.at(-1)! - times[0]!, 3_000, 1_000 / rate + 20)
      }).pipe(Effect.provide(TokenRate.perSecond(rate))))
  }

  it.effect("counts each app for itself", () =>
    Effect.gen(function* () {
      const rate = yield* TokenRate
      assert.isTrue(rate.limited)
      yield* rate.wait("a")
      yield* rate.wait("b")
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
    }).pipe(Effect.provide(TokenRate.perSecond(1))))

  it.effect("holds nobody up once a clock was put back", () => {
    const clock = new Hands()
    return Effect.gen(function* () {
      const rate = yield* TokenRate
      yield* rate.wait("app")
      clock.wall -= 3_600_000
      for (let second = 0; second < 5; second++) {
        clock.pass(1_000)
        yield* rate.wait("app")
      }
      assert.deepStrictEqual(clock.sleeps.filter((millis) => millis > 0), [])
    }).pipe(Effect.provide(TokenRate.perSecond(1)), Effect.provideService(Clock.Clock, clock))
  })

  for (const [tokenRate, millis] of [[undefined, 0], ["10", 200]] as const) {
    it.effect(`is taken from the settings (${tokenRate ?? "unset"})`, () =>
      Effect.gen(function* () {
        const times = yield* passes(3)
        assert.strictEqual(times.at(-1)! - times[0]!, millis)
        assert.strictEqual((yield* TokenRate).limited, tokenRate !== undefined)
      }).pipe(
        Effect.provide(TokenRate.layer.pipe(Layer.provide(Layer.orDie(
          Settings.layer.pipe(Layer.provide(
            ConfigProvider.layer(
              ConfigProvider.fromEnvRecord(tokenRate === undefined ? {} : { MAILFLEET_TOKEN_RATE: tokenRate }),
            ),
          )),
        )))),
      ))
  }
})
