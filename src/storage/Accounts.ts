/** Accounts: reading them, changing them by hand, and claiming those whose mail is due. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Statement } from "effect/sql"
import type { Access, Account, AccountStatus, Channel, Provider, RefreshPolicy, Resource } from "../domain/Account.ts"
import { resourceOf } from "../domain/Account.ts"
import type { AppName, AppReach } from "../domain/App.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import { type AccountId, type GrantId, isId } from "../domain/Ids.ts"
import type { OwnMailChoice } from "../domain/MailChoice.ts"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { resourceOfAccount } from "./AccountResource.ts"
import { appendChanges } from "./mail/ChangeLog.ts"
import { inChunks } from "./Chunks.ts"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"
import { column, Database, escapeLike, orDie, relaxed } from "./Database.ts"
import { endsAt, endsBefore } from "./grants/Endings.ts"
import { leaveChannel } from "./mail/FolderRenames.ts"
import { changeMailChoice, mailChoice } from "./mail/MailChoices.ts"
import { followPolicies, lockTagPolicies } from "./grants/Policies.ts"

export interface AccountFilter {
  readonly status?: AccountStatus | undefined
  readonly tag?: string | undefined
  /** Case-insensitive substring of the address. */
  readonly search?: string | undefined
  readonly provider?: Provider | undefined
  /** Never refreshed, or not since then. */
  readonly refreshedBefore?: DateTime.Utc | undefined
}

export interface AccountListOptions extends AccountFilter {
  /** Whose refresh token ends before then, unless it is used or somebody signs in again. */
  readonly endsBefore?: DateTime.Utc | undefined
  readonly limit: number
  readonly cursor?: string | undefined
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

/** Rows brought forward at once. */
const chunkRows = 1_000

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

export class Accounts extends Context.Service<Accounts, {
  readonly get: (id: AccountId) => Effect.Effect<Option.Option<Account>>
  readonly list: (
    options: AccountListOptions,
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Account>; readonly nextCursor: string | null }, InvalidCursor>
  /** Enabling makes an account due at once; disabling takes it out of all schedules. */
  readonly patch: (id: AccountId, patch: AccountPatch) => Effect.Effect<Option.Option<Account>>
  /** Deletes the account with its mail, and its grant where no other account uses it, unless it is a tenant's. False = there was none. */
  readonly remove: (id: AccountId) => Effect.Effect<boolean>
  /** Makes all accounts that the schedules look after due, some at a time. Answers how many. */
  readonly bringForward: (work: "refresh" | "sync") => Effect.Effect<number>
  readonly target: (id: AccountId) => Effect.Effect<Option.Option<AccountTarget>>
  /** Claims accounts whose mail is due, oldest first, each for `claimSeconds`: another process does not see them meanwhile. */
  readonly claimSyncDue: (limit: number, claimSeconds: number) => Effect.Effect<ReadonlyArray<AccountTarget>>
  /**
   * Claims grants that are due, but for those of the apps in `except`. Clients take turns, and whoever has the least in hand
   * goes first: of several that have work due none gets all, and one that is alone does. Of one client the oldest first.
   * With fewer than {@link claimedIfMore} no more is due. `limit` is at most 200.
   */
  readonly claimRefreshDue: (
    limit: number,
    claimSeconds: number,
    except: ReadonlyArray<AppReach>,
    inHand?: ReadonlyArray<InHand>,
  ) => Effect.Effect<ReadonlyArray<DueGrant>>
  /** Hands claims back that nobody worked on. One that has ended, and may be another process's by now, is left alone. */
  readonly unclaimRefresh: (claims: ReadonlyArray<Claim>) => Effect.Effect<void>
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

      const remove = Effect.fn("Accounts.remove")(function* (id: AccountId) {
        if (!isId(id)) return false
        return yield* sql.withTransaction(Effect.gen(function* () {
          yield* lockTagPolicies(database)
          yield* sql`select 1 from ${t.grants} g join ${t.accounts} a on a.grant_id = g.id
            where a.id = ${id} for update of g`
          const rows = yield* sql<{ grant_id: string }>`delete from ${t.accounts} where id = ${id} returning grant_id`
          if (rows[0] === undefined) return false
          yield* sql`delete from ${t.grants} g where id = ${
            rows[0].grant_id
          } and kind <> 'client_credentials' and not exists (
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
        claimRefreshDue: Effect.fn("Accounts.claimRefreshDue")(
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
        unclaimRefresh: Effect.fnUntraced(function* (claims: ReadonlyArray<Claim>) {
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
