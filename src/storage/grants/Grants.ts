/** Grants in the database: leases, and what redemptions came to. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { Statement } from "effect/sql"
import type { Channel, Resource } from "../../domain/Account.ts"
import type { AppName } from "../../domain/App.ts"
import type { FailureClass } from "../../domain/FailureClass.ts"
import type { GrantId } from "../../domain/Ids.ts"
import { monotonicMillis } from "../../domain/Monotonic.ts"
import {
  type GrantLease,
  GrantStore,
  type LeaseAnswer,
  type Settled,
  type Settlement,
  type StoredFailure,
} from "../../oauth/GrantStore.ts"
import { Vault, type VaultError } from "../../oauth/Vault.ts"
import { tellStatuses } from "../AccountEvents.ts"
import { resourceOfAccount } from "../AccountResource.ts"
import { credentialColumns, type CredentialRow, readCredentials } from "./AppCredentials.ts"
import { column, Database, orDie, relaxed } from "../Database.ts"

/**
 * Seconds. Longer than the token timeout of 8 s, so that a holder who is alive has its answer by then; a redemption that would
 * begin too late for that does not (`Tokens`).
 */
const leaseSeconds = 20

/** The owner of the sealed values of a grant, as the Vault knows it. */
export const grantOwner = (id: string): string => `grant:${id}`
/** Which of them an access token is. */
export const accessOf = (resource: string): string => `access:${resource}`

type Redeemed = Extract<Settlement, { readonly _tag: "Redeemed" }>
type Failed = Extract<Settlement, { readonly _tag: "Failed" }>

interface LeasedRow extends CredentialRow {
  readonly id: string
  readonly version: number
  /** Null of an app-only grant. */
  readonly secret: Uint8Array | null
  readonly subject: string | null
  readonly grant_tenant: string | null
  readonly lease_fence: bigint
  readonly refreshed_at: Date | null
  readonly due_seconds: number | null
  readonly failures: number
  readonly failing_seconds: number | null
  readonly failure_class: FailureClass | null
  readonly restored: boolean
  readonly taken_over: boolean
  readonly channel_open: boolean
  readonly app_updated_at: Date
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

    const release = ({ fence, id }: GrantLease) =>
      Effect.asVoid(
        orDie(sql`update ${t.grants} g set lease_until = null, claimed_until = null from ${sql.literal(relaxed)}
          where id = ${id} and lease_fence = ${fence}`),
      )

    const open = Effect.fnUntraced(function* (
      row: LeasedRow,
      leasedUntil: number,
    ): Effect.fn.Return<LeaseAnswer, LeaseAnswer> {
      const grant: GrantLease = {
        id: row.id,
        version: row.version,
        fence: row.lease_fence,
        leasedUntil,
        redeemedAt: row.refreshed_at?.getTime(),
        dueInSeconds: row.due_seconds ?? undefined,
        failures: row.failures,
        failingSeconds: row.failing_seconds ?? 0,
        failureClass: row.failure_class ?? undefined,
        restored: row.restored,
      }
      const unreadable = (code: string) => (what: string, { message }: VaultError) => ({
        _tag: "Unreadable" as const,
        grant,
        code,
        message: `${what} cannot be read: ${message}`,
      })
      const tenant = row.grant_tenant ?? row.tenant
      const app = yield* readCredentials(vault, { ...row, tenant }, unreadable("app_secret_unreadable"))
      return {
        _tag: "Leased",
        takenOver: row.taken_over,
        grant: {
          ...grant,
          app: { ...app, updatedAt: row.app_updated_at.getTime() },
          subject: row.subject ?? undefined,
          channelOpen: row.channel_open,
          refreshToken: row.secret === null ? undefined : yield* Effect.mapError(
            vault.open(grantOwner(row.id), row.secret),
            (error) => unreadable("secret_unreadable")("the refresh token", error),
          ),
        },
      }
    }, Effect.catch(Effect.succeed))

    const inUse = sql`exists (select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled')`

    /** That of a whole tenant is of use without accounts as well: mailboxes are listed by it. */
    const mayBeRedeemed = sql`(g.kind = 'client_credentials' or ${inUse})`

    /** Why a grant could not be leased. */
    const unleased = Effect.fnUntraced(function* (ids: ReadonlyArray<GrantId>) {
      const rows = yield* sql<{ id: string; version: number; refreshed_at: Date | null; in_use: boolean }>`
        select g.id, g.version, g.refreshed_at, ${mayBeRedeemed} as in_use
        from ${t.grants} g where g.id = any(${column("uuid", ids)})`
      return new Map(rows.map((row): readonly [string, LeaseAnswer] => [
        row.id,
        row.in_use
          ? { _tag: "Held", version: row.version, redeemedAt: row.refreshed_at?.getTime() }
          : { _tag: "Disabled" },
      ]))
    })

    const lease = Effect.fnUntraced(function* (ids: ReadonlyArray<GrantId>) {
      const leasedUntil = (yield* monotonicMillis) + leaseSeconds * 1_000
      // In one order and past what others hold locked: batches of several processes cannot lock each other out.
      const rows = yield* sql<LeasedRow>`with free as (
          select g.id, g.lease_until is not null as taken_over from ${t.grants} g
          where g.id = any(${column("uuid", ids)}) and (g.lease_until is null or g.lease_until < now())
            and ${mayBeRedeemed}
          order by g.id for update of g skip locked
        ), leased as (
          -- On disk before anything is sent: a database that crashes meanwhile must not hand the grant to another process.
          update ${t.grants} g set lease_fence = g.lease_fence + 1,
            lease_until = now() + make_interval(secs => ${leaseSeconds})
          from free where g.id = free.id
          returning g.id, g.app_id, g.tenant as grant_tenant, g.subject, g.version, g.secret, g.lease_fence, g.refreshed_at, g.failures, g.failure_class,
            g.restored_at is not null as restored,
            extract(epoch from g.due_at - now())::float8 as due_seconds,
            extract(epoch from now() - g.failing_since)::float8 as failing_seconds, free.taken_over
        )
        select l.*, ${sql.literal(credentialColumns)}, p.updated_at as app_updated_at,
          -- Index: accounts_channel_open.
          exists (select 1 from ${t.accounts} a where a.grant_id = l.id and a.channel_open) as channel_open
        from leased l join ${t.apps} p on p.id = l.app_id`
      const answers = new Map<string, LeaseAnswer>()
      for (const row of rows) answers.set(row.id, yield* open(row, leasedUntil))
      const missing = ids.filter((id) => !answers.has(id))
      const others = missing.length > 0 ? yield* unleased(missing) : new Map<string, LeaseAnswer>()
      return ids.map((id): LeaseAnswer => answers.get(id) ?? others.get(id) ?? { _tag: "Missing" })
    }, orDie)

    /** The accounts of the CTE `stored` of grants whose status may change. Locked before the change log is (see `logStatuses`). */
    const lockAccounts = (condition: Statement.Fragment) =>
      sql`select a.id, a.grant_id, a.status as before from ${t.accounts} a join stored on stored.id = a.grant_id
        where a.status <> 'disabled' and (${condition}) order by a.id for no key update of a`

    /**
     * Entries for the change log, from a CTE `changed` of accounts with their status before and after. The log is locked before
     * the first position is taken, since positions are in the order of commits (see ChangeLog); but only once all accounts are
     * locked, which counting them sees to: a page of mail locks its account, and then the log.
     */
    const logStatuses = sql`insert into ${t.changes} (account_id, kind, origin, fields)
      select changed.id, 'account.status', 'live', array[changed.before, changed.after]
      from changed cross join (
        select pg_advisory_xact_lock(${database.changesLock})
        from (select count(*) as entries from changed where changed.before <> changed.after) counted where entries > 0
      ) locked
      where changed.before <> changed.after`

    /** The hashes of tokens that the CTE `stored` has replaced, so that no import puts them back. */
    const retireTokens = sql`insert into ${t.grant_tokens} (grant_id, hash)
      -- The grants as they were before this statement.
      select g.id, g.token_hash from stored join ${t.grants} g using (id) join new using (id) where new.secret is not null
      on conflict do nothing`

    /** In one order, as everybody does who changes many grants: so two of them cannot lock each other out. */
    const lockNew = (condition: Statement.Fragment) =>
      sql`select g.id from ${t.grants} g join new on new.id = g.id where ${condition} order by g.id for update of g`

    /** When `g` is due again after the redemption `new`. An app-only grant does not die of disuse: unless it is warm, it rests. */
    const nextDue = sql`case when g.policy = 'warm' then (
        -- Each resource that the accounts read through is kept valid: the first token to be replaced decides.
        -- Where none is in use any more, but the grant does not rest yet, as if one were.
        select coalesce(min(case when w.resource = new.resource then now() + make_interval(secs => new.warm)
          else coalesce(x.renew_at, now()) end), now() + make_interval(secs => new.warm))
        from (select distinct ${resourceOfAccount(sql)} as resource from ${t.accounts} a
          where a.grant_id = g.id and a.status <> 'disabled') w
        left join ${t.access_tokens} x on x.grant_id = g.id and x.resource = w.resource
      ) when g.kind = 'refresh_token' then now() + make_interval(secs => new.keep_alive) end`

    /** One that rests, for it is app-only, is tried again by itself while accounts wait for it: they ask for nothing themselves. */
    const isPlanned = sql`(g.attempt_at is not null or exists (select 1 from ${t.accounts} a where a.grant_id = g.id
      and a.status <> 'disabled' and (failed.status is not null or a.status <> 'active')))`

    const sealedTokens = (batch: ReadonlyArray<Settlement>) =>
      column(
        "bytea",
        batch.map(({ grant, refreshToken }) =>
          refreshToken === undefined ? null : vault.seal(grantOwner(grant.id), Redacted.value(refreshToken))
        ),
      )
    const tokenHashes = (batch: ReadonlyArray<Settlement>) =>
      column("bytea", batch.map(({ refreshToken }) => refreshToken === undefined ? null : vault.hash(refreshToken)))

    /**
     * One statement, and so one transaction and one round trip, for any number of redemptions. A version that has moved is
     * left alone; where it has not, a rotated token is kept even if the lease has been lost, for nothing newer is there.
     */
    const storeRedeemed = Effect.fnUntraced(function* (redeemed: ReadonlyArray<Redeemed>) {
      const rows = yield* sql<{ id: string; expires_at: Date }>`with new as (
          select * from unnest(${column("uuid", redeemed.map(({ grant }) => grant.id))},
            ${column("int4", redeemed.map(({ grant }) => grant.version))},
            ${sealedTokens(redeemed)}, ${tokenHashes(redeemed)},
            ${column("float8", redeemed.map(({ dueInSeconds }) => dueInSeconds.keepAlive))},
            ${column("float8", redeemed.map(({ dueInSeconds }) => dueInSeconds.warm))},
            ${column("text", redeemed.map(({ resource }) => resource))},
            ${
        column(
          "bytea",
          redeemed.map(({ grant, resource, accessToken }) =>
            vault.seal(grantOwner(grant.id), Redacted.value(accessToken), accessOf(resource))
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
            lease_fence = g.lease_fence + 1, lease_until = null, claimed_until = null, failures = 0, failing_since = null, failure_class = null,
            failure_code = null, failure_message = null, failure_trace_id = null, failure_correlation_id = null,
            failed_at = null, restored_at = null,
            -- A grant that rests, for its accounts were disabled meanwhile, goes on resting.
            (due_at, attempt_at) = (select next.at, next.at from (select case when g.attempt_at is not null then ${nextDue} end as at) next)
          from unmoved join new using (id) where g.id = unmoved.id returning g.id
        ), retired as (${retireTokens}), access as (
          insert into ${t.access_tokens} (grant_id, resource, secret, expires_at, renew_at)
          select new.id, new.resource, new.access, now() + make_interval(secs => new.expires),
            now() + make_interval(secs => new.warm)
          from stored join new using (id)
          on conflict (grant_id, resource) do update set secret = excluded.secret, expires_at = excluded.expires_at,
            renew_at = excluded.renew_at
          returning grant_id, expires_at
        ), touched as (${lockAccounts(sql`a.status <> 'active' or a.status_reason is not null`)}), changed as (
          update ${t.accounts} a set status = 'active', status_reason = null, updated_at = now(),
            status_since = case a.status when 'active' then a.status_since else now() end,
            sync_due_at = coalesce(a.sync_due_at, now())
          from touched where a.id = touched.id
          returning a.id, a.email, touched.before, a.status as after, null as code, null as reason
        ), logged as (${logStatuses}), told as (${tellStatuses(database)})
        select grant_id as id, expires_at from access`
      return new Map(rows.map((row) => [row.id, DateTime.fromDateUnsafe(row.expires_at)]))
    })

    /** Likewise for failures. Only the holder of the lease may say that a grant fails; a rotated token is kept in any case. */
    const storeFailed = Effect.fnUntraced(function* (failed: ReadonlyArray<Failed>) {
      const rows = yield* sql<{ id: string }>`with new as (
          select * from unnest(${column("uuid", failed.map(({ grant }) => grant.id))},
            ${column("int4", failed.map(({ grant }) => grant.version))}, ${
        column("int8", failed.map(({ grant }) => grant.fence))
      },
            ${column("text", failed.map(({ resource }) => resource))},
            ${column("text", failed.map((one) => one.class))}, ${column("text", failed.map(({ code }) => code))},
            ${column("text", failed.map(({ message }) => message))}, ${
        column("text", failed.map(({ status }) => status ?? null))
      },
            ${column("float8", failed.map(({ attemptInSeconds }) => attemptInSeconds))},
            ${column("bool", failed.map(({ movesDue }) => movesDue))},
            ${column("text", failed.map(({ traceId }) => traceId ?? null))},
            ${column("text", failed.map(({ correlationId }) => correlationId ?? null))},
            ${column("bool", failed.map(({ recorded }) => recorded))},
            ${sealedTokens(failed)}, ${tokenHashes(failed)})
            as n (id, version, fence, resource, class, code, message, status, attempt, moves_due, trace_id, correlation_id,
              recorded, secret, hash)
        ), unmoved as (
          ${lockNew(sql`g.version = new.version and (g.lease_fence = new.fence or new.secret is not null)`)}
        ), failed as (
          -- A fault of the app or of a permission concerns only what the accounts read through, if there are any.
          select new.*, new.class not in ('app', 'scope') or exists (
            select 1 from ${t.accounts} a where a.grant_id = new.id and a.status <> 'disabled'
              and ${resourceOfAccount(sql)} = new.resource)
            or not exists (select 1 from ${t.accounts} a where a.grant_id = new.id) as concerns
          from unmoved join new using (id)
        ), stored as (
          -- The fence is raised, so that a failure which is stored once more, for the answer was lost, does not count again.
          update ${t.grants} g set lease_fence = g.lease_fence + 1, lease_until = null, claimed_until = null,
            version = g.version + (failed.secret is not null)::int, secret = coalesce(failed.secret, g.secret),
            token_hash = coalesce(failed.hash, g.token_hash),
            attempt_at = case when ${isPlanned} and failed.concerns
              then now() + make_interval(secs => failed.attempt) else g.attempt_at end,
            due_at = case when ${isPlanned} and failed.concerns and failed.moves_due
              then now() + make_interval(secs => failed.attempt) else g.due_at end,
            (failures, failing_since, failure_class, failure_code, failure_message, failed_at, failure_trace_id,
              failure_correlation_id) = (
              select case when g.failure_class = failed.class then g.failures + 1 else 1 end,
                case when g.failure_class = failed.class then g.failing_since else now() end,
                failed.class, failed.code, failed.message, now(), failed.trace_id, failed.correlation_id
              where failed.concerns and failed.recorded
              union all
              select g.failures, g.failing_since, g.failure_class, g.failure_code, g.failure_message, g.failed_at,
                g.failure_trace_id, g.failure_correlation_id
              where not (failed.concerns and failed.recorded))
          from failed where g.id = failed.id
          returning g.id, failed.status, failed.code, failed.message, failed.concerns and failed.recorded as told
        ), retired as (${retireTokens}), touched as (
          -- An account that is not active says why; one that is stays as it is while the fault passes.
          ${lockAccounts(sql`stored.told and (stored.status is not null or a.status = 'pending')`)}
        ), changed as (
          update ${t.accounts} a set status = coalesce(stored.status, a.status), status_reason = stored.message,
            updated_at = now(), sync_due_at = case when stored.status is null then a.sync_due_at end,
            status_since = case when stored.status <> a.status then now() else a.status_since end
          from touched join stored on stored.id = touched.grant_id where a.id = touched.id
          returning a.id, a.email, touched.before, a.status as after, stored.code, stored.message as reason
        ), logged as (${logStatuses}), told as (${tellStatuses(database)})
        select id from stored
        union all
        -- Stored before: nobody has leased the grant since.
        select g.id from ${t.grants} g join new using (id)
        where g.version = new.version + (new.secret is not null)::int and g.lease_fence = new.fence + 1
          and g.lease_until is null`
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
        select x.secret, x.expires_at from ${t.access_tokens} x
        where x.grant_id = ${id} and x.resource = ${resource} and x.expires_at > now() and (
          x.expires_at > now() + make_interval(secs => ${minValiditySeconds})
          -- The time is that of the grant, which may have been redeemed for another resource: this token is still young as well.
          or (x.renew_at > now() and exists (
            select 1 from ${t.grants} g where g.id = x.grant_id and g.refreshed_at > now() - interval '1 minute')))`
      const row = rows[0]
      if (row === undefined) return Option.none()
      const expiresAt = DateTime.fromDateUnsafe(row.expires_at)
      // What cannot be read is not there: another one is to be had.
      return Option.map(yield* Effect.option(vault.open(grantOwner(id), row.secret, accessOf(resource))), (token) => ({
        token,
        expiresAt,
      }))
    }, orDie)

    const recentRefusal = (id: GrantId, resource: Resource) =>
      orDie(Effect.map(
        sql<StoredFailure>`select failure_class as class, failure_code as code, failure_message as message,
            failure_trace_id as "traceId", failure_correlation_id as "correlationId"
          from ${t.grants} g where id = ${id} and failed_at > now() - interval '2 minutes'
            and (failure_class in ('needs_user', 'blocked', 'ambiguous')
              -- Many accounts wait for the same answer. Shorter than the waits between the tries of a run.
              or (kind <> 'refresh_token' and (failure_class = 'unknown'
                or (failure_class = 'transient' and failed_at > now() - interval '2 seconds')))
              -- Which permission was refused is known only where all accounts want the same.
              or (failure_class = 'scope' and ${resource} = all (
                select ${
          resourceOfAccount(sql)
        } from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled')))`,
        ([row]) => Option.fromUndefinedOr(row),
      ))

    const postpone = (id: GrantId, seconds: number) =>
      Effect.asVoid(
        orDie(sql`update ${t.grants} set attempt_at = now() + make_interval(secs => ${seconds}), claimed_until = null
          where id = ${id} and attempt_at is not null`),
      )

    const redeemedSince = (id: GrantId, since: number) =>
      orDie(Effect.map(
        sql`select 1 from ${t.grants} where id = ${id} and refreshed_at >= ${new Date(since)}`,
        (rows) => rows.length > 0,
      ))

    const chooseChannel = (id: GrantId, channel: Channel) =>
      Effect.asVoid(
        orDie(sql`update ${t.accounts} set channel = ${channel}, channel_open = false, updated_at = now(),
            sync_due_at = case when status = 'active' then now() else sync_due_at end
          where grant_id = ${id} and channel_open`),
      )

    const app = (id: GrantId) =>
      orDie(Effect.map(
        sql<AppName>`select p.provider, p.client_id as "clientId", coalesce(g.tenant, p.tenant) as tenant
          from ${t.grants} g join ${t.apps} p on p.id = g.app_id where g.id = ${id}`,
        ([row]) => Option.fromUndefinedOr(row),
      ))

    return GrantStore.of({
      lease: (ids) => apart(lease(ids)),
      settle: (batch) => apart(settle(batch)),
      release: (grant) => apart(release(grant)),
      accessToken: (id, resource, minValiditySeconds) => apart(accessToken(id, resource, minValiditySeconds)),
      recentRefusal: (id, resource) => apart(recentRefusal(id, resource)),
      postpone: (id, seconds) => apart(postpone(id, seconds)),
      redeemedSince: (id, since) => apart(redeemedSince(id, since)),
      chooseChannel: (id, channel) => apart(chooseChannel(id, channel)),
      app: (id) => apart(app(id)),
    })
  }),
)
