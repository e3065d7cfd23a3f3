/** Accounts: reading them, changing them by hand, and claiming those whose mail is due. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Statement } from "effect/sql"
import type { Account, AccountStatus, Channel, Provider, RefreshPolicy, Resource } from "../domain/Account.ts"
import { resourceOf } from "../domain/Account.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import { type AccountId, type GrantId, isId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { resourceOfAccount } from "./AccountResource.ts"
import { appendChanges } from "./ChangeLog.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"
import { column, Database, escapeLike, orDie, relaxed } from "./Database.ts"
import { followPolicies, lockTagPolicies } from "./Policies.ts"

export interface AccountFilter {
  readonly status?: AccountStatus | undefined
  readonly tag?: string | undefined
  /** Case-insensitive substring of the address. */
  readonly search?: string | undefined
  readonly provider?: Provider | undefined
  /** Never refreshed, or not since then. */
  readonly refreshedBefore?: DateTime.Utc | undefined
}

/** The accounts that a run is to work on. Disabled accounts are left out of `filter` and `all`. */
export type Selection =
  | { readonly _tag: "Ids"; readonly ids: ReadonlyArray<AccountId> }
  | { readonly _tag: "Filter"; readonly filter: AccountFilter }

export interface AccountPatch {
  readonly status?: "active" | "disabled" | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  readonly channel?: Channel | undefined
  /** Null = that of its tags, else `keep-alive`. */
  readonly refreshPolicy?: RefreshPolicy | null | undefined
}

/** What the programs need to know of an account. */
export interface AccountTarget {
  readonly id: AccountId
  readonly email: string
  readonly provider: Provider
  readonly channel: Channel
  readonly status: AccountStatus
  readonly grantId: GrantId
  readonly clientId: string
  readonly resource: Resource
  readonly refreshedAt: Date | null
  readonly syncedAt: Date | null
}

interface AccountRow {
  readonly id: string
  readonly email: string
  readonly provider: Provider
  readonly channel: Channel
  readonly grant_id: string
  readonly client_id: string
  readonly tenant: string
  readonly status: AccountStatus
  readonly status_reason: string | null
  readonly tags: ReadonlyArray<string>
  readonly created_at: Date
  readonly updated_at: Date
  readonly version: number
  readonly refreshed_at: Date | null
  readonly expires_at: Date | null
  readonly attempt_at: Date | null
  readonly policy: RefreshPolicy
  readonly refresh_policy: RefreshPolicy | null
  readonly failures: number
  readonly failing_since: Date | null
  readonly failure_class: FailureClass | null
  readonly failure_code: string | null
  readonly failure_message: string | null
  readonly failure_trace_id: string | null
  readonly failure_correlation_id: string | null
  readonly failed_at: Date | null
  readonly synced_at: Date | null
  readonly sync_due_at: Date | null
  readonly sync_failure_code: string | null
  readonly sync_failure_message: string | null
  readonly sync_failed_at: Date | null
  readonly messages: number
}

const time = (date: Date): DateTime.Utc => DateTime.fromDateUnsafe(date)
const timeOrNull = (date: Date | null): DateTime.Utc | null => date === null ? null : time(date)

const failure = (code: string | null, message: string | null, at: Date | null) =>
  code === null || at === null ? {} : { lastError: { code, message: message ?? "", at: time(at) } }

const tokenFailure = (row: AccountRow) =>
  row.failure_code === null || row.failure_class === null || row.failed_at === null ? {} : {
    lastError: {
      code: row.failure_code,
      class: row.failure_class,
      message: row.failure_message ?? "",
      at: time(row.failed_at),
      count: row.failures,
      since: time(row.failing_since ?? row.failed_at),
      ...(row.failure_trace_id === null ? {} : { traceId: row.failure_trace_id }),
      ...(row.failure_correlation_id === null ? {} : { correlationId: row.failure_correlation_id }),
    },
  }

const toAccount = (row: AccountRow): Account => ({
  id: row.id,
  email: row.email,
  provider: row.provider,
  channel: row.channel,
  grantId: row.grant_id,
  clientId: row.client_id,
  tenant: row.tenant,
  status: row.status,
  ...(row.status_reason === null ? {} : { statusReason: row.status_reason }),
  tags: row.tags,
  ...(row.refresh_policy === null ? {} : { refreshPolicy: row.refresh_policy }),
  createdAt: time(row.created_at),
  updatedAt: time(row.updated_at),
  token: {
    version: row.version,
    refreshedAt: timeOrNull(row.refreshed_at),
    expiresAt: timeOrNull(row.expires_at),
    policy: row.policy,
    nextRefreshAt: timeOrNull(row.attempt_at),
    ...tokenFailure(row),
  },
  sync: {
    syncedAt: timeOrNull(row.synced_at),
    nextSyncAt: timeOrNull(row.sync_due_at),
    messages: row.messages,
    ...failure(row.sync_failure_code, row.sync_failure_message, row.sync_failed_at),
  },
})

/** An app; where no tenant is named, at all tenants. */
export interface AppName {
  readonly provider: string
  readonly clientId: string
  readonly tenant?: string | undefined
}

/** A grant to redeem, for the resource that its accounts read through. */
export interface DueGrant {
  readonly grantId: GrantId
  readonly resource: Resource
  readonly app: { readonly provider: Provider; readonly clientId: string; readonly tenant: string }
}

interface DueRow {
  readonly grant_id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly resource: Resource
}

export class Accounts extends Context.Service<Accounts, {
  readonly get: (id: AccountId) => Effect.Effect<Option.Option<Account>>
  readonly list: (
    options: AccountFilter & { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Account>; readonly nextCursor: string | null }, InvalidCursor>
  /** Enabling makes an account due at once; disabling takes it out of all schedules. */
  readonly patch: (id: AccountId, patch: AccountPatch) => Effect.Effect<Option.Option<Account>>
  /** Deletes the account with its mail, and its grant where no other account uses it. False = there was none. */
  readonly remove: (id: AccountId) => Effect.Effect<boolean>
  /** Makes all accounts that the schedules look after due at once. Answers how many. */
  readonly bringForward: (work: "refresh" | "sync") => Effect.Effect<number>
  readonly target: (id: AccountId) => Effect.Effect<Option.Option<AccountTarget>>
  /** Claims accounts whose mail is due, oldest first, each for `claimSeconds`: another process does not see them meanwhile. */
  readonly claimSyncDue: (limit: number, claimSeconds: number) => Effect.Effect<ReadonlyArray<AccountTarget>>
  /** Claims grants that are due, oldest first, but for those of the apps in `except`. */
  readonly claimRefreshDue: (
    limit: number,
    claimSeconds: number,
    except: ReadonlyArray<AppName>,
  ) => Effect.Effect<ReadonlyArray<DueGrant>>
  /** Hands claims back that nobody worked on. */
  readonly unclaimRefresh: (ids: ReadonlyArray<GrantId>) => Effect.Effect<void>
}>()("mailfleet/storage/Accounts") {
  static readonly layer: Layer.Layer<Accounts, never, Database | Settings> = Layer.effect(
    Accounts,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const { sql, tables: t } = database

      const columns = sql.literal(`a.id, a.email, a.provider, a.channel, a.grant_id, a.status, a.status_reason, a.tags,
        a.created_at, a.updated_at, a.synced_at, a.sync_due_at, a.sync_failure_code, a.sync_failure_message,
        a.sync_failed_at, a.messages, a.refresh_policy, g.version, g.refreshed_at, g.policy, g.attempt_at, g.failures,
        g.failing_since, g.failure_class, g.failure_code, g.failure_message, g.failure_trace_id,
        g.failure_correlation_id, g.failed_at, p.client_id, p.tenant`)
      const from = sql`${t.accounts} a join ${t.grants} g on g.id = a.grant_id join ${t.apps} p on p.id = g.app_id`
      const expires =
        sql`(select max(x.expires_at) from ${t.access_tokens} x where x.grant_id = a.grant_id) as expires_at`

      const appsNamed = (apps: ReadonlyArray<AppName>) =>
        sql`select p.id from ${t.apps} p join unnest(${column("text", apps.map(({ provider }) => provider))},
            ${column("text", apps.map(({ clientId }) => clientId))},
            ${column("text", apps.map(({ tenant }) => tenant ?? null))}) as n (provider, client_id, tenant)
          on p.provider = n.provider and p.client_id = n.client_id and (n.tenant is null or p.tenant = n.tenant)`

      const target = (row: AccountRow): AccountTarget => ({
        id: row.id,
        email: row.email,
        provider: row.provider,
        channel: row.channel,
        status: row.status,
        grantId: row.grant_id,
        clientId: row.client_id,
        resource: resourceOf(row.provider, row.channel),
        refreshedAt: row.refreshed_at,
        syncedAt: row.synced_at,
      })

      const get = Effect.fn("Accounts.get")(function* (id: AccountId) {
        if (!isId(id)) return Option.none()
        const rows = yield* sql<AccountRow>`select ${columns}, ${expires} from ${from} where a.id = ${id}`
        return Option.map(Option.fromUndefinedOr(rows[0]), toAccount)
      }, orDie)

      // Served by the primary key; a filter by status by accounts_status, by tag by accounts_tags.
      const list = Effect.fn("Accounts.list")(
        function* (options: AccountFilter & { readonly limit: number; readonly cursor?: string | undefined }) {
          const conditions = accountConditions(database, options)
          if (options.cursor !== undefined) {
            const after = Option.filter(decodeCursor(options.cursor, 1), ([id]) => typeof id === "string" && isId(id))
            if (Option.isNone(after)) return yield* invalidCursor
            conditions.push(sql`a.id > ${after.value[0]!}`)
          }
          const rows = yield* orDie(
            sql<AccountRow>`select ${columns}, ${expires} from ${from} where ${sql.and(conditions)}
              order by a.id limit ${options.limit + 1}`,
          )
          const items = rows.slice(0, options.limit)
          return {
            items: items.map(toAccount),
            nextCursor: rows.length > options.limit ? encodeCursor([items[items.length - 1]!.id]) : null,
          }
        },
      )

      /** A grant rests once none of its accounts is in use any more. */
      const restUnused = (grantId: GrantId) =>
        sql`update ${t.grants} g set due_at = null, attempt_at = null where id = ${grantId} and not exists (
          select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled')`

      const patch = Effect.fn("Accounts.patch")(function* (id: AccountId, change: AccountPatch) {
        if (!isId(id)) return Option.none()
        const found = yield* sql.withTransaction(Effect.gen(function* () {
          yield* lockTagPolicies(database)
          const rows = yield* sql<{ status: AccountStatus; grant_id: string; refreshed_at: Date | null }>`
            select a.status, a.grant_id, g.refreshed_at from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
            where a.id = ${id} for update of g, a`
          const row = rows[0]
          if (row === undefined) return false
          const isEnabled = change.status === "active" && row.status === "disabled"
          yield* sql`update ${t.accounts} set
              tags = coalesce(${change.tags === undefined ? null : column("text", change.tags)}, tags),
              channel = coalesce(${change.channel ?? null}, channel),
              refresh_policy = ${change.refreshPolicy === undefined ? sql`refresh_policy` : change.refreshPolicy},
              updated_at = now()
            where id = ${id}`
          if (change.status === "disabled" && row.status !== "disabled") {
            yield* sql`update ${t.accounts} set status = 'disabled', status_reason = 'disabled by the operator',
              sync_due_at = null where id = ${id}`
            yield* restUnused(row.grant_id)
            yield* appendChanges(database, [statusChange(id, row.status, "disabled")])
          }
          if (isEnabled) {
            const status = row.refreshed_at === null ? "pending" : "active"
            yield* sql`update ${t.accounts} set status = ${status}, status_reason = null,
              sync_due_at = case when ${status}::text = 'active' then now() end where id = ${id}`
            yield* sql`update ${t.grants} set due_at = now(), attempt_at = now() where id = ${row.grant_id}`
            yield* appendChanges(database, [statusChange(id, row.status, status)])
          }
          // One that was enabled is due already. After a change of channel a warm grant has no token for it yet.
          const redue = isEnabled ? "none" : change.channel === undefined ? "changed" : "warm"
          yield* followPolicies({ database, settings }, sql`${row.grant_id}::uuid`, redue)
          return true
        }))
        return found ? yield* get(id) : Option.none()
      }, orDie)

      const remove = Effect.fn("Accounts.remove")(function* (id: AccountId) {
        if (!isId(id)) return false
        return yield* sql.withTransaction(Effect.gen(function* () {
          yield* lockTagPolicies(database)
          yield* sql`select 1 from ${t.grants} g join ${t.accounts} a on a.grant_id = g.id
            where a.id = ${id} for update of g`
          const rows = yield* sql<{ grant_id: string }>`delete from ${t.accounts} where id = ${id} returning grant_id`
          if (rows[0] === undefined) return false
          yield* sql`delete from ${t.grants} g where id = ${rows[0].grant_id} and not exists (
            select 1 from ${t.accounts} a where a.grant_id = g.id)`
          yield* restUnused(rows[0].grant_id)
          yield* followPolicies({ database, settings }, sql`${rows[0].grant_id}::uuid`)
          return true
        }))
      }, orDie)

      return Accounts.of({
        get,
        list,
        patch,
        remove,
        bringForward: Effect.fn("Accounts.bringForward")(function* (work: "refresh" | "sync") {
          const rows = work === "refresh"
            ? yield* sql`update ${t.grants} set due_at = now(), attempt_at = now() where attempt_at is not null returning 1`
            : yield* sql`update ${t.accounts} set sync_due_at = now() where sync_due_at is not null returning 1`
          return rows.length
        }, orDie),
        target: Effect.fnUntraced(function* (id: AccountId) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<AccountRow>`select ${columns} from ${from} where a.id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), target)
        }, orDie),
        // Index: accounts_sync_due.
        claimSyncDue: Effect.fn("Accounts.claimSyncDue")(function* (limit: number, claimSeconds: number) {
          const rows = yield* sql<AccountRow>`with due as (
              select id from ${t.accounts} where sync_due_at <= now() and status = 'active'
              order by sync_due_at limit ${limit} for update skip locked
            ), claimed as (
              update ${t.accounts} c set sync_due_at = now() + make_interval(secs => ${claimSeconds})
              from due, ${sql.literal(relaxed)} where c.id = due.id returning c.id
            )
            select ${columns} from ${from} where a.id in (select id from claimed)`
          return rows.map(target)
        }, orDie),
        // Index: grants_attempt. A claim is in no index, so that it costs one short write; those that are claimed already stand
        // at the head of the index, and are few.
        claimRefreshDue: Effect.fn("Accounts.claimRefreshDue")(function* (limit: number, claimSeconds: number, except) {
          const rows = yield* sql<DueRow>`with due as (
              select g.id from ${t.grants} g
              where g.attempt_at <= now() and (g.claimed_until is null or g.claimed_until <= now())
                and ${except.length === 0 ? sql`true` : sql`g.app_id <> all (array(${appsNamed(except)}))`}
              order by g.attempt_at limit ${limit} for update skip locked
            ), claimed as (
              update ${t.grants} c set claimed_until = now() + make_interval(secs => ${claimSeconds})
              from due, ${sql.literal(relaxed)} where c.id = due.id returning c.id, c.app_id
            )
            select distinct on (c.id) c.id as grant_id, p.provider, p.client_id, p.tenant,
              ${resourceOfAccount(sql)} as resource
            from claimed c join ${t.apps} p on p.id = c.app_id
            join ${t.accounts} a on a.grant_id = c.id and a.status <> 'disabled'
            left join ${t.access_tokens} x on x.grant_id = c.id and x.resource = ${resourceOfAccount(sql)}
            -- Of several resources, the one whose access token is to be replaced first.
            order by c.id, x.renew_at nulls first`
          return rows.map((row): DueGrant => ({
            grantId: row.grant_id,
            resource: row.resource,
            app: { provider: row.provider, clientId: row.client_id, tenant: row.tenant },
          }))
        }, orDie),
        unclaimRefresh: (ids) =>
          ids.length === 0 ? Effect.void : Effect.asVoid(orDie(
            sql`update ${t.grants} set claimed_until = null where id = any(${column("uuid", ids)})`,
          )),
      })
    }),
  )
}

/** The change-log entry of a status that changed. */
export const statusChange = (accountId: AccountId, before: AccountStatus, after: AccountStatus) => ({
  accountId,
  kind: "account.status" as const,
  origin: "live" as const,
  fields: [before, after],
})

/** The conditions of a filter over `accounts a join grants g`. */
export const accountConditions = (
  { sql }: Database["Service"],
  filter: AccountFilter,
): Array<Statement.Fragment> => {
  const conditions: Array<Statement.Fragment> = [sql`true`]
  if (filter.status !== undefined) conditions.push(sql`a.status = ${filter.status}`)
  if (filter.provider !== undefined) conditions.push(sql`a.provider = ${filter.provider}`)
  if (filter.tag !== undefined) conditions.push(sql`a.tags @> ${column("text", [filter.tag])}`)
  if (filter.search !== undefined) {
    conditions.push(sql`a.email_key like ${`%${escapeLike(filter.search.toLowerCase())}%`}`)
  }
  if (filter.refreshedBefore !== undefined) {
    conditions.push(sql`(g.refreshed_at is null or g.refreshed_at < ${DateTime.toDate(filter.refreshedBefore)})`)
  }
  return conditions
}
