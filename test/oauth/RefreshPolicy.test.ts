import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { FailureClass } from "../../src/domain/FailureClass.ts"
import { held, isConfirmed, keepAliveSeconds, verdict, warmSeconds } from "../../src/oauth/RefreshPolicy.ts"

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
        const { attemptInSeconds, movesDue, status } = verdict(
          { class: failureClass, retryAfterMillis },
          failures,
          failing,
          jitter,
        )
        const expected = {
          throttled: undefined,
          transient: undefined,
          app: undefined,
          unknown: undefined,
          blocked: "blocked",
          scope: "needs_reauth",
          needs_user: "needs_reauth",
          ambiguous: failures >= 4 && failing >= 3 * hour ? "needs_reauth" : undefined,
        }
        assert.strictEqual(status, expected[failureClass])
        // Where the grant is not at fault, it goes on counting as late.
        assert.strictEqual(movesDue, !["throttled", "transient", "app"].includes(failureClass))
        assert.isAtLeast(attemptInSeconds, 60)
        assert.isAtLeast(attemptInSeconds, failureClass === "throttled" ? (retryAfterMillis ?? 0) / 1_000 : 0)
        if (failureClass !== "throttled") assert.isAtMost(attemptInSeconds, 7 * day * 1.1)
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
            verdict({ class: failureClass }, count, 0, spread).attemptInSeconds
          assert.isAtLeast(due(failures + 1, 0), due(failures, 0))
          assert.isAtLeast(due(failures, jitter), due(failures, 0))
          assert.isAtMost(due(failures, jitter), due(failures, 0) * 1.1 + 1e-6)
        }
      }),
  )

  it("starts at a minute where the fault passes, at an hour where it is doubtful", () => {
    const due = (failureClass: FailureClass, failures = 1, providerCode?: string) =>
      verdict({ class: failureClass, providerCode }, failures, 0, 0).attemptInSeconds
    assert.deepStrictEqual([1, 2, 3, 7, 99].map((n) => due("transient", n)), [60, 120, 240, hour, hour])
    assert.deepStrictEqual([1, 2, 7].map((n) => due("throttled", n)), [60, 120, hour])
    assert.deepStrictEqual([1, 2, 3, 9].map((n) => due("ambiguous", n)), [hour, 2 * hour, 4 * hour, 4 * hour])
    assert.deepStrictEqual([1, 2, 9].map((n) => due("unknown", n)), [hour, 2 * hour, day])
    assert.strictEqual(due("app", 9), 900)
    // A dead grant is looked at again, ever more rarely.
    assert.deepStrictEqual([1, 2, 3, 4, 9].map((n) => due("needs_user", n)), [day, 2 * day, 4 * day, 7 * day, 7 * day])
    assert.strictEqual(due("blocked"), day)
    // Smart lockout passes by itself.
    assert.strictEqual(due("blocked", 1, "AADSTS50053"), hour)
  })

  it("believes a doubtful answer at the fourth in a row, on its own schedule", () => {
    let seconds = 0
    let failures = 1
    for (;; failures++) {
      const { attemptInSeconds, status } = verdict({ class: "ambiguous" }, failures, seconds, 0)
      if (status !== undefined) break
      seconds += attemptInSeconds
    }
    assert.strictEqual(failures, 4)
    assert.isAtLeast(seconds, 3 * hour)
    // Asked by hand in quick succession it is not.
    assert.isUndefined(verdict({ class: "ambiguous" }, 50, 3 * hour - 1, 0).status)
  })

  it.effect.prop(
    "spreads the first refresh over the whole period, one before its time over its last half, others over its last tenth",
    [Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 90 * day })), Jitter],
    ([every, jitter]) =>
      Effect.sync(() => {
        const least = (seconds: number, share: number) => {
          assert.approximately(seconds, every * (1 - jitter * (1 - share)), every * 1e-9)
          assert.isAtMost(seconds, every)
        }
        for (const dueInSeconds of [undefined, -every, every]) {
          least(keepAliveSeconds(every, { redeemedBefore: false, dueInSeconds }, jitter), 0.1)
        }
        for (const dueInSeconds of [undefined, -every, 0, every * 0.09]) {
          least(keepAliveSeconds(every, { redeemedBefore: true, dueInSeconds }, jitter), 0.9)
        }
        for (const dueInSeconds of [every * 0.11, every]) {
          least(keepAliveSeconds(every, { redeemedBefore: true, dueInSeconds }, jitter), 0.5)
        }
      }),
  )

  it.effect.prop(
    "keeps an access token warm: due a margin before its end, and never so early that it is redeemed in a circle",
    [Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: day })), Seconds, Jitter],
    ([life, margin, jitter]) =>
      Effect.sync(() => {
        const due = warmSeconds(life, margin, jitter)
        assert.isAtMost(due, Math.max(60, life / 2, life - margin))
        assert.isAtLeast(due, Math.max(60, life * 0.45))
      }),
  )

  it("holds a refusal during a spike until it has been repeated over an hour", () => {
    let seconds = 0
    let failures = 1
    for (; !isConfirmed(failures, seconds); failures++) {
      const { attemptInSeconds, status } = held(failures, 0)
      assert.isUndefined(status)
      seconds += attemptInSeconds
    }
    assert.isAtLeast(failures, 3)
    assert.isAtLeast(seconds, hour)
    assert.isAtMost(seconds, 3 * hour)
  })
})
