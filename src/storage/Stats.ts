/** The fleet at a glance. */
import { Context, Effect, Layer } from "effect"
import type { AccountStatus, Provider } from "../domain/Account.ts"
import { FailureClass } from "../domain/FailureClass.ts"
import type { RunState } from "../domain/Run.ts"
import { Settings } from "../domain/Settings.ts"
import { reachOf, speedOf, syncAdvice, SyncPace } from "../pacing/SyncPace.ts"
import { Database, isMigrated, orDie } from "./Database.ts"
import { type EndingGrants, endingGrants } from "./grants/Endings.ts"
import { countExpiring, type ExpiringApps } from "./grants/AppExpiry.ts"
import { shared } from "./Measurement.ts"
import { type RefreshLag, refreshLag } from "./grants/RefreshLag.ts"
import { type SyncLag, syncLag } from "./mail/SyncLag.ts"

/** What is counted over the whole fleet. */
export interface Counts {
  /** Mailboxes. */
  readonly accounts: {
    readonly total: number
    readonly byStatus: Readonly<Record<AccountStatus, number>>
    readonly byProvider: Readonly<Record<Provider, number>>
  }
  /** Stored, over all accounts. */
  readonly messages: number
  /** Grants whose last redemption failed. */
  readonly failing: Readonly<Record<FailureClass, number>>
  /** Grants whose refresh token ends soon unless it is used, or somebody signs in again. */
  readonly ending: EndingGrants
  /** Imports, refreshes and syncs, by state. */
  readonly runs: Readonly<Record<RunState, number>>
}

/** The fleet at a glance. */
export interface FleetStats extends Omit<Counts, "failing" | "ending"> {
  /** How far refreshing is behind. */
  readonly refresh: RefreshLag & Pick<Counts, "failing" | "ending">
  /** How far syncing is behind, and how many accounts it can reach. */
  readonly sync: SyncStats
}

/** How many accounts one process keeps in step, and what to set instead where there are more. */
export interface SyncReach {
  /** How often an account is to be synced. */
  readonly everySeconds: number
  /** Accounts that a process which is set like this one syncs within that time; null = no bound, for nothing is known to take time. */
  readonly accounts: number | null
  /** What a turn took lately in this process; null = it had none yet. */
  readonly meanSeconds: number | null
  /** Absent where it reaches all of them. */
  readonly advice?: string
}

/** How far syncing is behind, and what it can reach. */
export interface SyncStats extends SyncLag {
  /** What one process can do. */
  readonly reach: SyncReach
}

/** What `fault` says where no answer comes. */
export const databaseSilent = "the database does not answer"

export class Stats extends Context.Service<Stats, {
  /** Counts that take long, as those of a million accounts do, are kept for a few seconds. */
  readonly fleet: Effect.Effect<FleetStats>
  /** The part of `fleet` that alerts look at. */
  readonly refreshLag: Effect.Effect<RefreshLag>
  readonly sync: Effect.Effect<SyncStats>
  readonly expiringApps: Effect.Effect<ExpiringApps>
  /** What keeps the database from being worked on; undefined = nothing. Does not fail. */
  readonly fault: Effect.Effect<string | undefined>
}>()("mailfleet/storage/Stats") {
  static readonly layer: Layer.Layer<Stats, never, Database | Settings | SyncPace> = Layer.effect(
    Stats,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const pace = yield* SyncPace
      const { sql, tables: t } = database

      // One scan of the accounts, some 0.5 s for a million.
      const accounts = sql<{ provider: Provider; status: AccountStatus; count: number; messages: number }>`
        select provider, status, count(*)::float8 as count, coalesce(sum(messages), 0)::float8 as messages
        from ${t.accounts} group by provider, status`

      const failing = sql<{ failure_class: FailureClass; count: number }>`
        select failure_class, count(*)::float8 as count from ${t.grants} where failure_class is not null
        group by failure_class`

      const runs = sql<{ state: RunState; count: number }>`select state, count(*)::float8 as count from ${t.runs}
        where state <> 'uploading' group by state`

      const count = Effect.gen(function* () {
        const found = yield* accounts
        const sum = (rows: typeof found) => rows.reduce((total, { count }) => total + count, 0)
        const ofStatus = (status: AccountStatus) => sum(found.filter((row) => row.status === status))
        const ofProvider = (provider: Provider) => sum(found.filter((row) => row.provider === provider))
        const failures = new Map((yield* failing).map((row) => [row.failure_class, row.count]))
        const states = yield* runs
        const inState = (state: RunState) => states.find((row) => row.state === state)?.count ?? 0
        return {
          accounts: {
            total: sum(found),
            byStatus: {
              pending: ofStatus("pending"),
              active: ofStatus("active"),
              needs_reauth: ofStatus("needs_reauth"),
              blocked: ofStatus("blocked"),
              disabled: ofStatus("disabled"),
            },
            byProvider: { microsoft: ofProvider("microsoft"), google: ofProvider("google") },
          },
          messages: found.reduce((total, { messages }) => total + messages, 0),
          failing: Object.fromEntries(
            FailureClass.literals.map((name) => [name, failures.get(name) ?? 0]),
          ) as Record<FailureClass, number>,
          ending: yield* endingGrants(database),
          runs: {
            queued: inState("queued"),
            running: inState("running"),
            completed: inState("completed"),
            cancelled: inState("cancelled"),
            failed: inState("failed"),
          },
        } satisfies Counts
      })

      const counts = yield* shared(database, Effect.withSpan(count, "Stats.counts"))
      // Apart from the counts: where little is overdue it is quick, however large the fleet, and so never kept.
      const lag = yield* shared(database, Effect.withSpan(refreshLag(database), "Stats.refreshLag"))
      const behind = yield* shared(database, Effect.withSpan(syncLag(database, settings), "Stats.syncLag"))

      const sync = Effect.gen(function* () {
        const lag = yield* behind
        const mean = yield* pace.mean
        const speed = speedOf(settings, mean)
        const reach = reachOf(speed)
        const advice = syncAdvice(lag.accounts, speed)
        return {
          ...lag,
          reach: {
            everySeconds: speed.every / 1_000,
            accounts: Number.isFinite(reach) ? reach : null,
            meanSeconds: mean === undefined ? null : Math.round(mean) / 1_000,
            ...(advice === undefined ? {} : { advice }),
          },
        } satisfies SyncStats
      })

      return Stats.of({
        fleet: orDie(Effect.gen(function* () {
          const { ending, failing, ...rest } = yield* counts
          return { ...rest, refresh: { ...(yield* lag), failing, ending }, sync: yield* sync }
        })),
        refreshLag: orDie(lag),
        sync: orDie(sync),
        expiringApps: countExpiring(database),
        fault: isMigrated(database).pipe(
          Effect.map((migrated) => migrated ? undefined : "the tables of the database are older than this program"),
          Effect.catchCause(() => Effect.succeed(databaseSilent)),
        ),
      })
    }),
  )
}
