/** How many mailboxes a process can keep in step, and what it says where there are more. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { parseDuration } from "../../src/domain/Settings.ts"
import { reachOf, speedOf, syncAdvice, SyncPace, type SyncSpeed } from "../../src/pacing/SyncPace.ts"

const usual: SyncSpeed = { lanes: 5, isAuto: false, every: 300_000, spacing: 2_000, mean: 0 }

describe("SyncPace", () => {
  it("reaches 750 mailboxes with the default settings, if a turn takes no time at all", () => {
    const settings = {
      syncConcurrency: 5,
      concurrencyCeiling: 512,
      syncEvery: Duration.minutes(5),
      syncSpacing: Duration.seconds(2),
    }
    assert.deepStrictEqual(speedOf(settings, undefined), usual)
    assert.strictEqual(reachOf(usual), 750)
    assert.isUndefined(syncAdvice(750, usual))
    assert.strictEqual(reachOf({ ...usual, spacing: 0 }), Infinity)
    assert.strictEqual(speedOf({ ...settings, syncConcurrency: "auto" }, 7).lanes, 512)
  })

  it("says what to set", () => {
    assert.strictEqual(
      syncAdvice(2_000, { ...usual, mean: 400 }),
      "2000 accounts cannot be synced every 5 minutes: 5 at once, with 2 seconds between two and 400 millis for each, " +
        'reach 625. Set MAILFLEET_SYNC_CONCURRENCY=16, or MAILFLEET_SYNC_SPACING="350 millis", or ' +
        'MAILFLEET_SYNC_EVERY="16 minutes"; or run 4 processes',
    )
    // No spacing helps where turns alone take too long.
    assert.strictEqual(
      syncAdvice(751, { ...usual, isAuto: true, mean: 2_000 }),
      "751 accounts cannot be synced every 5 minutes: 5 at once, with 2 seconds between two and 2 seconds for each, " +
        'reach 375. Set MAILFLEET_CONCURRENCY_CEILING=11, or MAILFLEET_SYNC_EVERY="601 seconds"; or run 3 processes',
    )
  })

  it("says what is enough, each by itself", () => {
    const millis = (text: string) => Duration.toMillis(Option.getOrThrow(parseDuration(text)))
    for (const accounts of [1, 7, 99, 751, 12_345, 1_000_000]) {
      for (const lanes of [1, 5, 37]) {
        for (const every of [1_000, 61_500, 300_000, 86_400_000]) {
          for (const spacing of [0, 333, 2_000]) {
            for (const mean of [1, 450, 7_777]) {
              const speed = { lanes, isAuto: false, every, spacing, mean }
              const advice = syncAdvice(accounts, speed)
              assert.strictEqual(advice === undefined, reachOf(speed) >= accounts)
              const value = (name: string) => new RegExp(`${name}="?([^",;]+)`).exec(advice ?? "")?.[1]
              if (advice === undefined) continue
              assert.isAtLeast(reachOf({ ...speed, lanes: Number(value("SYNC_CONCURRENCY")) }), accounts)
              assert.isAtLeast(reachOf({ ...speed, every: millis(value("SYNC_EVERY") ?? "") }), accounts)
              const shorter = value("SYNC_SPACING")
              if (shorter !== undefined) assert.isAtLeast(reachOf({ ...speed, spacing: millis(shorter) }), accounts)
            }
          }
        }
      }
    }
  })

  it.effect("follows what turns take lately", () =>
    Effect.gen(function* () {
      const pace = yield* SyncPace
      assert.isUndefined(yield* pace.mean)
      yield* pace.took(100)
      yield* pace.took(300)
      assert.strictEqual(yield* pace.mean, 200)
      for (let turn = 0; turn < 500; turn++) yield* pace.took(1_000)
      assert.closeTo((yield* pace.mean)!, 1_000, 10)
    }).pipe(Effect.provide(SyncPace.layer)))
})
