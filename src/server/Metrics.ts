/** What is measured when Prometheus asks, beside what the programs count as they go. All of it: docs/metrics.md. */
import { Effect, Metric } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { RefreshPolicy } from "../domain/Account.ts"
import { AdaptiveConcurrency } from "../pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { Cluster } from "../schedules/Cluster.ts"
import { Notifications } from "../storage/mail/Notifications.ts"
import type { Lag, RefreshLag } from "../storage/grants/RefreshLag.ts"
import { type FleetStats, Stats, type SyncStats } from "../storage/Stats.ts"
import { Subscriptions } from "../storage/mail/Subscriptions.ts"
import { WebhookOutbox } from "../storage/webhooks/WebhookOutbox.ts"

const accounts = Metric.gauge("mailfleet_accounts", { description: "Accounts by status" })
const providers = Metric.gauge("mailfleet_accounts_by_provider", { description: "Accounts by provider" })
const messages = Metric.gauge("mailfleet_messages", { description: "Stored messages" })
const runs = Metric.gauge("mailfleet_runs", { description: "Runs by state" })
const refreshDue = Metric.gauge("mailfleet_refresh_due", {
  description: "Grants that should have been redeemed by now and are not being worked on",
})
const refreshLag = Metric.gauge("mailfleet_refresh_lag_seconds", {
  description: "For how long the oldest overdue grant has waited",
})
const failing = Metric.gauge("mailfleet_grants_failing", {
  description: "Grants whose last redemption failed, by class of the failure",
})
const ending = Metric.gauge("mailfleet_grants_ending", {
  description: "Grants whose refresh token ends soon unless it is used, or somebody signs in again",
})
const secretsEnding = Metric.gauge("mailfleet_app_secrets_ending", {
  description: "Apps whose secret or certificate has ended, or ends soon",
})
const syncDue = Metric.gauge("mailfleet_sync_due", {
  description: "Accounts that should have been synced by now and are not being worked on",
})
const syncLag = Metric.gauge("mailfleet_sync_lag_seconds", {
  description: "For how long the oldest overdue account has waited",
})
const syncFailing = Metric.gauge("mailfleet_sync_failing", {
  description: "Accounts whose last sync failed, by class of the failure",
})
const syncStale = Metric.gauge("mailfleet_sync_stale", {
  description: "Active accounts without a complete round for three intervals",
})
const syncStalest = Metric.gauge("mailfleet_sync_stalest_seconds", {
  description: "For how long the stalest of these has had no complete round",
})
const foldersListing = Metric.gauge("mailfleet_folders_listing", {
  description: "Folders that are being listed from the start",
})
const syncAccounts = Metric.gauge("mailfleet_sync_accounts", {
  description: "Active accounts that are synced by themselves",
})
const syncReach = Metric.gauge("mailfleet_sync_reach", {
  description: "Accounts that this process can sync within the interval",
})
const subscriptionsByState = Metric.gauge("mailfleet_subscriptions", {
  description: "Subscriptions to mailboxes by state",
})
const notificationsWaiting = Metric.gauge("mailfleet_notifications_waiting", {
  description: "Notifications after which no round has ended yet",
})
const notificationLag = Metric.gauge("mailfleet_notification_lag_seconds", {
  description: "For how long the oldest of them has waited",
})
const webhooksWaiting = Metric.gauge("mailfleet_webhook_deliveries_waiting", {
  description: "Deliveries to enabled webhooks that have not arrived",
})
const webhookLag = Metric.gauge("mailfleet_webhook_lag_seconds", {
  description: "For how long the oldest entry that an enabled webhook has not been sent has waited",
})
const clusterMembers = Metric.gauge("mailfleet_cluster_members", {
  description: "Processes of the cluster: those that are alive, and those that the others do not reach",
})
const circuitOpen = Metric.gauge("mailfleet_app_circuit_open", {
  description: "1 while nothing is sent for an app that the provider refuses; tenant * = at all tenants",
})
const limit = Metric.gauge("mailfleet_concurrency_limit", {
  description: "Requests at once that the provider was found to bear, where concurrency is auto",
})
const inFlight = Metric.gauge("mailfleet_concurrency_in_flight", {
  description: "Requests under way, where concurrency is auto",
})

/** Of each kind; an operator of more apps looks at the sums. */
const mostSeries = 100

const set = (gauge: Metric.Gauge<number>, labels: Readonly<Record<string, string>>, value: number) =>
  Metric.update(Metric.withAttributes(gauge, labels), value)

const setAll = (gauge: Metric.Gauge<number>, label: string, values: Readonly<Record<string, number>>) =>
  Effect.forEach(Object.entries(values), ([name, value]) => set(gauge, { [label]: name }, value), { discard: true })

const other = { provider: "other", client_id: "other", tenant: "other" }

/** Series of apps that have nothing overdue vanish; those of `other` are always there, so that there is always a value. */
const setRefresh = Effect.fnUntraced(function* ({ byApp, others }: RefreshLag) {
  const both = (labels: Readonly<Record<string, string>>, { due, lagSeconds }: Lag) =>
    Effect.andThen(set(refreshDue, labels, due), set(refreshLag, labels, lagSeconds))
  for (const app of byApp) {
    yield* both({ provider: app.provider, client_id: app.clientId, tenant: app.tenant, policy: app.policy }, app)
  }
  for (const policy of RefreshPolicy.literals) yield* both({ ...other, policy }, others[policy])
})

const setSync = Effect.fnUntraced(function* (sync: SyncStats) {
  for (const [channel, { due, lagSeconds }] of Object.entries(sync.byChannel)) {
    yield* set(syncDue, { channel }, due)
    yield* set(syncLag, { channel }, lagSeconds)
  }
  yield* setAll(syncFailing, "class", sync.failing)
  yield* Metric.update(syncStale, sync.stale.accounts)
  yield* Metric.update(syncStalest, sync.stale.oldestSeconds)
  yield* Metric.update(foldersListing, sync.foldersListing)
  yield* Metric.update(syncAccounts, sync.accounts)
  if (sync.reach.accounts !== null) yield* Metric.update(syncReach, sync.reach.accounts)
})

const measure = Effect.fnUntraced(function* (stats: FleetStats) {
  yield* setAll(accounts, "status", stats.accounts.byStatus)
  yield* setAll(providers, "provider", stats.accounts.byProvider)
  yield* setAll(runs, "state", stats.runs)
  yield* Metric.update(messages, stats.messages)
  yield* setRefresh(stats.refresh)
  yield* setAll(failing, "class", stats.refresh.failing)
  yield* setAll(ending, "within", { "1d": stats.refresh.ending.withinDay, "7d": stats.refresh.ending.withinWeek })
  yield* setSync(stats.sync)
})

const setCircuits = Effect.fnUntraced(function* (open: Effect.Success<AppBreaker["Service"]["open"]>) {
  for (const { clientId, provider, tenant = "*" } of open.slice(0, mostSeries)) {
    yield* set(circuitOpen, { provider, client_id: clientId, tenant }, 1)
  }
})

const setLimits = Effect.fnUntraced(function* (limits: Effect.Success<AdaptiveConcurrency["Service"]["limits"]>) {
  const busiest = [...limits].toSorted(([, one], [, other]) => other.inFlight - one.inFlight).slice(0, mostSeries)
  for (const [key, found] of busiest) {
    yield* set(limit, { key }, found.limit)
    yield* set(inFlight, { key }, found.inFlight)
  }
})

/** Answers, each time, with all metrics of the fleet and of this process in the Prometheus text format. */
export const makeScrape = Effect.gen(function* () {
  const { limits } = yield* AdaptiveConcurrency
  const { open } = yield* AppBreaker
  const { expiringApps, fleet } = yield* Stats
  const { counts } = yield* Subscriptions
  const { backlog } = yield* Notifications
  const outbox = yield* WebhookOutbox
  const cluster = yield* Cluster

  const measured = Effect.gen(function* () {
    yield* measure(yield* fleet)
    const { ended, withinDay, withinMonth, withinWeek } = yield* expiringApps
    yield* setAll(secretsEnding, "within", { ended, "1d": withinDay, "7d": withinWeek, "30d": withinMonth })
    yield* setAll(subscriptionsByState, "state", yield* counts)
    const { lagSeconds, waiting } = yield* backlog
    yield* Metric.update(notificationsWaiting, waiting)
    yield* Metric.update(notificationLag, lagSeconds)
    const webhooks = yield* outbox.backlog
    yield* Metric.update(webhooksWaiting, webhooks.waiting)
    yield* Metric.update(webhookLag, webhooks.lagSeconds)
    const members = yield* cluster.members
    if (members !== undefined) {
      const healthy = members.filter((member) => member.healthy).length
      yield* setAll(clusterMembers, "state", { alive: healthy, unreachable: members.length - healthy })
    }
    yield* setCircuits(yield* open)
    yield* setLimits(yield* limits)
    return yield* PrometheusMetrics.format()
  })
  return Effect.gen(function* () {
    // In a registry of its own, so that no series outlives what it measured.
    const ofNow = yield* Effect.provideService(measured, Metric.MetricRegistry, new Map())
    return ofNow + (yield* PrometheusMetrics.format())
  })
})
