/** What the log says once a minute. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Option, Queue, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { Settings } from "../../src/domain/Settings.ts"
import * as LagLog from "../../src/schedules/LagLog.ts"
import { onDatabases } from "../support/databases.ts"
import { addApp, addGrant, noGrants } from "../support/grants.ts"
import { freshStats } from "../support/stats.ts"

const redemptions = Metric.counter("mailfleet_redemptions_total", { incremental: true })
const redeemed = (outcome: string, times: number) =>
  Metric.update(Metric.withAttributes(redemptions, { outcome }), times)

const settings = Settings.layerWith({
  databaseUrl: Option.none(),
  adminKey: Option.some(Redacted.make("key")),
  refreshEvery: Duration.days(1),
  warmMargin: Duration.minutes(10),
}).pipe(Layer.orDie)

await onDatabases("LagLog", settings, (it) => {
  it.effect("counts of the last minute, and a warning once a policy suffers", () =>
    Effect.gen(function* () {
      const lines = yield* Queue.unbounded<string>()
      const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => Queue.offerUnsafe(lines, line))])
      const nextLine = Effect.andThen(TestClock.adjust("1 minute"), Queue.take(lines))
      yield* noGrants
      const app = yield* addApp("one")
      yield* addGrant(app, { due: 700 })

      yield* Effect.gen(function* () {
        yield* redeemed("ok", 5)
        yield* Layer.build(Layer.provide(LagLog.layer, freshStats))
        yield* redeemed("ok", 3)
        yield* redeemed("throttled", 2)
        const calm = yield* nextLine
        assert.match(calm, /level=INFO .*message="refreshing keeps up" due=1 lagSeconds=7\d\d\.?\d*/)
        assert.match(calm, /redemptions=5 redemptions\.ok=3 redemptions\.throttled=2$/)

        // 10 minutes are little to a grant that is redeemed once a day, and too much to one whose token is to be valid.
        yield* addGrant(app, { due: 605, policy: "warm" })
        const late = yield* nextLine
        assert.match(late, /level=WARN .*message="refreshing lags behind" due=2 .*policies=warm redemptions=0$/)
      }).pipe(
        Effect.scoped,
        Effect.provideService(Metric.MetricRegistry, new Map()),
        Effect.provide(Layer.merge(capture, TestClock.layer())),
      )
    }))

  it.effect("keep-alive suffers from a tenth of its interval on, but never before a minute", () =>
    Effect.sync(() => {
      const worrying = (refreshEvery: Duration.Duration) =>
        LagLog.worrying({ refreshEvery, warmMargin: Duration.minutes(10) })
      assert.deepStrictEqual(worrying(Duration.days(1)), { "keep-alive": 8_640, warm: 600 })
      assert.strictEqual(worrying(Duration.seconds(5))["keep-alive"], 60)
    }))
})
