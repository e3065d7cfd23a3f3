/** The fleet at a glance. */
import { Context, Effect, Layer } from "effect"
import type { AccountStatus, Provider } from "../domain/Account.ts"
import type { RunState } from "../domain/Run.ts"
import { Database, orDie } from "./Database.ts"

/** Work that is due: how much, and for how many seconds the oldest of it has waited. */
export interface Lag {
  readonly due: number
  readonly lagSeconds: number
}

export interface FleetStats {
  readonly accounts: {
    readonly total: number
    readonly byStatus: Readonly<Record<AccountStatus, number>>
    readonly byProvider: Readonly<Record<Provider, number>>
  }
  /** Stored, over all accounts. */
  readonly messages: number
  readonly refresh: Lag
  readonly sync: Lag
  readonly runs: Readonly<Record<RunState, number>>
}

interface LagRow {
  readonly due: number
  readonly lag: number | null
}

const toLag = (rows: ReadonlyArray<LagRow>): Lag => ({
  due: rows[0]?.due ?? 0,
  lagSeconds: Math.max(0, Math.round((rows[0]?.lag ?? 0) * 1_000) / 1_000),
})

export class Stats extends Context.Service<Stats, {
  readonly fleet: Effect.Effect<FleetStats>
  /** True once the database has answered a query. Does not fail: false where it refuses or cannot be reached. */
  readonly answers: Effect.Effect<boolean>
}>()("mailfleet/storage/Stats") {
  static readonly layer: Layer.Layer<Stats, never, Database> = Layer.effect(
    Stats,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      // One scan of the accounts, about 0.1 s for a million.
      const accounts = sql<{ provider: Provider; status: AccountStatus; count: number; messages: number }>`
        select provider, status, count(*)::float8 as count, coalesce(sum(messages), 0)::float8 as messages
        from ${t.accounts} group by provider, status`

      // Index: grants_due.
      const refresh = sql<LagRow>`select count(*)::float8 as due, extract(epoch from now() - min(due_at))::float8 as lag
        from ${t.grants} where due_at <= now()`

      // Index: accounts_sync_due.
      const sync = sql<
        LagRow
      >`select count(*)::float8 as due, extract(epoch from now() - min(sync_due_at))::float8 as lag
        from ${t.accounts} where sync_due_at <= now() and status = 'active'`

      const runs = sql<{ state: RunState; count: number }>`select state, count(*)::float8 as count from ${t.runs}
        where state <> 'uploading' group by state`

      const fleet = Effect.gen(function* () {
        const found = yield* accounts
        const sum = (rows: typeof found) => rows.reduce((total, { count }) => total + count, 0)
        const ofStatus = (status: AccountStatus) => sum(found.filter((row) => row.status === status))
        const ofProvider = (provider: Provider) => sum(found.filter((row) => row.provider === provider))
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
          refresh: toLag(yield* refresh),
          sync: toLag(yield* sync),
          runs: {
            queued: inState("queued"),
            running: inState("running"),
            completed: inState("completed"),
            cancelled: inState("cancelled"),
            failed: inState("failed"),
          },
        }
      }).pipe(orDie, Effect.withSpan("Stats.fleet"))

      return Stats.of({
        fleet,
        answers: sql`select 1`.pipe(Effect.as(true), Effect.catchCause(() => Effect.succeed(false))),
      })
    }),
  )
}
