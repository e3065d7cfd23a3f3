/**
 * The service level of refreshing: for how long the oldest overdue grant has waited, by app and policy.
 *
 * A grant is overdue once the time has passed at which its policy wants it redeemed (`due_at`), unless a process is working
 * on it (`claimed_until`). A failure that passes, or that is the app's, moves `attempt_at` only: what waits behind a
 * throttling provider or a refused app goes on counting from the time at which it was due.
 */
import { Effect } from "effect"
import type { Provider, RefreshPolicy } from "../../domain/Account.ts"
import type { Database } from "../Database.ts"

/** Work that is due: how much, and for how many seconds the oldest of it has waited. */
export interface Lag {
  /** How much is overdue. */
  readonly due: number
  /** For how long the oldest of it has waited; 0 = nothing is overdue. */
  readonly lagSeconds: number
}

/** What is overdue of one app at one tenant, under one policy. */
export interface AppLag extends Lag {
  /** The app, as `apps.get` takes it. */
  readonly appId: string
  /** Where the app is registered. */
  readonly provider: Provider
  /** The client id that the provider knows it by. */
  readonly clientId: string
  /** The tenant that its grants belong to. */
  readonly tenant: string
  /** What says when its grants are due. */
  readonly policy: RefreshPolicy
}

/** What is overdue in the fleet, by app. */
export interface RefreshLag extends Lag {
  /** Only what is overdue; longest lag first, at most 100. */
  readonly byApp: ReadonlyArray<AppLag>
  /** What is overdue beyond those 100. */
  readonly others: Readonly<Record<RefreshPolicy, Lag>>
}

const mostApps = 100
const noLag: Lag = { due: 0, lagSeconds: 0 }

interface Row {
  readonly app_id: string | null
  readonly provider: Provider | null
  readonly client_id: string | null
  readonly tenant: string | null
  readonly policy: RefreshPolicy
  readonly due: number
  readonly lag: number
}

/**
 * One row for each app and policy, the oldest first; beyond {@link mostApps}, one for each policy, without an app. Reads what
 * is overdue and no other grant.
 */
export const overdue = ({ sql, tables: t }: Database["Service"]) => {
  const unclaimed = sql`(claimed_until is null or claimed_until <= now())`
  return sql<Row>`with overdue as (
      -- Index: grants_attempt.
      select g.app_id, g.policy, g.due_at from ${t.apps} p join ${t.grants} g on g.app_id = p.id
      where g.attempt_at <= now() and g.due_at <= now() and ${unclaimed}
      union all
      -- Index: grants_late.
      select app_id, policy, due_at from ${t.grants}
      where attempt_at > due_at and due_at <= now() and attempt_at > now() and ${unclaimed}
    ), by_app as (
      select app_id, policy, count(*) as due, min(due_at) as oldest,
        row_number() over (order by min(due_at), app_id, policy) as place
      from overdue group by app_id, policy
    )
    select p.id as app_id, p.provider, p.client_id, p.tenant, b.policy, sum(b.due)::float8 as due,
      extract(epoch from now() - min(b.oldest))::float8 as lag
    from by_app b left join ${t.apps} p on p.id = b.app_id and b.place <= ${mostApps}
    group by p.id, b.policy order by min(b.place)`
}

const lagOf = ({ due, lag }: Row): Lag => ({ due, lagSeconds: Math.round(lag * 1_000) / 1_000 })

const together = (lags: ReadonlyArray<Lag>): Lag => ({
  due: lags.reduce((sum, { due }) => sum + due, 0),
  lagSeconds: Math.max(0, ...lags.map(({ lagSeconds }) => lagSeconds)),
})

export const refreshLag = (database: Database["Service"]) =>
  Effect.map(overdue(database), (rows): RefreshLag => {
    const byApp = rows.flatMap((row): ReadonlyArray<AppLag> =>
      row.app_id === null ? [] : [{
        appId: row.app_id,
        provider: row.provider!,
        clientId: row.client_id!,
        tenant: row.tenant!,
        policy: row.policy,
        ...lagOf(row),
      }]
    )
    const otherOf = (policy: RefreshPolicy) => {
      const row = rows.find((row) => row.app_id === null && row.policy === policy)
      return row === undefined ? noLag : lagOf(row)
    }
    const others = { "keep-alive": otherOf("keep-alive"), warm: otherOf("warm") }
    return { ...together([...byApp, others["keep-alive"], others.warm]), byApp, others }
  })

/** The lag of one policy over all apps. */
export const lagUnder = (policy: RefreshPolicy, { byApp, others }: RefreshLag): Lag =>
  together([...byApp.filter((one) => one.policy === policy), others[policy]])
