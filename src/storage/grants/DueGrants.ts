/** Grants that are due: claiming them for a process, and handing them back. The table is the queue. */
import { Context, Effect, Layer } from "effect"
import type { Statement } from "effect/sql"
import type { Provider, Resource } from "../../domain/Account.ts"
import type { AppName, AppReach } from "../../domain/App.ts"
import type { GrantId } from "../../domain/Ids.ts"
import { resourceOfAccount } from "../AccountResource.ts"
import { column, Database, orDie, relaxed } from "../Database.ts"

/** The right of one process to redeem a grant first, until it ends. */
export interface Claim {
  readonly grantId: GrantId
  /** By the database's clock. Whose claim it is: no two claims of a grant end at one time. */
  readonly until: Date
}

/** A grant to redeem, for the resource that its accounts read through. */
export interface DueGrant extends Claim {
  readonly resource: Resource
  readonly app: AppName
}

/** How much of one OAuth client's work a process has in hand, over all tenants, and the most that it wants to have. */
export interface InHand extends Omit<AppReach, "tenant"> {
  readonly count: number
  /** Null = any number. */
  readonly most: number | null
}

interface DueRow {
  readonly grant_id: string
  readonly until: Date
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly resource: Resource
}

/**
 * Of each app a claim looks at so many times its equal share, for others may have less. So it can fall short of its limit
 * with more due, but not of {@link claimedIfMore}.
 */
const perShare = 4

/**
 * The least that a claim brings where more is due. With 4 n / k grants of each of k apps looked at, of which all but one may
 * have a single one, it is at least 4 √n - 1: a quarter of any limit n up to 200.
 */
export const claimedIfMore = (limit: number): number => Math.ceil(limit / 4)

export class DueGrants extends Context.Service<DueGrants, {
  /**
   * Claims grants that are due, but for those of the apps in `except`. Clients take turns, and whoever has the least in hand
   * goes first: of several that have work due none gets all, and one that is alone does. Of one client the oldest first.
   * With fewer than {@link claimedIfMore} no more is due. `limit` is at most 200.
   */
  readonly claim: (
    limit: number,
    claimSeconds: number,
    except: ReadonlyArray<AppReach>,
    inHand?: ReadonlyArray<InHand>,
  ) => Effect.Effect<ReadonlyArray<DueGrant>>
  /** Hands claims back that nobody worked on. One that has ended, and may be another process's by now, is left alone. */
  readonly unclaim: (claims: ReadonlyArray<Claim>) => Effect.Effect<void>
}>()("mailfleet/storage/DueGrants") {
  static readonly layer: Layer.Layer<DueGrants, never, Database> = Layer.effect(
    DueGrants,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      const appsNamed = (apps: ReadonlyArray<AppReach>) =>
        sql`select p.id from ${t.apps} p join unnest(${column("text", apps.map(({ provider }) => provider))},
            ${column("text", apps.map(({ clientId }) => clientId))},
            ${column("text", apps.map(({ tenant }) => tenant ?? null))}) as n (provider, client_id, tenant)
          on p.provider = n.provider and p.client_id = n.client_id and (n.tenant is null or p.tenant = n.tenant)`

      /**
       * The oldest grants of an app that are due and that nobody has claimed. Index: grants_attempt. Claims are in no index, so
       * that one costs a short write; what is claimed stands at the head of the index, and is little.
       */
      const nextOf = (appId: Statement.Fragment, limit: Statement.Fragment) =>
        sql`select g.id, g.attempt_at from ${t.grants} g where g.app_id = ${appId} and g.attempt_at <= now()
          and (g.claimed_until is null or g.claimed_until <= now()) order by g.attempt_at limit ${limit}`

      /** The first `limit` turns, with `ofEach` grants of each of `apps` looked at: clients in turn, whoever has the least first. */
      const turnsOf = (apps: Statement.Fragment, ofEach: number, inHand: ReadonlyArray<InHand>, limit: number) =>
        sql`select app_id from (
            select p.id as app_id, next.attempt_at, h.most, coalesce(h.count, 0) + row_number() over (
              partition by p.provider, p.client_id order by next.attempt_at) as turn
            from ${t.apps} p
            left join unnest(${column("text", inHand.map(({ provider }) => provider))},
                ${column("text", inHand.map(({ clientId }) => clientId))},
                ${column("int4", inHand.map(({ count }) => count))},
                ${column("int4", inHand.map(({ most }) => most))}) as h (provider, client_id, count, most)
              on h.provider = p.provider and h.client_id = p.client_id
            cross join lateral (${nextOf(sql`p.id`, sql`${ofEach}`)}) next
            where ${apps}
          ) queue where most is null or turn <= most order by turn, attempt_at limit ${limit}`

      return DueGrants.of({
        claim: Effect.fn("DueGrants.claim")(
          function* (limit: number, claimSeconds: number, except, inHand = []) {
            // The apps that come next, by the oldest grant of each; then some of each, so that no more is read than is needed.
            const apps = yield* sql<{ app_id: string }>`
              ${turnsOf(sql`p.id <> all (array(${appsNamed(except)}))`, 1, inHand, limit)}`
            if (apps.length === 0) return []
            const next = column("uuid", apps.map(({ app_id }) => app_id))
            const ofEach = Math.ceil(perShare * limit / apps.length)
            const rows = yield* sql<DueRow>`with shares as (
                select app_id, count(*) as share from (
                  ${turnsOf(sql`p.id = any (${next})`, ofEach, inHand, limit)}
                ) turns group by app_id
              ), due as (
                -- Only these are locked. What others have locked is stepped over, so that each finds its share.
                select next.id from shares cross join lateral (
                  ${nextOf(sql`shares.app_id`, sql`shares.share`)} for update skip locked
                ) next limit ${limit}
              ), claimed as (
                -- To the millisecond, as our clock tells times.
                update ${t.grants} c
                set claimed_until = date_trunc('milliseconds', now() + make_interval(secs => ${claimSeconds}))
                from ${sql.literal(relaxed)}
                -- As an array, so that it is never joined by reading all grants.
                where c.id = any (array(select id from due)) returning c.id, c.app_id, c.tenant, c.claimed_until
              )
              select distinct on (c.id) c.id as grant_id, c.claimed_until as until, p.provider, p.client_id,
                coalesce(c.tenant, p.tenant) as tenant,
                ${resourceOfAccount(sql)} as resource
              from claimed c join ${t.apps} p on p.id = c.app_id
              join ${t.accounts} a on a.grant_id = c.id and a.status <> 'disabled'
              left join ${t.access_tokens} x on x.grant_id = c.id and x.resource = ${resourceOfAccount(sql)}
              -- Of several resources, the one whose access token is to be replaced first.
              order by c.id, x.renew_at nulls first`
            return rows.map((row): DueGrant => ({
              grantId: row.grant_id,
              until: row.until,
              resource: row.resource,
              app: { provider: row.provider, clientId: row.client_id, tenant: row.tenant },
            }))
          },
          orDie,
        ),
        unclaim: Effect.fnUntraced(function* (claims: ReadonlyArray<Claim>) {
          if (claims.length === 0) return
          yield* sql`with mine as (
              select g.id from ${t.grants} g join unnest(${column("uuid", claims.map(({ grantId }) => grantId))},
                  ${column("timestamptz", claims.map(({ until }) => until))}) as c (id, until)
                on c.id = g.id and c.until = g.claimed_until
              order by g.id for update of g
            )
            update ${t.grants} g set claimed_until = null from mine where g.id = mine.id`
        }, orDie),
      })
    }),
  )
}
