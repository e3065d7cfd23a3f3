/** Subscriptions to mailboxes: one for each account that can have one. All times are the database's. */
import { Context, DateTime, Effect, Layer, type Redacted } from "effect"
import type { Provider } from "../../domain/Account.ts"
import type { AccountId } from "../../domain/Ids.ts"
import type { MailAccount } from "../../mail/Mailbox.ts"
import { Vault } from "../../oauth/Vault.ts"
import { Database, orDie, relaxed } from "../Database.ts"

export interface DueSubscription {
  readonly account: MailAccount
  /** False where the account can have none any more: it is read otherwise, or by a grant that may not watch it. */
  readonly wanted: boolean
  /** False where nothing may contact the provider for now. */
  readonly active: boolean
  /** The provider's id; null = there is none that we know of. */
  readonly remoteId: string | null
  /** What it was made for. */
  readonly resource: string | null
  readonly notificationUrl: string | null
  /** True where a creation was begun and its end was never told. */
  readonly begun: boolean
  /** Failed tries in a row. */
  readonly failures: number
}

/** `active`: there, and not at its end. `failing`: not there, and the last try failed. `wanted`: not there yet. */
export type SubscriptionCounts = Readonly<Record<"active" | "failing" | "wanted", number>>

interface Row {
  readonly id: string
  readonly email: string
  readonly provider: MailAccount["provider"]
  readonly channel: MailAccount["channel"]
  readonly grant_id: string
  readonly client_id: string
  readonly by_name: boolean
  readonly status: string
  readonly wanted: boolean
  readonly remote_id: string | null
  readonly resource: string | null
  readonly notification_url: string | null
  readonly begun: boolean
  readonly failures: number
}

/** Accounts that are looked at in one go for missing subscriptions: the newest, and the next of all. */
const newestAtOnce = 500
const accountsAtOnce = 2_000
const beforeAll = "00000000-0000-0000-0000-000000000000"

export class Subscriptions extends Context.Service<Subscriptions, {
  /** Notes that accounts which can have a subscription and have none want one: of the newest, and of the next few thousand. */
  readonly enroll: (provider: Provider) => Effect.Effect<void>
  /** Takes what is to be made, renewed or removed, the longest overdue first, and hides it from others for a time. */
  readonly claim: (provider: Provider, limit: number, seconds: number) => Effect.Effect<ReadonlyArray<DueSubscription>>
  /** To be called before one is asked for at the provider, so that one that nobody knows is searched for after a crash. */
  readonly begin: (
    accountId: AccountId,
    made: { readonly clientState: Redacted.Redacted; readonly resource: string; readonly notificationUrl: string },
  ) => Effect.Effect<void>
  /** There is one now. What came before it was there is found by a round: it counts as a notification. */
  readonly made: (
    accountId: AccountId,
    remote: { readonly id: string; readonly expiresAt: DateTime.Utc; readonly dueInMillis: number },
  ) => Effect.Effect<void>
  readonly renewed: (
    accountId: AccountId,
    remote: { readonly id: string; readonly expiresAt: DateTime.Utc; readonly dueInMillis: number },
  ) => Effect.Effect<void>
  /** The provider has none any more. The claim stays. */
  readonly lost: (accountId: AccountId) => Effect.Effect<void>
  readonly failed: (
    accountId: AccountId,
    failure: {
      readonly code: string
      readonly message: string
      readonly dueInMillis: number
      /** True where it is known that none was made. */
      readonly certain: boolean
    },
  ) => Effect.Effect<void>
  /** Gives a claim back; due again after a time. */
  readonly postpone: (accountId: AccountId, dueInMillis: number) => Effect.Effect<void>
  readonly remove: (accountId: AccountId) => Effect.Effect<void>
  readonly counts: Effect.Effect<SubscriptionCounts>
}>()("mailfleet/storage/Subscriptions") {
  static readonly layer: Layer.Layer<Subscriptions, never, Database | Vault> = Layer.effect(
    Subscriptions,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const vault = yield* Vault
      const in_ = (millis: number) => sql`now() + make_interval(secs => ${millis / 1_000}::float8)`
      // A user's grant may watch the user's own mailbox only (Microsoft Graph, subscription permissions).
      const isWanted = sql.literal(
        `(a.channel = 'gmail' or (a.channel = 'graph' and (not a.by_name or g.kind = 'client_credentials')))`,
      )
      const lastSeen: Record<Provider, string> = { microsoft: beforeAll, google: beforeAll }

      const enroll = Effect.fn("Subscriptions.enroll")(function* (provider: Provider) {
        const rows = yield* sql<{ id: string; count: number }>`with newest as (
            select id from ${t.accounts} order by id desc limit ${newestAtOnce}
          ), page as (
            select id from ${t.accounts} where id > ${lastSeen[provider]} order by id limit ${accountsAtOnce}
          ), noted as (
            insert into ${t.subscriptions} (account_id)
            select a.id from (select id from newest union select id from page) n
            join ${t.accounts} a on a.id = n.id join ${t.grants} g on g.id = a.grant_id
            left join ${t.subscriptions} s on s.account_id = a.id
            where s.account_id is null and a.provider = ${provider} and a.status = 'active' and ${isWanted} order by a.id
            on conflict do nothing
          )
          select id, (select count(*)::int from page) as count from page order by id desc limit 1`
        const last = rows[0]
        lastSeen[provider] = last !== undefined && last.count === accountsAtOnce ? last.id : beforeAll
      }, orDie)

      // Index: subscriptions_due.
      const claim = Effect.fn("Subscriptions.claim")(function* (provider: Provider, limit: number, seconds: number) {
        const rows = yield* sql<Row>`with due as (
            select s.account_id from ${t.subscriptions} s join ${t.accounts} a on a.id = s.account_id
            where a.provider = ${provider} and s.due_at <= now() and (s.claimed_until is null or s.claimed_until <= now())
            order by s.due_at limit ${limit} for update of s skip locked
          ), claimed as (
            update ${t.subscriptions} s set claimed_until = now() + make_interval(secs => ${seconds})
            from due, ${sql.literal(relaxed)} where s.account_id = due.account_id returning s.*
          )
          select a.id, a.email, a.provider, a.channel, a.grant_id, a.by_name, a.status, p.client_id, ${isWanted} as wanted,
            s.remote_id, s.resource, s.notification_url, s.begun_at is not null as begun, s.failures
          from claimed s join ${t.accounts} a on a.id = s.account_id
          join ${t.grants} g on g.id = a.grant_id join ${t.apps} p on p.id = g.app_id`
        return rows.map((row): DueSubscription => ({
          account: {
            id: row.id,
            email: row.email,
            provider: row.provider,
            channel: row.channel,
            grantId: row.grant_id,
            clientId: row.client_id,
            byName: row.by_name,
          },
          wanted: row.wanted,
          active: row.status === "active",
          remoteId: row.remote_id,
          resource: row.resource,
          notificationUrl: row.notification_url,
          begun: row.begun,
          failures: row.failures,
        }))
      }, orDie)

      return Subscriptions.of({
        enroll,
        claim,
        begin: (accountId, { clientState, notificationUrl, resource }) =>
          sql`update ${t.subscriptions} set remote_id = null, expires_at = null, begun_at = now(),
              client_state = ${vault.hash(clientState)}, resource = ${resource}, notification_url = ${notificationUrl}
            where account_id = ${accountId}`.pipe(Effect.asVoid, orDie),
        made: (accountId, { dueInMillis, expiresAt, id }) =>
          sql`with made as (
              update ${t.subscriptions} set remote_id = ${id}, expires_at = ${DateTime.toDateUtc(expiresAt)},
                begun_at = null, claimed_until = null, due_at = ${in_(dueInMillis)},
                failures = 0, failure_code = null, failure_message = null
              where account_id = ${accountId} returning account_id
            )
            insert into ${t.notifications} (account_id, kind) select account_id, 'change' from made
            on conflict (account_id, kind) where drained_at is null do nothing`.pipe(Effect.asVoid, orDie),
        renewed: (accountId, { dueInMillis, expiresAt, id }) =>
          // Removed by the provider in the meantime: then it is due still.
          sql`update ${t.subscriptions} set claimed_until = null, failures = 0, failure_code = null, failure_message = null,
              expires_at = case when remote_id = ${id} then ${DateTime.toDateUtc(expiresAt)}::timestamptz end,
              due_at = case when remote_id = ${id} then ${in_(dueInMillis)} else due_at end
            where account_id = ${accountId}`.pipe(Effect.asVoid, orDie),
        lost: (accountId) =>
          sql`update ${t.subscriptions} set remote_id = null, expires_at = null where account_id = ${accountId}`
            .pipe(Effect.asVoid, orDie),
        failed: (accountId, { certain, code, dueInMillis, message }) =>
          sql`update ${t.subscriptions} set claimed_until = null, due_at = ${in_(dueInMillis)}, failures = failures + 1,
              failure_code = ${code}, failure_message = ${message}, begun_at = case when not ${certain}::boolean then begun_at end
            where account_id = ${accountId}`.pipe(Effect.asVoid, orDie),
        postpone: (accountId, dueInMillis) =>
          sql`update ${t.subscriptions} set claimed_until = null, due_at = ${in_(dueInMillis)}
            where account_id = ${accountId}`.pipe(Effect.asVoid, orDie),
        remove: (accountId) =>
          sql`delete from ${t.subscriptions} where account_id = ${accountId}`.pipe(Effect.asVoid, orDie),
        counts: Effect.gen(function* () {
          const rows = yield* sql<{ active: number; failing: number; total: number }>`select count(*)::float8 as total,
              count(*) filter (where expires_at > now())::float8 as active,
              count(*) filter (where failures > 0 and (expires_at is null or expires_at <= now()))::float8 as failing
            from ${t.subscriptions}`
          const { active, failing, total } = rows[0]!
          return { active, failing, wanted: total - active - failing }
        }).pipe(Effect.withSpan("Subscriptions.counts"), orDie),
      })
    }),
  )
}
