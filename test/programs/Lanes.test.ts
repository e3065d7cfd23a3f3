import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { type LaneOptions, lanes, postponed } from "../../src/programs/Lanes.ts"

/** Items `0 … count - 1`, a page at a time. */
const pages = (count: number, size = 7) => {
  let next = 0
  return Effect.sync(() => Array.from({ length: Math.min(size, count - next) }, () => next++))
}

interface Seen {
  readonly item: number
  readonly attempt: number
  readonly from: number
  to: number
}

/** Runs lanes whose items take `latency`, and tells what each did when, in milliseconds from the start. */
const observe = Effect.fnUntraced(function* (
  options: Omit<LaneOptions<number, number, never>, "one" | "done"> & {
    readonly latency: (item: number) => number
    readonly postpone?: (item: number, attempt: number) => ReturnType<typeof postponed> | undefined
  },
) {
  const start = yield* Clock.currentTimeMillis
  const now = Effect.map(Clock.currentTimeMillis, (at) => at - start)
  const seen: Array<Seen> = []
  const done: Array<number> = []
  let running = 0
  let most = 0
  const fiber = yield* Effect.forkChild(Effect.andThen(
    lanes({
      ...options,
      one: (item, attempt) =>
        Effect.gen(function* () {
          most = Math.max(most, ++running)
          const from = yield* now
          const entry = { item, attempt, from, to: NaN }
          seen.push(entry)
          yield* Effect.sleep(options.latency(item))
          entry.to = yield* now
          running--
          return options.postpone?.(item, attempt) ?? item
        }),
      done: (item) => Effect.sync(() => done.push(item)),
    }),
    now,
  ))
  return { fiber, seen, done, most: () => most }
})

/** Lets the lanes come to their first wait, and then as much time pass as they want. */
const finish = (fiber: Fiber.Fiber<number>) =>
  Effect.gen(function* () {
    for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
    yield* TestClock.adjust("1 day")
    return yield* Fiber.join(fiber)
  })

describe("Lanes", () => {
  it.effect.prop(
    "take exactly ⌈N/C⌉ × latency + (⌈N/C⌉ − 1) × spacing, and never exceed their number",
    {
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 60 })),
      concurrency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 })),
      latency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2_000 })),
      spacing: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3_000 })),
      page: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
    },
    ({ concurrency, count, latency, page, spacing }) =>
      Effect.gen(function* () {
        const { done, fiber, most, seen } = yield* observe({
          concurrency,
          spacing: Duration.millis(spacing),
          next: pages(count, page),
          latency: () => latency,
        })
        const rounds = Math.ceil(count / concurrency)
        assert.strictEqual(yield* finish(fiber), rounds * latency + (rounds - 1) * spacing)
        assert.sameMembers(done, Array.from({ length: count }, (_, item) => item))
        assert.strictEqual(seen.length, count)
        assert.strictEqual(most(), Math.min(count, concurrency))
      }),
    { arbitrary: { runs: 100 } },
  )

  it.effect("are shared by the keys that have items: a slow one does not hold them all, and gets them all when alone", () =>
    Effect.gen(function* () {
      // Every fourth is quick.
      const isQuick = (item: number) => item % 4 === 3
      const { fiber, seen } = yield* observe({
        concurrency: 4,
        next: pages(40, 40),
        keyOf: (item) => isQuick(item) ? "quick" : "slow",
        latency: (item) => isQuick(item) ? 100 : 10_000,
      })
      yield* finish(fiber)
      const quick = seen.filter(({ item }) => isQuick(item))
      assert.deepStrictEqual(quick.map(({ item }) => item), [3, 7, 11, 15, 19, 23, 27, 31, 35, 39])
      assert.isAtMost(quick.at(-1)!.to, 2_000)
      const at = (time: number) => seen.filter(({ from, to }) => from <= time && time < to)
      assert.isAtMost(at(50).filter(({ item }) => !isQuick(item)).length, 3)
      assert.strictEqual(at(15_000).length, 4)
    }))

  it.effect("end at once where there is nothing to do", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* observe({ concurrency: 3, next: Effect.succeed([]), latency: () => 1 })
      assert.strictEqual(yield* Fiber.join(fiber), 0)
      assert.deepStrictEqual(seen, [])
    }))

  it.effect("do not wait for a slow item: the others go on", () =>
    Effect.gen(function* () {
      const { fiber, done } = yield* observe({
        concurrency: 2,
        next: pages(11),
        latency: (item) => item === 0 ? 10_000 : 1_000,
      })
      assert.strictEqual(yield* finish(fiber), 10_000)
      assert.deepStrictEqual(done.slice(0, 9), [1, 2, 3, 4, 5, 6, 7, 8, 9])
    }))

  it.effect("bring a postponed item again after its time, and go on with others meanwhile", () =>
    Effect.gen(function* () {
      const { done, fiber, seen } = yield* observe({
        concurrency: 1,
        next: pages(4),
        latency: () => 100,
        postpone: (item, attempt) => item === 0 && attempt < 3 ? postponed(1_000, true) : undefined,
      })
      yield* finish(fiber)
      assert.deepStrictEqual(done, [1, 2, 3, 0])
      assert.deepStrictEqual(seen.filter(({ item }) => item === 0), [
        { item: 0, attempt: 0, from: 0, to: 100 },
        { item: 0, attempt: 1, from: 1_100, to: 1_200 },
        { item: 0, attempt: 2, from: 2_200, to: 2_300 },
        { item: 0, attempt: 3, from: 3_300, to: 3_400 },
      ])
      assert.deepStrictEqual(seen.filter(({ item }) => item > 0).map(({ from }) => from), [100, 200, 300])
    }))

  it.effect("count only the postponements that are to be counted", () =>
    Effect.gen(function* () {
      let tries = 0
      const { done, fiber, seen } = yield* observe({
        concurrency: 2,
        next: pages(1),
        latency: () => 1,
        postpone: () => ++tries <= 5 ? postponed(10, tries > 3) : undefined,
      })
      yield* finish(fiber)
      assert.deepStrictEqual(seen.map(({ attempt }) => attempt), [0, 0, 0, 0, 1, 2])
      assert.deepStrictEqual(done, [0])
    }))

  it.effect("end only when every postponed item is done, however many wait", () =>
    Effect.gen(function* () {
      const { done, fiber, most, seen } = yield* observe({
        concurrency: 10,
        next: pages(25_000, 200),
        latency: () => 1,
        postpone: (_item, attempt) => attempt === 0 ? postponed(60_000, true) : undefined,
      })
      yield* finish(fiber)
      assert.strictEqual(new Set(done).size, 25_000)
      assert.strictEqual(seen.length, 50_000)
      assert.strictEqual(most(), 10)
    }))

  it.effect("interrupt what they work on where they are interrupted", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      let interrupted = 0
      const fiber = yield* Effect.forkChild(lanes({
        concurrency: 2,
        next: pages(5),
        one: (item) =>
          Effect.andThen(item === 1 ? Deferred.succeed(begun, undefined) : Effect.void, Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => void interrupted++)),
          ),
        done: () => Effect.void,
      }))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(interrupted, 2)
    }))

  for (const part of ["next", "one", "done"] as const) {
    it.effect(`end where \`${part}\` dies`, () =>
      Effect.gen(function* () {
        const bug = Effect.die(new Error("a bug"))
        const answer = pages(20)
        let calls = 0
        const exit = yield* Effect.exit(lanes({
          concurrency: 2,
          next: Effect.suspend(() => part === "next" && ++calls === 2 ? bug : answer),
          one: (item) => part === "one" && item === 5 ? bug : Effect.succeed(item),
          done: (item) => part === "done" && item === 5 ? bug : Effect.void,
        }))
        assert.isTrue(Exit.isFailure(exit))
      }))
  }
})
