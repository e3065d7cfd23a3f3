/** Accounts: reading them, changing them by hand, and claiming those whose mail is due. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Statement } from "effect/sql"
import type { Account, AccountStatus, Channel, Provider, Resource } from "../domain/Account.ts"
import { resourceOf } from "../domain/Account.ts"
import { type AccountId, type GrantId, isId } from "../domain/Ids.ts"
import { appendChanges } from "./ChangeLog.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"
import { column, Database, escapeLike, orDie, relaxed } from "./Database.ts"

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
  readonly due_at: Date | null
  readonly failure_code: string | null
  readonly failure_message: string | null
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
  createdAt: time(row.created_at),
  updatedAt: time(row.updated_at),
  token: {
    version: row.version,
    refreshedAt: timeOrNull(row.refreshed_at),
    expiresAt: timeOrNull(row.expires_at),
    nextRefreshAt: timeOrNull(row.due_at),
    ...failure(row.failure_code, row.failure_message, row.failed_at),
  },
  sync: {
    syncedAt: timeOrNull(row.synced_at),
    nextSyncAt: timeOrNull(row.sync_due_at),
    messages: row.messages,
    ...failure(row.sync_failure_code, row.sync_failure_message, row.sync_failed_at),
  },
})

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
  /** Claims grants that are due, with the resource that their accounts read through. */
  readonly claimRefreshDue: (
    limit: number,
    claimSeconds: number,
  ) => Effect.Effect<ReadonlyArray<{ readonly grantId: GrantId; readonly resource: Resource }>>
}>()("mailfleet/storage/Accounts") {
  static readonly layer: Layer.Layer<Accounts, never, Database> = Layer.effect(
    Accounts,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database

      const columns = sql.literal(`a.id, a.email, a.provider, a.channel, a.grant_id, a.status, a.status_reason, a.tags,
        a.created_at, a.updated_at, a.synced_at, a.sync_due_at, a.sync_failure_code, a.sync_failure_message,
        a.sync_failed_at, a.messages, g.version, g.refreshed_at, g.due_at, g.failure_code, g.failure_message,
        g.failed_at, p.client_id, p.tenant`)
      const from = sql`${t.accounts} a join ${t.grants} g on g.id = a.grant_id join ${t.apps} p on p.id = g.app_id`
      const expires =
        sql`(select max(x.expires_at) from ${t.access_tokens} x where x.grant_id = a.grant_id) as expires_at`

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

      const patch = Effect.fn("Accounts.patch")(function* (id: AccountId, change: AccountPatch) {
        if (!isId(id)) return Option.none()
        const found = yield* sql.withTransaction(Effect.gen(function* () {
          const rows = yield* sql<{ status: AccountStatus; grant_id: string; refreshed_at: Date | null }>`
            select a.status, a.grant_id, g.refreshed_at from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
            where a.id = ${id} for update of a`
          const row = rows[0]
          if (row === undefined) return false
          yield* sql`update ${t.accounts} set
              tags = coalesce(${change.tags === undefined ? null : column("text", change.tags)}, tags),
              channel = coalesce(${change.channel ?? null}, channel),
              updated_at = now()
            where id = ${id}`
          if (change.status === "disabled" && row.status !== "disabled") {
            yield* sql`update ${t.accounts} set status = 'disabled', status_reason = 'disabled by the operator',
              sync_due_at = null where id = ${id}`
            // The grant rests only when none of its accounts is in use any more.
            yield* sql`update ${t.grants} g set due_at = null where id = ${row.grant_id} and not exists (
              select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled')`
            yield* appendChanges(database, [statusChange(id, row.status, "disabled")])
          }
          if (change.status === "active" && row.status === "disabled") {
            const status = row.refreshed_at === null ? "pending" : "active"
            yield* sql`update ${t.accounts} set status = ${status}, status_reason = null,
              sync_due_at = case when ${status}::text = 'active' then now() end where id = ${id}`
            yield* sql`update ${t.grants} set due_at = now() where id = ${row.grant_id}`
            yield* appendChanges(database, [statusChange(id, row.status, status)])
          }
          return true
        }))
        return found ? yield* get(id) : Option.none()
      }, orDie)

      const remove = Effect.fn("Accounts.remove")(function* (id: AccountId) {
        if (!isId(id)) return false
        return yield* sql.withTransaction(Effect.gen(function* () {
          const rows = yield* sql<{ grant_id: string }>`delete from ${t.accounts} where id = ${id} returning grant_id`
          if (rows[0] === undefined) return false
          yield* sql`delete from ${t.grants} g where id = ${rows[0].grant_id} and not exists (
            select 1 from ${t.accounts} a where a.grant_id = g.id)`
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
            ? yield* sql`update ${t.grants} set due_at = now() where due_at is not null returning 1`
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
        // Index: grants_due.
        claimRefreshDue: Effect.fn("Accounts.claimRefreshDue")(function* (limit: number, claimSeconds: number) {
          const rows = yield* sql<{ grant_id: string; provider: Provider; channel: Channel }>`with due as (
              select id from ${t.grants} where due_at <= now() order by due_at limit ${limit} for update skip locked
            ), claimed as (
              update ${t.grants} c set due_at = now() + make_interval(secs => ${claimSeconds})
              from due, ${sql.literal(relaxed)} where c.id = due.id returning c.id
            )
            select distinct on (a.grant_id) a.grant_id, a.provider, a.channel from ${t.accounts} a
            where a.grant_id in (select id from claimed) and a.status <> 'disabled' order by a.grant_id, a.id`
          return rows.map((row) => ({ grantId: row.grant_id, resource: resourceOf(row.provider, row.channel) }))
        }, orDie),
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
