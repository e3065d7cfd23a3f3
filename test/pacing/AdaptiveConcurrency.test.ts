import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { TestClock } from "effect/testing"
import { Settings } from "../../src/domain/Settings.ts"
import { AdaptiveConcurrency, type Feedback } from "../../src/pacing/AdaptiveConcurrency.ts"

const layer = AdaptiveConcurrency.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({ concurrencyCeiling: 64 }))))

/** The limit with which a key begins. */
const initial = 8

const isFeedback = Schema.is(Schema.Literals(["ok", "throttled", "ignored"]))

const feedbackOf = (exit: Exit.Exit<unknown, unknown>): Feedback => {
  if (Exit.isSuccess(exit)) return "ok"
  const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
  return isFeedback(failed?.error) ? failed.error : "ignored"
}

const admit = (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(AdaptiveConcurrency, ({ admit }) => admit(key, feedbackOf)(effect))

const stateOf = (key: string) =>
  Effect.flatMap(AdaptiveConcurrency, ({ limits }) => Effect.map(limits, (all) => all.get(key)))

/** Lets all fibers go on as far as they can at this time. */
const settle = TestClock.adjust("0 millis")

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index)

describe("AdaptiveConcurrency", () => {
  it.effect("admits in the order of asking, newcomers last", () =>
    Effect.gen(function* () {
      const started: Array<number> = []
      const doors = numbers(30).map(() => Deferred.makeUnsafe<void>())
      const ask = (count: number, from: number) =>
        Effect.forEach(
          numbers(count, from),
          (number) =>
            Effect.forkChild(
              admit("a")(Effect.andThen(Effect.sync(() => started.push(number)), Deferred.await(doors[number]!))),
            ),
        )
      yield* ask(20, 0)
      yield* settle
      assert.deepStrictEqual(started, numbers(initial))
      yield* Deferred.succeed(doors[5]!, undefined)
      // Asks while a place is free that others have waited for.
      yield* ask(10, 20)
      yield* settle
      for (const door of doors) yield* Deferred.succeed(door, undefined)
      yield* settle
      assert.deepStrictEqual(started, numbers(30))
    }).pipe(Effect.provide(layer)))

  it.effect("keeps keys apart", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(numbers(100), () => Effect.forkChild(admit("a")(Effect.never)))
      yield* settle
      assert.deepStrictEqual(yield* stateOf("a"), { limit: initial, inFlight: initial })
      assert.strictEqual(yield* admit("b")(Effect.succeed("done")), "done")
    }).pipe(Effect.provide(layer)))

  it.effect("grows as long as all goes well, up to the ceiling", () =>
    Effect.gen(function* () {
      const work = yield* Effect.forkChild(
        Effect.forEach(numbers(1_500), () => admit("a")(Effect.sleep("100 millis")), { concurrency: "unbounded" }),
      )
      yield* settle
      const limits: Array<number> = []
      for (let second = 0; second < 6; second++) {
        yield* TestClock.adjust("1 second")
        limits.push((yield* stateOf("a"))!.limit)
      }
      assert.deepStrictEqual(limits, limits.toSorted((a, b) => a - b))
      assert.strictEqual(limits.at(-1), 64)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(work)
      assert.strictEqual((yield* stateOf("a"))!.inFlight, 0)
    }).pipe(Effect.provide(layer)))

  it.effect("lets what is ignored pass at once, and learns nothing from it", () =>
    Effect.gen(function* () {
      const exits = yield* Effect.forEach(
        numbers(1_000),
        () => Effect.exit(admit("a")(Effect.fail<Feedback>("ignored"))),
        { concurrency: "unbounded" },
      )
      assert.isTrue(exits.every(Exit.isFailure))
      assert.deepStrictEqual(yield* stateOf("a"), { limit: initial, inFlight: 0 })
    }).pipe(Effect.provide(layer)))

  it.effect("spreads requests over a round trip once the provider takes them again", () =>
    Effect.gen(function* () {
      yield* Effect.forkChild(
        Effect.forEach(numbers(400), () => admit("a")(Effect.sleep("800 millis")), { concurrency: "unbounded" }),
      )
      yield* TestClock.adjust("1 minute")
      yield* Effect.exit(admit("a")(Effect.fail<Feedback>("throttled")))
      const { limit } = (yield* stateOf("a"))!
      assert.isAbove(limit, 10)
      const times: Array<number> = []
      yield* Effect.forEach(numbers(limit), () =>
        Effect.forkChild(
          admit("a")(Effect.andThen(Effect.map(Clock.currentTimeMillis, (now) => times.push(now)), Effect.never)),
        ))
      for (let step = 0; step < 100; step++) yield* TestClock.adjust("10 millis")
      assert.strictEqual(times.length, limit)
      const atOnce = times.map((time) => times.filter((other) => other === time).length)
      assert.isAtMost(Math.max(...atOnce), 2)
      assert.isAtLeast(times.at(-1)! - times[0]!, 700)
    }).pipe(Effect.provide(layer)))

  it.effect("forgets a key that nobody uses", () =>
    Effect.gen(function* () {
      yield* admit("a")(Effect.void)
      yield* TestClock.adjust("9 minutes")
      assert.isDefined(yield* stateOf("a"))
      yield* TestClock.adjust("2 minutes")
      assert.isUndefined(yield* stateOf("a"))
    }).pipe(Effect.provide(layer)))

  it.effect.prop(
    "loses no place, however its users end",
    [
      Schema.Array(Schema.Struct({
        end: Schema.Literals(["ok", "throttled", "ignored", "die", "cut"]),
        millis: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000 })),
      })).check(Schema.isMaxLength(60)),
    ],
    ([users]) =>
      Effect.gen(function* () {
        let [running, most] = [0, 0]
        const fibers = yield* Effect.forEach(users, ({ end, millis }) => {
          const work = Effect.acquireUseRelease(
            Effect.sync(() => (most = Math.max(most, ++running))),
            () =>
              Effect.andThen(
                Effect.sleep(millis),
                end === "die" ? Effect.die("a defect") : end === "ok" ? Effect.void : Effect.fail(end),
              ),
            () => Effect.sync(() => running--),
          )
          return Effect.forkChild(
            end === "cut" ? Effect.timeoutOption(admit("a")(work), Math.floor(millis / 2)) : admit("a")(work),
          )
        })
        yield* TestClock.adjust("5 minutes")
        yield* Effect.forEach(fibers, Fiber.await)
        assert.strictEqual(running, 0)
        assert.isAtMost(most, 64)
        if (users.length === 0) return
        const { inFlight, limit } = (yield* stateOf("a"))!
        assert.strictEqual(inFlight, 0)
        // All places are there: so many start, and no more.
        yield* Effect.forEach(numbers(100), () =>
          Effect.forkChild(
            admit("a")(Effect.andThen(Effect.sync(() => running++), Effect.never)),
          ))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(running, limit)
      }).pipe(Effect.scoped, Effect.provide(layer, { local: true })),
  )
})
