import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { FailureClass } from "../../src/domain/FailureClass.ts"
import { nextDueSeconds, verdict } from "../../src/oauth/RefreshPolicy.ts"

const hour = 3_600
const day = 24 * hour

const Jitter = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Failures = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 }))
const Seconds = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 400 * day }))
const Wait = Schema.UndefinedOr(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: day * 1_000 })))

describe("RefreshPolicy", () => {
  it.effect.prop(
    "never lets a passing fault or a fault of the app decide about an account, and always comes again",
    [FailureClass, Failures, Seconds, Jitter, Wait],
    ([failureClass, failures, failing, jitter, retryAfterMillis]) =>
      Effect.sync(() => {
        const { dueInSeconds, status } = verdict(
          { class: failureClass, retryAfterMillis },
          failures,
          failing,
          jitter,
        )
        switch (failureClass) {
          case "throttled":
          case "transient":
          case "app":
          case "unknown":
            assert.isUndefined(status)
            assert.isDefined(dueInSeconds)
            break
          case "blocked":
            assert.strictEqual(status, "blocked")
            assert.isDefined(dueInSeconds)
            break
          case "scope":
            assert.strictEqual(status, "needs_reauth")
            assert.isDefined(dueInSeconds)
            break
          case "needs_user":
            assert.strictEqual(status, "needs_reauth")
            break
          case "ambiguous": {
            const believed = failures >= 4 && failing >= 3 * hour
            assert.strictEqual(status, believed ? "needs_reauth" : undefined)
            assert.strictEqual(dueInSeconds === undefined, believed)
          }
        }
        if (dueInSeconds !== undefined) {
          assert.isAtLeast(dueInSeconds, 60)
          assert.isAtLeast(dueInSeconds, failureClass === "throttled" ? (retryAfterMillis ?? 0) / 1_000 : 0)
          if (failureClass !== "throttled") assert.isAtMost(dueInSeconds, day * 1.1)
        }
      }),
    { arbitrary: { runs: 2_000 } },
  )

  it.effect.prop(
    "waits ever longer, up to its most, and a tenth more by jitter at most",
    [Failures, Jitter],
    ([failures, jitter]) =>
      Effect.sync(() => {
        for (const failureClass of ["throttled", "transient", "unknown", "ambiguous"] as const) {
          const due = (count: number, spread: number) =>
            verdict({ class: failureClass }, count, 0, spread).dueInSeconds!
          assert.isAtLeast(due(failures + 1, 0), due(failures, 0))
          assert.isAtLeast(due(failures, jitter), due(failures, 0))
          assert.isAtMost(due(failures, jitter), due(failures, 0) * 1.1 + 1e-6)
        }
      }),
  )

  it("starts at a minute where the fault passes, at an hour where it is doubtful", () => {
    const due = (failureClass: FailureClass, failures = 1, providerCode?: string) =>
      verdict({ class: failureClass, providerCode }, failures, 0, 0).dueInSeconds
    assert.deepStrictEqual([1, 2, 3, 7, 99].map((n) => due("transient", n)), [60, 120, 240, hour, hour])
    assert.deepStrictEqual([1, 2, 7].map((n) => due("throttled", n)), [60, 120, hour])
    assert.deepStrictEqual([1, 2, 3, 9].map((n) => due("ambiguous", n)), [hour, 2 * hour, 4 * hour, 4 * hour])
    assert.deepStrictEqual([1, 2, 9].map((n) => due("unknown", n)), [hour, 2 * hour, day])
    assert.strictEqual(due("app", 9), 900)
    assert.strictEqual(due("blocked"), day)
    // Smart lockout passes by itself.
    assert.strictEqual(due("blocked", 1, "AADSTS50053"), hour)
  })

  it("believes a doubtful answer at the fourth in a row, on its own schedule", () => {
    let seconds = 0
    let failures = 1
    for (;; failures++) {
      const { dueInSeconds, status } = verdict({ class: "ambiguous" }, failures, seconds, 0)
      if (status !== undefined) break
      seconds += dueInSeconds!
    }
    assert.strictEqual(failures, 4)
    assert.isAtLeast(seconds, 3 * hour)
    // Asked by hand in quick succession it is not.
    assert.isUndefined(verdict({ class: "ambiguous" }, 50, 3 * hour - 1, 0).status)
  })

  it.effect.prop(
    "spreads the first refresh over the whole period, and each later one over its last tenth",
    [Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 90 * day })), Jitter],
    ([every, jitter]) =>
      Effect.sync(() => {
        const first = nextDueSeconds(every, false, jitter)
        const later = nextDueSeconds(every, true, jitter)
        assert.isTrue(first >= every * 0.0999 && first <= every, `${first} of ${every}`)
        assert.isTrue(later >= every * 0.8999 && later <= every, `${later} of ${every}`)
      }),
  )
})
