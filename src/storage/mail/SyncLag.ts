/**
 * The service level of syncing: for how long the oldest overdue account has waited, by channel.
 *
 * An account is overdue once its due time has passed, unless a process is working on it. Failures that pass, or that are the
 * app's, move the due time: what waits behind them counts from the time at which the interval since its last complete round
 * ended. Failures of its own (consent, a mailbox that is gone) make it no overdue one, but a failing one.
 */
import { Duration, Effect } from "effect"
import type { Channel } from "../../domain/Account.ts"
import { codeOf, FailureClass } from "../../domain/FailureClass.ts"
import type { SettingsValues } from "../../domain/Settings.ts"
import { column, type Database } from "../Database.ts"
import type { Lag } from "../grants/RefreshLag.ts"

/** What is overdue of syncing. */
export interface SyncLag extends Lag {
  /** By how the mailboxes are read. */
  readonly byChannel: Readonly<Record<Channel, Lag>>
  /** Active accounts that are synced by themselves. */
  readonly accounts: number
  /** Accounts whose last round failed. */
  readonly failing: Readonly<Record<FailureClass, number>>
  /** Active accounts whose last complete round ended more than {@link staleAfter} intervals ago, and for how long the stalest. */
  readonly stale: { readonly accounts: number; readonly oldestSeconds: number }
  /** Folders whose first listing, or a new one after a lost cursor, is under way. */
  readonly foldersListing: number
}

/** Intervals without a complete round from which on a mailbox is stale. */
export const staleAfter = 3

/** Due times are spread over a tenth to both sides. */
const spread = 1.1

const channels: ReadonlyArray<Channel> = ["graph", "gmail", "imap"]

/** Those that say nothing of the account itself. */
const passing = [codeOf.throttled, codeOf.transient, codeOf.app]

interface Row {
  readonly channel: Channel
  readonly due: number
  readonly lag: number
}

/** Reads what is overdue, and no other account. */
export const overdueSyncs = ({ sql, tables: t }: Database["Service"], everySeconds: number) =>
  sql<Row>`with overdue as (
      -- Index: accounts_sync_due.
      select channel, sync_due_at as since from ${t.accounts}
      where sync_due_at is not null and sync_due_at <= now() and status = 'active'
      union all
      -- Index: accounts_sync_failing, or accounts_synced where many fail.
      select channel, coalesce(synced_at, created_at) + make_interval(secs => ${everySeconds}::float8)
      from ${t.accounts} where status = 'active' and sync_due_at > now()
        and coalesce(synced_at, created_at) < now() - make_interval(secs => ${everySeconds * spread}::float8)
        and sync_failure_code = any(${column("text", passing)})
    )
    select channel, count(*)::float8 as due, extract(epoch from now() - min(since))::float8 as lag
    from overdue group by channel`

const rounded = (seconds: number) => Math.round(seconds * 1_000) / 1_000
const noLag: Lag = { due: 0, lagSeconds: 0 }

export const syncLag = Effect.fnUntraced(function* (
  database: Database["Service"],
  { syncEvery }: Pick<SettingsValues, "syncEvery">,
) {
  const { sql, tables: t } = database
  const every = Duration.toSeconds(syncEvery)
  const rows = yield* overdueSyncs(database, every)
  // Indexes: accounts_sync_due, accounts_synced, folders_unlisted.
  const [counts] = yield* sql<{ accounts: number; stale: number; oldest: number; listing: number }>`
    select (select count(*)::float8 from ${t.accounts} where sync_due_at is not null and status = 'active') as accounts,
      (select count(*)::float8 from ${t.accounts} where status = 'active'
        and coalesce(synced_at, created_at) < now() - make_interval(secs => ${every * staleAfter}::float8)) as stale,
      (select coalesce(extract(epoch from now() - min(coalesce(synced_at, created_at))), 0)::float8
        from ${t.accounts} where status = 'active') as oldest,
      (select count(*)::float8 from ${t.folders} where not listed and not gone) as listing`
  // Index: accounts_sync_failing.
  const failing = yield* sql<
    { code: string; count: number }
  >`select sync_failure_code as code, count(*)::float8 as count
    from ${t.accounts} where sync_failure_code is not null group by sync_failure_code`
  const lagOf = (channel: Channel): Lag => {
    const row = rows.find((row) => row.channel === channel)
    return row === undefined ? noLag : { due: row.due, lagSeconds: rounded(row.lag) }
  }
  const known = new Set<string>(Object.values(codeOf))
  const inClass = (name: FailureClass) =>
    failing.filter(({ code }) => code === codeOf[name] || (name === "unknown" && !known.has(code)))
      .reduce((sum, { count }) => sum + count, 0)
  const { accounts, listing, oldest, stale } = counts!
  const result: SyncLag = {
    due: rows.reduce((sum, { due }) => sum + due, 0),
    lagSeconds: rounded(Math.max(0, ...rows.map(({ lag }) => lag))),
    byChannel: Object.fromEntries(channels.map((channel) => [channel, lagOf(channel)])) as Record<Channel, Lag>,
    accounts,
    failing: Object.fromEntries(FailureClass.literals.map((name) => [name, inClass(name)])) as Record<
      FailureClass,
      number
    >,
    stale: { accounts: stale, oldestSeconds: rounded(stale === 0 ? 0 : oldest) },
    foldersListing: listing,
  }
  return result
})
