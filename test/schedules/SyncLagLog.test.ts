/** What the log says of syncing: at the start, and once a minute. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Metric, Queue } from "effect"
import { TestClock } from "effect/testing"
import { Settings } from "../../src/domain/Settings.ts"
import * as SyncLagLog from "../../src/schedules/SyncLagLog.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { makeAccount } from "../support/mail.ts"
import { freshStats } from "../support/stats.ts"

const turns = Metric.counter("mailfleet_sync_turns_total", { incremental: true })
const turned = (outcome: string, channel: string, times: number) =>
  Metric.update(Metric.withAttributes(turns, { outcome, channel }), times)

await onDatabases("SyncLagLog", Layer.orDie(Settings.layerWith({})), (it) => {
  it.effect("more accounts than the settings can keep in step, with what to set; then the lag, and turns of the last minute", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const lines = yield* Queue.unbounded<string>()
      const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => Queue.offerUnsafe(lines, line))])
      const nextLine = Effect.andThen(TestClock.adjust("1 minute"), Queue.take(lines))
      const { grantId } = yield* makeAccount({})
      yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status, sync_due_at)
        select gen_random_uuid(), 'microsoft', n::text, n::text, 'graph', ${grantId}, 'active', now() + interval '1 hour'
        from generate_series(1, 900) n`

      yield* Effect.gen(function* () {
        yield* turned("complete", "graph", 5)
        yield* Layer.build(Layer.provide(SyncLagLog.layer, freshStats))
        assert.include(
          yield* Queue.take(lines),
          "900 accounts cannot be synced every 5 minutes: 5 at once, with 2 seconds between two, reach 750. " +
            'Set MAILFLEET_SYNC_CONCURRENCY=6, or MAILFLEET_SYNC_SPACING=\\"1666 millis\\", or ' +
            'MAILFLEET_SYNC_EVERY=\\"6 minutes\\"; or run 2 processes',
        )
        yield* turned("complete", "graph", 2)
        yield* turned("complete", "imap", 1)
        yield* turned("throttled", "graph", 1)
        // Told once.
        assert.match(
          yield* nextLine,
          /level=INFO .*message="syncing keeps up" due=0 lagSeconds=0 stale=0 turns=4 turns\.complete=3 turns\.throttled=1$/,
        )
        yield* sql`update ${t.accounts} set sync_due_at = now() - interval '400 seconds' where email_key in ('1', '2')`
        assert.match(yield* nextLine, /level=WARN .*message="syncing lags behind" due=2 lagSeconds=40\d.* turns=0$/)
      }).pipe(
        Effect.scoped,
        Effect.provideService(Metric.MetricRegistry, new Map()),
        Effect.provide(Layer.merge(capture, TestClock.layer())),
      )
    }))

  it.effect("a lag worries from an interval on, but never before a minute", () =>
    Effect.sync(() => {
      assert.strictEqual(SyncLagLog.worryingSync({ syncEvery: Duration.minutes(5) }), 300)
      assert.strictEqual(SyncLagLog.worryingSync({ syncEvery: Duration.seconds(5) }), 60)
    }))
})
