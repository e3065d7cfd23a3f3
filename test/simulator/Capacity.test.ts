import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Capacity } from "../../src/simulator/Capacity.ts"
import { settings } from "../../src/simulator/Options.ts"
import { email, gmail, provider } from "./provider.ts"

describe("what a token endpoint bears", () => {
  it("so many at once", () => {
    const options = settings({ tokenConcurrencyLimit: 2 }, 0)
    const capacity = new Capacity(options)
    assert.deepStrictEqual([1, 2, 3].map((now) => capacity.enter(now)), [true, true, false])
    capacity.leave()
    assert.isTrue(capacity.enter(4))
    options.tokenConcurrencyLimit = 3
    assert.isTrue(capacity.enter(5))
    assert.isFalse(capacity.enter(6))
  })

  it("so many per second, evenly or at once; refused ones do not count", () => {
    const options = settings({ tokenRateLimit: 10 }, 0)
    const capacity = new Capacity(options)
    const admitted = (requests: number, now: number) =>
      Array.from({ length: requests }, () => capacity.enter(now)).filter((isIn) => isIn).length
    assert.strictEqual(admitted(50, 1000), 10)
    assert.strictEqual(admitted(50, 1100), 1)
    assert.strictEqual(admitted(50, 1350), 2)
    assert.strictEqual(admitted(50, 60_000), 10)
    options.tokenRateLimit = Infinity
    assert.strictEqual(admitted(50, 60_000), 50)
  })

  it.live("each endpoint by itself, changeable while it runs, and counted", () =>
    Effect.gen(function* () {
      const { control, redeem, redeemGoogle, simulator } = yield* provider({ accounts: 20, googleAccounts: 10 })
      const statuses = (requests: number, one: (n: number) => Promise<{ readonly status: number }>) =>
        Effect.promise(async () =>
          (await Promise.all(Array.from({ length: requests }, (_, n) => one(n + 1)))).map(({ status }) => status)
        )
      yield* Effect.promise(() => control("PATCH", "options", { tokenRateLimit: 0.5 }))
      const microsoft = yield* statuses(5, (n) => redeem(email(n)))
      assert.strictEqual(microsoft.filter((status) => status === 429).length, 4)
      assert.strictEqual((yield* Effect.promise(() => redeemGoogle(gmail(11)))).status, 200)
      const { since, token } = simulator.counters()
      assert.deepStrictEqual([token.statuses, token.inFlight], [{ 200: 1, 429: 4 }, 0])
      const seconds = simulator.answersPerSecond("token")
      assert.strictEqual(seconds.flatMap(({ statuses }) => Object.values(statuses)).reduce((a, b) => a + b), 5)
      assert.isTrue(seconds.every(({ at }) => at >= Math.floor(since / 1000)))
      const { text } = yield* Effect.promise(() => control("GET", "answers-per-second?endpoint=googleToken"))
      assert.match(text, /^\[\{"at":\d+,"statuses":\{"200":1\}\}\]$/)

      yield* Effect.promise(() => control("POST", "counters/reset"))
      assert.deepStrictEqual(simulator.answersPerSecond("token"), [])
      yield* Effect.promise(() =>
        control("PATCH", "options", { tokenRateLimit: null, tokenConcurrencyLimit: 0, latency: "1 minute" })
      )
      // A refusal does not take as long as an answer.
      assert.deepStrictEqual(yield* statuses(2, (n) => redeem(email(n))), [429, 429])
      yield* Effect.promise(() => control("PATCH", "options", { latency: 300, throttleDelay: "latency" }))
      const start = performance.now()
      assert.deepStrictEqual(yield* statuses(1, (n) => redeem(email(n))), [429])
      assert.isAtLeast(performance.now() - start, 299)
    }))
})
