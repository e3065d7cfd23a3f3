/** Accounts: reading them, changing them by hand, and claiming those whose mail is due. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Statement } from "effect/sql"
import type { Access, Account, AccountStatus, Channel, Provider, RefreshPolicy, Resource } from "../domain/Account.ts"
import { resourceOf } from "../domain/Account.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import { type AccountId, type ErasureId, type GrantId, isId } from "../domain/Ids.ts"
import type { OwnMailChoice } from "../domain/MailChoice.ts"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { removeAccount } from "./AccountRemoval.ts"
import { appendChanges } from "./mail/ChangeLog.ts"
import { inChunks } from "./Chunks.ts"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"
import { column, Database, escapeLike, orDie, relaxed } from "./Database.ts"
import { endsAt, endsBefore } from "./grants/Endings.ts"
import { leaveChannel } from "./mail/FolderRenames.ts"
import { changeMailChoice, mailChoice } from "./mail/MailChoices.ts"
import { followPolicies, lockTagPolicies } from "./grants/Policies.ts"

/** Which accounts; all of what is given must match. */
export interface AccountFilter {
  /** Its present status. */
  readonly status?: AccountStatus | undefined
  /** A tag that it carries. */
  readonly tag?: string | undefined
  /** Case-insensitive substring of the address. */
  readonly search?: string | undefined
  /** Where the mailbox is. */
  readonly provider?: Provider | undefined
  /** Never refreshed, or not since then. */
  readonly refreshedBefore?: DateTime.Utc | undefined
}

/** Which accounts, and which page of them. */
export interface AccountListOptions extends AccountFilter {
  /** Whose refresh token ends before then, unless it is used or somebody signs in again. */
  readonly endsBefore?: DateTime.Utc | undefined
  /** Items of a page at most, from 1. */
  readonly limit: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined
}

/** The accounts that a run is to work on. Disabled accounts are left out of `filter` and `all`. */
export type Selection =
  | { readonly _tag: "Ids"; readonly ids: ReadonlyArray<AccountId> }
  | { readonly _tag: "Filter"; readonly filter: AccountFilter }

/** What an operator may change of an account; what is not given stays. */
export interface AccountPatch {
  /** `disabled`: nothing contacts the provider any more. `active`: enabled again, and due at once. */
  readonly status?: "active" | "disabled" | undefined
  /** Replaces all tags. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** How the mailbox is read from the next round on. */
  readonly channel?: Channel | undefined
  /** Null = that of its tags, else `keep-alive`. */
  readonly refreshPolicy?: RefreshPolicy | null | undefined
  /** Merged into its own choice; null = all as the settings say. */
  readonly mail?: OwnMailChoice | null | undefined
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

interface AccountRow extends TokenFailureRow {
  readonly id: string
  readonly email: string
  readonly provider: Provider
  readonly channel: Channel
  readonly grant_id: string
  readonly client_id: string
  readonly tenant: string
  readonly status: AccountStatus
  readonly status_reason: string | null
  readonly status_since: Date
  readonly by_name: boolean
  readonly mail: OwnMailChoice
  readonly tags: ReadonlyArray<string>
  readonly created_at: Date
  readonly updated_at: Date
  readonly kind: "refresh_token" | "client_credentials" | "service_account"
  readonly ends_at: Date | null
  readonly version: number
  readonly refreshed_at: Date | null
  readonly expires_at: Date | null
  readonly attempt_at: Date | null
  readonly policy: RefreshPolicy
  readonly refresh_policy: RefreshPolicy | null
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

/** What of a grant tells why its last redemption failed. */
export interface TokenFailureRow {
  readonly failures: number
  readonly failing_since: Date | null
  readonly failure_class: FailureClass | null
  readonly failure_code: string | null
  readonly failure_message: string | null
  readonly failure_trace_id: string | null
  readonly failure_correlation_id: string | null
  readonly failed_at: Date | null
}

export const toTokenFailure = (row: TokenFailureRow) =>
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

const accessOf = ({ by_name, kind }: AccountRow): Access =>
  kind === "client_credentials"
    ? "app-only"
    : kind === "service_account"
    ? "service-account"
    : by_name
    ? "shared"
    : "own"

const accountOf = (settings: Pick<SettingsValues, "mail">) => (row: AccountRow): Account => ({
  id: row.id,
  email: row.email,
  provider: row.provider,
  channel: row.channel,
  grantId: row.grant_id,
  clientId: row.client_id,
  tenant: row.tenant,
  access: accessOf(row),
  status: row.status,
  statusSince: time(row.status_since),
  ...(row.status_reason === null ? {} : { statusReason: row.status_reason }),
  tags: row.tags,
  ...(row.refresh_policy === null ? {} : { refreshPolicy: row.refresh_policy }),
  mail: mailChoice(settings, row.mail),
  createdAt: time(row.created_at),
  updatedAt: time(row.updated_at),
  token: {
    version: row.version,
    refreshedAt: timeOrNull(row.refreshed_at),
    expiresAt: timeOrNull(row.expires_at),
    policy: row.policy,
    nextRefreshAt: timeOrNull(row.attempt_at),
    ...(row.ends_at === null || row.status === "needs_reauth" ? {} : { endsAt: time(row.ends_at) }),
    ...toTokenFailure(row),
  },
  sync: {
    syncedAt: timeOrNull(row.synced_at),
    nextSyncAt: timeOrNull(row.sync_due_at),
    messages: row.messages,
    ...failure(row.sync_failure_code, row.sync_failure_message, row.sync_failed_at),
  },
})

/** Rows brought forward at once. */
const chunkRows = 1_000

export class Accounts extends Context.Service<Accounts, {
  readonly get: (id: AccountId) => Effect.Effect<Option.Option<Account>>
  readonly list: (
    options: AccountListOptions,
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Account>; readonly nextCursor: string | null }, InvalidCursor>
  /** Enabling makes an account due at once; disabling takes it out of all schedules. */
  readonly patch: (id: AccountId, patch: AccountPatch) => Effect.Effect<Option.Option<Account>>
  /**
   * Deletes the account, and its grant where no other account uses it, unless it is a tenant's. It is gone at once; its mail, and
   * all else that is stored of it, within minutes, and the erasure tells when. None = there was no such account.
   */
  readonly erase: (id: AccountId) => Effect.Effect<Option.Option<ErasureId>>
  /** The same. False = there was none. */
  readonly remove: (id: AccountId) => Effect.Effect<boolean>
  /** Makes all accounts that the schedules look after due, some at a time. Answers how many. */
  readonly bringForward: (work: "refresh" | "sync") => Effect.Effect<number>
  readonly target: (id: AccountId) => Effect.Effect<Option.Option<AccountTarget>>
  /** Claims accounts whose mail is due, oldest first, each for `claimSeconds`: another process does not see them meanwhile. */
  readonly claimSyncDue: (limit: number, claimSeconds: number) => Effect.Effect<ReadonlyArray<AccountTarget>>
}>()("mailfleet/storage/Accounts") {
  static readonly layer: Layer.Layer<Accounts, never, Database | Settings> = Layer.effect(
    Accounts,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const { sql, tables: t } = database
      const toAccount = accountOf(settings)

      const columns = sql.literal(
        `a.id, a.email, a.provider, a.channel, a.grant_id, a.by_name, a.status, a.status_reason,
        a.status_since, a.tags, a.created_at, a.updated_at, a.synced_at, a.sync_due_at, a.sync_failure_code,
        a.sync_failure_message, a.sync_failed_at, a.messages, a.refresh_policy, a.mail, g.kind, g.version, g.refreshed_at, g.policy,
        g.attempt_at, g.failures, g.failing_since, g.failure_class, g.failure_code, g.failure_message, g.failure_trace_id,
        g.failure_correlation_id, g.failed_at, ${endsAt} as ends_at, p.client_id, coalesce(g.tenant, p.tenant) as tenant`,
      )
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

      // Served by the primary key; a filter by status by accounts_status, by tag by accounts_tags, by end by those of Endings.
      const list = Effect.fn("Accounts.list")(
        function* (options: AccountListOptions) {
          const conditions = accountConditions(database, options)
          if (options.endsBefore !== undefined) {
            conditions.push(endsBefore(database, options.endsBefore, yield* DateTime.now))
          }
          const after = yield* afterCursor(options.cursor, isId)
          if (after !== undefined) conditions.push(sql`a.id > ${after}`)
          const rows = yield* orDie(
            sql<AccountRow>`select ${columns}, ${expires} from ${from} where ${sql.and(conditions)}
              order by a.id limit ${options.limit + 1}`,
          )
          return pageOf(rows, options.limit, toAccount, ({ id }) => id)
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
          const rows = yield* sql<
            Pick<AccountRow, "status" | "grant_id" | "kind" | "refreshed_at" | "channel" | "mail">
          >`
            select a.status, a.grant_id, a.channel, a.mail, g.kind, g.refreshed_at from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
            where a.id = ${id} for update of g, a`
          const row = rows[0]
          if (row === undefined) return false
          const isEnabled = change.status === "active" && row.status === "disabled"
          yield* sql`update ${t.accounts} set
              tags = coalesce(${change.tags === undefined ? null : column("text", change.tags)}, tags),
              channel = coalesce(${change.channel ?? null}, channel),
              channel_open = channel_open and ${change.channel === undefined},
              refresh_policy = ${change.refreshPolicy === undefined ? sql`refresh_policy` : change.refreshPolicy},
              updated_at = now()
            where id = ${id}`
          if (change.channel !== undefined && change.channel !== row.channel) yield* leaveChannel(database, id)
          if (change.mail !== undefined) {
            const own = change.mail === null ? {} : { ...row.mail, ...change.mail }
            yield* changeMailChoice(database, id, own, mailChoice(settings, row.mail), mailChoice(settings, own))
          }
          if (change.status === "disabled" && row.status !== "disabled") {
            yield* sql`update ${t.accounts} set status = 'disabled', status_reason = 'disabled by the operator',
              status_since = now(), sync_due_at = null where id = ${id}`
            yield* restUnused(row.grant_id)
            yield* appendChanges(database, [statusChange(id, row.status, "disabled")])
          }
          if (isEnabled) {
            const status = row.refreshed_at === null ? "pending" : "active"
            yield* sql`update ${t.accounts} set status = ${status}, status_reason = null, status_since = now(),
              sync_due_at = case when ${status}::text = 'active' then now() end where id = ${id}`
            // An app-only grant has one access token for all of its accounts: it is not asked for again with each of them.
            yield* sql`update ${t.grants} g set due_at = now(), attempt_at = now() where id = ${row.grant_id}
              and (kind = 'refresh_token' or failures > 0 or (attempt_at is null and not exists (
                select 1 from ${t.access_tokens} x where x.grant_id = g.id and x.expires_at > now())))`
            yield* appendChanges(database, [statusChange(id, row.status, status)])
          }
          // One that was enabled is due already. After a change of channel a warm grant has no token for it yet.
          // An app-only grant that is warm now is not due yet: it has rested.
          const wasDue = isEnabled && row.kind === "refresh_token"
          const redue = wasDue ? "none" : change.channel === undefined && !isEnabled ? "changed" : "warm"
          yield* followPolicies({ database, settings }, sql`${row.grant_id}::uuid`, redue)
          return true
        }))
        return found ? yield* get(id) : Option.none()
      }, orDie)

      const erase = Effect.fn("Accounts.erase")(function* (id: AccountId) {
        if (!isId(id)) return Option.none()
        return yield* sql.withTransaction(Effect.gen(function* () {
          yield* lockTagPolicies(database)
          const removed = yield* removeAccount(database, id)
          if (removed === undefined) return Option.none()
          yield* restUnused(removed.grantId)
          yield* followPolicies({ database, settings }, sql`${removed.grantId}::uuid`)
          return Option.some(removed.erasureId)
        }))
      }, orDie)

      return Accounts.of({
        get,
        list,
        patch,
        erase,
        remove: (id) => Effect.map(erase(id), Option.isSome),
        bringForward: Effect.fn("Accounts.bringForward")(function* (work: "refresh" | "sync") {
          return yield* inChunks(chunkRows, (after) =>
            Effect.map(
              work === "refresh"
                ? sql<{ id: string }>`with next as (
                    select id from ${t.grants} where id > ${after} and attempt_at is not null
                    order by id limit ${chunkRows} for update
                  ), moved as (
                    update ${t.grants} g set due_at = now(), attempt_at = now() from next where g.id = next.id
                  )
                  select id from next order by id`
                : sql<{ id: string }>`with next as (
                    select id from ${t.accounts} where id > ${after} and sync_due_at is not null
                    order by id limit ${chunkRows} for update
                  ), moved as (
                    update ${t.accounts} a set sync_due_at = now() from next where a.id = next.id
                  )
                  select id from next order by id`,
              (rows) => rows.map(({ id }) => id),
            ))
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
