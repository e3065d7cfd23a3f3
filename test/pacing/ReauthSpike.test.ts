import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ReauthSpike, type Spike } from "../../src/pacing/ReauthSpike.ts"

const fresh = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(effect).pipe(Effect.provide(ReauthSpike.layer, { local: true }))

/** Collects the spikes from now on. */
const watched = Effect.gen(function* () {
  const seen: Array<Spike> = []
  const { spikes } = yield* ReauthSpike
  yield* Effect.forkScoped(Stream.runForEach(spikes, (spike) => Effect.sync(() => void seen.push(spike))), {
    startImmediately: true,
  })
  return seen
})

/** Refuses that many grants that were not refused before. Answers which were believed. */
const refuse = Effect.fnUntraced(function* (count: number, prefix = "grant") {
  const { refused } = yield* ReauthSpike
  const names = Array.from({ length: count }, (_, index) => `${prefix}-${index}`)
  const believed = yield* Effect.forEach(names, refused)
  return names.filter((_, index) => believed[index])
})

const redeem = (count: number) =>
  Effect.flatMap(ReauthSpike, ({ redeemed }) => Effect.repeat(redeemed, { times: count - 1 }))

const states = (seen: ReadonlyArray<Spike>) => seen.map(({ state }) => state)

describe("ReauthSpike", () => {
  it.effect("believes 49 refusals, holds the fiftieth, and names those before it", () =>
    fresh(Effect.gen(function* () {
      const { suspected } = yield* ReauthSpike
      const seen = yield* watched
      yield* redeem(100)
      const believed = yield* refuse(60)
      assert.strictEqual(believed.length, 49)
      assert.isTrue(yield* suspected)
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, [{ state: "begun", grants: believed }])
    })))

  it.effect("counts the last 200 outcomes and the last hour only", () =>
    fresh(Effect.gen(function* () {
      const { suspected } = yield* ReauthSpike
      assert.strictEqual((yield* refuse(49, "first")).length, 49)
      yield* redeem(200)
      assert.strictEqual((yield* refuse(49, "second")).length, 49)
      yield* TestClock.adjust("61 minutes")
      assert.strictEqual((yield* refuse(49, "third")).length, 49)
      assert.isFalse(yield* suspected)
      assert.strictEqual((yield* refuse(1, "fourth")).length, 0)
    })))

  it.effect("counts a grant once, and answers the same again", () =>
    fresh(Effect.gen(function* () {
      const { refused, suspected } = yield* ReauthSpike
      for (let time = 0; time < 200; time++) assert.isTrue(yield* refused("one"))
      assert.isFalse(yield* suspected)
      yield* refuse(49)
      assert.isTrue(yield* suspected)
      assert.isTrue(yield* refused("one"), "it was declared before")
      assert.isFalse(yield* refused("grant-48"))
      yield* redeem(200)
      assert.isTrue(yield* refused("grant-48"))
    })))

  it.effect("ends when fewer than 10 of the last 200 are refusals", () =>
    fresh(Effect.gen(function* () {
      const { suspected } = yield* ReauthSpike
      const seen = yield* watched
      yield* refuse(50)
      yield* redeem(190)
      assert.isTrue(yield* suspected)
      yield* redeem(1)
      assert.isFalse(yield* suspected)
      yield* Effect.yieldNow
      assert.deepStrictEqual(states(seen), ["begun", "ended"])
      assert.strictEqual((yield* refuse(1, "next")).length, 1)
    })))

  it.effect("ends by itself after an hour without a refusal", () =>
    fresh(Effect.gen(function* () {
      const { suspected } = yield* ReauthSpike
      const seen = yield* watched
      yield* Effect.uninterruptible(refuse(50))
      yield* TestClock.adjust("30 minutes")
      yield* refuse(1, "late")
      yield* TestClock.adjust("59 minutes")
      assert.isTrue(yield* suspected)
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* suspected)
      assert.deepStrictEqual(states(seen), ["begun", "ended"])
      yield* refuse(50, "again")
      yield* Effect.yieldNow
      assert.deepStrictEqual(states(seen), ["begun", "ended", "begun"])
    })))

  const Step = Schema.Struct({
    does: Schema.Literals(["refuse", "redeem", "wait"]),
    count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 70 })),
  })

  it.effect.prop(
    "whatever comes and whenever: holds only during a spike, which needs 50 in an hour",
    [Schema.Array(Step).check(Schema.isBetweenLength(1, 25))],
    ([steps]) =>
      fresh(Effect.gen(function* () {
        const { redeemed, refused, suspected } = yield* ReauthSpike
        const seen = yield* watched
        const refusals: Array<{ readonly at: number; readonly grant: string; readonly believed: boolean }> = []
        let sinceRefusal = 0
        let next = 0
        for (const { count, does } of steps) {
          if (does === "wait") yield* TestClock.adjust(count * 60_000)
          for (let n = 0; does !== "wait" && n < count; n++) {
            const now = yield* Clock.currentTimeMillis
            const before = yield* suspected
            if (does === "redeem") {
              yield* redeemed
              sinceRefusal++
              assert.isTrue(before || !(yield* suspected), "a redemption begins no spike")
            } else {
              const grant = `grant-${next++}`
              const believed = yield* refused(grant)
              sinceRefusal = 0
              refusals.push({ at: now, grant, believed })
              assert.strictEqual(believed, !(yield* suspected))
              assert.isTrue(!before || !believed, "a refusal ends no spike")
              if (believed || before) continue
              const recent = refusals.filter(({ at }) => now - at <= 3_600_000)
              assert.isAtLeast(recent.length, 50)
              yield* Effect.yieldNow
              const begun = seen.at(-1)
              assert(begun?.state === "begun")
              const believedRecently = recent.filter((one) => one.believed).map(({ grant }) => grant)
              // What has left the last 200 outcomes is not named.
              assert.deepStrictEqual(begun.grants, believedRecently.slice(-begun.grants.length || Infinity))
            }
          }
          const now = yield* Clock.currentTimeMillis
          const last = refusals.at(-1)?.at ?? -Infinity
          if (sinceRefusal >= 200 || now - last >= 3_600_000) assert.isFalse(yield* suspected)
        }
        yield* Effect.yieldNow
        const alternating = states(seen).every((state, index) => state === (index % 2 === 0 ? "begun" : "ended"))
        assert.isTrue(alternating, states(seen).join())
        assert.strictEqual(states(seen).at(-1) === "begun", yield* suspected)
      })),
    { arbitrary: { runs: 200 } },
  )
})
