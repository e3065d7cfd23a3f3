/** Grants in the database: leases, and what redemptions came to. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { Statement } from "effect/sql"
import type { Provider, Resource } from "../domain/Account.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import type { GrantId } from "../domain/Ids.ts"
import { GrantStore, type LeaseAnswer, type LeasedGrant, type Settled, type Settlement } from "../oauth/GrantStore.ts"
import { Vault } from "../oauth/Vault.ts"
import { resourceOfAccount } from "./AccountResource.ts"
import { column, Database, orDie, relaxed } from "./Database.ts"

/** Seconds. Longer than the token timeout of 8 s, so that a holder who is alive has settled by then. */
const leaseSeconds = 20

/** Owners of sealed values, as the Vault knows them. */
export const grantOwner = (id: string): string => `grant:${id}`
export const accessOwner = (id: string, resource: string): string => `access:${id}:${resource}`
export const appOwner = (id: string): string => `app:${id}`

type Redeemed = Extract<Settlement, { readonly _tag: "Redeemed" }>
type Failed = Extract<Settlement, { readonly _tag: "Failed" }>

interface LeasedRow {
  readonly id: string
  readonly app_id: string
  readonly version: number
  readonly secret: Uint8Array
  readonly lease_fence: bigint
  readonly refreshed_at: Date | null
  readonly failures: number
  readonly failing_seconds: number | null
  readonly failure_class: FailureClass | null
  readonly taken_over: boolean
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly app_secret: Uint8Array | null
}

export const layerGrantStore: Layer.Layer<GrantStore, never, Database | Vault> = Layer.effect(
  GrantStore,
  Effect.gen(function* () {
    const database = yield* Database
    const vault = yield* Vault
    const { sql, tables: t } = database

    /** Never a part of the caller's transaction: what that rolls back, the provider has rotated all the same. */
    const apart: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E> = Effect.updateContext(
      Context.omit(sql.transactionService),
    )

    const release = ({ fence, id }: Pick<LeasedGrant, "fence" | "id">) =>
      Effect.asVoid(
        orDie(sql`update ${t.grants} g set lease_until = null, claimed_until = null from ${sql.literal(relaxed)}
          where id = ${id} and lease_fence = ${fence}`),
      )

    const open = (row: LeasedRow): Effect.Effect<LeaseAnswer> =>
      Effect.gen(function* () {
        return {
          _tag: "Leased" as const,
          takenOver: row.taken_over,
          grant: {
            id: row.id,
            version: row.version,
            fence: row.lease_fence,
            app: {
              provider: row.provider,
              clientId: row.client_id,
              tenant: row.tenant,
              ...(row.app_secret === null ? {} : { secret: yield* vault.open(appOwner(row.app_id), row.app_secret) }),
            },
            refreshToken: yield* vault.open(grantOwner(row.id), row.secret),
            redeemedAt: row.refreshed_at?.getTime(),
            failures: row.failures,
            failingSeconds: row.failing_seconds ?? 0,
            failureClass: row.failure_class ?? undefined,
          },
        }
      }).pipe(
        Effect.catch(({ message }) =>
          Effect.as(release({ id: row.id, fence: row.lease_fence }), { _tag: "Unreadable" as const, message })
        ),
      )

    /** Why a grant could not be leased. */
    const unleased = Effect.fnUntraced(function* (ids: ReadonlyArray<GrantId>) {
      const rows = yield* sql<{ id: string; version: number; refreshed_at: Date | null; in_use: boolean }>`
        select g.id, g.version, g.refreshed_at, exists (
          select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled') as in_use
        from ${t.grants} g where g.id = any(${column("uuid", ids)})`
      return new Map(rows.map((row): readonly [string, LeaseAnswer] => [
        row.id,
        row.in_use
          ? { _tag: "Held", version: row.version, redeemedAt: row.refreshed_at?.getTime() }
          : { _tag: "Disabled" },
      ]))
    })

    const lease = Effect.fnUntraced(function* (ids: ReadonlyArray<GrantId>) {
      // In one order and past what others hold locked: batches of several processes cannot lock each other out.
      const rows = yield* sql<LeasedRow>`with free as (
          select g.id, g.lease_until is not null as taken_over from ${t.grants} g
          where g.id = any(${column("uuid", ids)}) and (g.lease_until is null or g.lease_until < now())
            and exists (select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled')
          order by g.id for update of g skip locked
        ), leased as (
          -- On disk before anything is sent: a database that crashes meanwhile must not hand the grant to another process.
          update ${t.grants} g set lease_fence = g.lease_fence + 1,
            lease_until = now() + make_interval(secs => ${leaseSeconds})
          from free where g.id = free.id
          returning g.id, g.app_id, g.version, g.secret, g.lease_fence, g.refreshed_at, g.failures, g.failure_class,
            extract(epoch from now() - g.failing_since)::float8 as failing_seconds, free.taken_over
        )
        select l.*, p.provider, p.client_id, p.tenant, p.secret as app_secret
        from leased l join ${t.apps} p on p.id = l.app_id`
      const answers = new Map<string, LeaseAnswer>()
      for (const row of rows) answers.set(row.id, yield* open(row))
      const missing = ids.filter((id) => !answers.has(id))
      const others = missing.length > 0 ? yield* unleased(missing) : new Map<string, LeaseAnswer>()
      return ids.map((id): LeaseAnswer => answers.get(id) ?? others.get(id) ?? { _tag: "Missing" })
    }, orDie)

    /** Entries for the change log, from a CTE `changed` of accounts with their status before and after. */
    const logStatuses = sql`insert into ${t.changes} (account_id, kind, origin, fields)
      select changed.id, 'account.status', 'live', array[changed.before, changed.after] from changed
      -- Taken before the first position is: positions are in the order of commits (see ChangeLog).
      cross join lateral (select pg_advisory_xact_lock(${database.changesLock})) locked
      where changed.before <> changed.after`

    /** In one order, as everybody does who changes many grants: so two of them cannot lock each other out. */
    const lockNew = (condition: Statement.Fragment) =>
      sql`select g.id from ${t.grants} g join new on new.id = g.id where ${condition} order by g.id for update of g`

    /** When `g` is due again after the redemption `new`. */
    const nextDue = sql`case g.policy when 'warm' then (
        -- Each resource that the accounts read through is kept valid: the first token to be replaced decides.
        select min(case when w.resource = new.resource then now() + make_interval(secs => new.warm)
          else coalesce(x.renew_at, now()) end)
        from (select distinct ${resourceOfAccount(sql)} as resource from ${t.accounts} a
          where a.grant_id = g.id and a.status <> 'disabled') w
        left join ${t.access_tokens} x on x.grant_id = g.id and x.resource = w.resource
      ) else now() + make_interval(secs => new.keep_alive) end`

    /**
     * One statement, and so one transaction and one round trip, for any number of redemptions. A version that has moved is
     * left alone; where it has not, a rotated token is kept even if the lease has been lost, for nothing newer is there.
     */
    const storeRedeemed = Effect.fnUntraced(function* (redeemed: ReadonlyArray<Redeemed>) {
      const rows = yield* sql<{ id: string; expires_at: Date }>`with new as (
          select * from unnest(${column("uuid", redeemed.map(({ grant }) => grant.id))},
            ${column("int4", redeemed.map(({ grant }) => grant.version))},
            ${
        column(
          "bytea",
          redeemed.map(({ grant, refreshToken }) =>
            refreshToken === undefined ? null : vault.seal(grantOwner(grant.id), Redacted.value(refreshToken))
          ),
        )
      },
            ${
        column(
          "bytea",
          redeemed.map(({ refreshToken }) => refreshToken === undefined ? null : vault.hash(refreshToken)),
        )
      },
            ${column("float8", redeemed.map(({ dueInSeconds }) => dueInSeconds.keepAlive))},
            ${column("float8", redeemed.map(({ dueInSeconds }) => dueInSeconds.warm))},
            ${column("text", redeemed.map(({ resource }) => resource))},
            ${
        column(
          "bytea",
          redeemed.map(({ grant, resource, accessToken }) =>
            vault.seal(accessOwner(grant.id, resource), Redacted.value(accessToken))
          ),
        )
      },
            ${column("float8", redeemed.map(({ expiresInSeconds }) => expiresInSeconds))})
            as n (id, version, secret, hash, keep_alive, warm, resource, access, expires)
        ), unmoved as (
          ${lockNew(sql`g.version = new.version`)}
        ), stored as (
          update ${t.grants} g set version = g.version + (new.secret is not null)::int,
            secret = coalesce(new.secret, g.secret), token_hash = coalesce(new.hash, g.token_hash), refreshed_at = now(),
            lease_until = null, claimed_until = null, failures = 0, failing_since = null, failure_class = null,
            failure_code = null, failure_message = null, failure_trace_id = null, failure_correlation_id = null,
            failed_at = null,
            -- A grant that rests, for its accounts were disabled meanwhile, goes on resting.
            (due_at, attempt_at) = (select next.at, next.at from (select case when g.attempt_at is not null then ${nextDue} end as at) next)
          from unmoved join new using (id) where g.id = unmoved.id returning g.id
        ), retired as (
          insert into ${t.grant_tokens} (grant_id, hash)
          -- The grants as they were before this statement.
          select g.id, g.token_hash from stored join ${t.grants} g using (id) join new using (id) where new.secret is not null
          on conflict do nothing
        ), access as (
          insert into ${t.access_tokens} (grant_id, resource, secret, expires_at, renew_at)
          select new.id, new.resource, new.access, now() + make_interval(secs => new.expires),
            now() + make_interval(secs => new.warm)
          from stored join new using (id)
          on conflict (grant_id, resource) do update set secret = excluded.secret, expires_at = excluded.expires_at,
            renew_at = excluded.renew_at
          returning grant_id, expires_at
        ), changed as (
          update ${t.accounts} a set status = 'active', status_reason = null, updated_at = now(),
            sync_due_at = coalesce(a.sync_due_at, now())
          from stored, ${t.accounts} old
          where a.grant_id = stored.id and old.id = a.id and a.status <> 'disabled'
            and (a.status <> 'active' or a.status_reason is not null)
          returning a.id, old.status as before, a.status as after
        ), logged as (${logStatuses})
        select grant_id as id, expires_at from access`
      return new Map(rows.map((row) => [row.id, DateTime.fromDateUnsafe(row.expires_at)]))
    })

    /** Likewise for failures. Only the holder of the lease may say that a grant fails. */
    const storeFailed = Effect.fnUntraced(function* (failed: ReadonlyArray<Failed>) {
      const rows = yield* sql<{ id: string }>`with new as (
          select * from unnest(${column("uuid", failed.map(({ grant }) => grant.id))},
            ${column("int4", failed.map(({ grant }) => grant.version))}, ${
        column("int8", failed.map(({ grant }) => grant.fence))
      },
            ${column("text", failed.map((one) => one.class))}, ${column("text", failed.map(({ code }) => code))},
            ${column("text", failed.map(({ message }) => message))}, ${
        column("text", failed.map(({ status }) => status ?? null))
      },
            ${column("float8", failed.map(({ attemptInSeconds }) => attemptInSeconds))},
            ${column("bool", failed.map(({ movesDue }) => movesDue))},
            ${column("text", failed.map(({ traceId }) => traceId ?? null))},
            ${column("text", failed.map(({ correlationId }) => correlationId ?? null))})
            as n (id, version, fence, class, code, message, status, attempt, moves_due, trace_id, correlation_id)
        ), unmoved as (
          ${lockNew(sql`g.version = new.version and g.lease_fence = new.fence`)}
        ), stored as (
          update ${t.grants} g set lease_until = null, claimed_until = null,
            failures = case when g.failure_class = new.class then g.failures + 1 else 1 end,
            failing_since = case when g.failure_class = new.class then g.failing_since else now() end,
            failure_class = new.class, failure_code = new.code, failure_message = new.message, failed_at = now(),
            failure_trace_id = new.trace_id, failure_correlation_id = new.correlation_id,
            attempt_at = case when g.attempt_at is not null then now() + make_interval(secs => new.attempt) end,
            due_at = case when g.attempt_at is not null and new.moves_due then now() + make_interval(secs => new.attempt)
              else g.due_at end
          from unmoved join new using (id) where g.id = unmoved.id
          returning g.id, new.status, new.message
        ), changed as (
          update ${t.accounts} a set status = coalesce(stored.status, a.status), status_reason = stored.message,
            updated_at = now(), sync_due_at = case when stored.status is null then a.sync_due_at end
          from stored, ${t.accounts} old
          where a.grant_id = stored.id and old.id = a.id and a.status <> 'disabled'
            -- An account that is not active says why; one that is stays as it is while the fault passes.
            and (stored.status is not null or a.status = 'pending')
          returning a.id, old.status as before, a.status as after
        ), logged as (${logStatuses})
        select id from stored`
      return new Set(rows.map(({ id }) => id))
    })

    const settle = Effect.fn("GrantStore.settle")(function* (batch: ReadonlyArray<Settlement>) {
      const redeemed = batch.filter((one) => one._tag === "Redeemed")
      const failed = batch.filter((one) => one._tag === "Failed")
      const expiries = redeemed.length > 0 ? yield* storeRedeemed(redeemed) : new Map<string, DateTime.Utc>()
      const recorded = failed.length > 0 ? yield* storeFailed(failed) : new Set<string>()
      return batch.map((one): Settled => ({
        applied: one._tag === "Redeemed" ? expiries.has(one.grant.id) : recorded.has(one.grant.id),
        expiresAt: expiries.get(one.grant.id),
      }))
    }, orDie)

    const accessToken = Effect.fnUntraced(function* (id: GrantId, resource: Resource, minValiditySeconds: number) {
      const rows = yield* sql<{ secret: Uint8Array; expires_at: Date }>`
        select secret, expires_at from ${t.access_tokens} where grant_id = ${id} and resource = ${resource}
        and expires_at > now() + make_interval(secs => ${minValiditySeconds})`
      const row = rows[0]
      if (row === undefined) return Option.none()
      const expiresAt = DateTime.fromDateUnsafe(row.expires_at)
      // What cannot be read is not there: another one is to be had.
      return Option.map(yield* Effect.option(vault.open(accessOwner(id, resource), row.secret)), (token) => ({
        token,
        expiresAt,
      }))
    }, orDie)

    const postpone = (id: GrantId, seconds: number) =>
      Effect.asVoid(
        orDie(sql`update ${t.grants} set attempt_at = now() + make_interval(secs => ${seconds}), claimed_until = null
          where id = ${id} and attempt_at is not null`),
      )

    const app = (id: GrantId) =>
      orDie(Effect.map(
        sql<{ provider: Provider; client_id: string; tenant: string }>`select p.provider, p.client_id, p.tenant
          from ${t.grants} g join ${t.apps} p on p.id = g.app_id where g.id = ${id}`,
        ([row]) =>
          row === undefined
            ? Option.none()
            : Option.some({ provider: row.provider, clientId: row.client_id, tenant: row.tenant }),
      ))

    return GrantStore.of({
      lease: (ids) => apart(lease(ids)),
      settle: (batch) => apart(settle(batch)),
      release: (grant) => apart(release(grant)),
      accessToken: (id, resource, minValiditySeconds) => apart(accessToken(id, resource, minValiditySeconds)),
      postpone: (id, seconds) => apart(postpone(id, seconds)),
      app: (id) => apart(app(id)),
    })
  }),
)
