/** The fleet as gauges, measured when Prometheus asks, beside what the programs count as they go. */
import { Effect, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { type FleetStats, Stats } from "../storage/Stats.ts"

const accounts = Metric.gauge("mailfleet_accounts", { description: "Accounts by status" })
const providers = Metric.gauge("mailfleet_accounts_by_provider", { description: "Accounts by provider" })
const messages = Metric.gauge("mailfleet_messages", { description: "Stored messages" })
const runs = Metric.gauge("mailfleet_runs", { description: "Runs by state" })
const refreshDue = Metric.gauge("mailfleet_refresh_due", { description: "Grants whose refresh is due" })
const refreshLag = Metric.gauge("mailfleet_refresh_lag_seconds", {
  description: "For how long the oldest due refresh has waited",
})
const syncDue = Metric.gauge("mailfleet_sync_due", { description: "Accounts whose sync is due" })
const syncLag = Metric.gauge("mailfleet_sync_lag_seconds", {
  description: "For how long the oldest due sync has waited",
})

const updateAll = (
  gauge: Metric.Gauge<number>,
  label: string,
  values: Readonly<Record<string, number>>,
): Effect.Effect<void> =>
  Effect.forEach(
    Object.entries(values),
    ([value, count]) => Metric.update(Metric.withAttributes(gauge, { [label]: value }), count),
    { discard: true },
  )

const measure = Effect.fnUntraced(function* (stats: FleetStats) {
  yield* updateAll(accounts, "status", stats.accounts.byStatus)
  yield* updateAll(providers, "provider", stats.accounts.byProvider)
  yield* updateAll(runs, "state", stats.runs)
  yield* Metric.update(messages, stats.messages)
  yield* Metric.update(refreshDue, stats.refresh.due)
  yield* Metric.update(refreshLag, stats.refresh.lagSeconds)
  yield* Metric.update(syncDue, stats.sync.due)
  yield* Metric.update(syncLag, stats.sync.lagSeconds)
})

/** All metrics of this process in the Prometheus text format. */
export const scrape: Effect.Effect<string, never, Stats> = Effect.gen(function* () {
  const { fleet } = yield* Stats
  yield* measure(yield* fleet)
  return yield* PrometheusMetrics.format()
})
