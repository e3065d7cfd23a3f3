/**
 * The inbox of what providers tell by themselves. A notification is a hint: it makes its account due and says nothing more. It is
 * kept until a round has ended that began after it came, so that no crash loses it.
 */
import { Context, Effect, Latch, Layer, Redacted } from "effect"
import { timingSafeEqual } from "node:crypto"
import type { AccountId } from "../../domain/Ids.ts"
import { Vault } from "../../oauth/Vault.ts"
import { column, Database, orDie } from "../Database.ts"
import { postgresText } from "../PostgresText.ts"

/** `change`: mail has changed. The others are what Microsoft Graph tells of a subscription itself. */
export type NotificationKind = "change" | "reauthorizationRequired" | "subscriptionRemoved" | "missed"

export interface GraphNotification {
  readonly subscriptionId: string
  /** What it proves itself by. */
  readonly clientState: string | undefined
  readonly kind: NotificationKind
}

/** How many notifications were taken in, and how many left aside. */
export interface Taken {
  readonly accepted: number
  /** Of a subscription that is not ours, or no longer. */
  readonly unknown: number
  /** With another client state than the subscription's. */
  readonly forged: number
}

export interface Backlog {
  /** Notifications after which no round has ended yet. */
  readonly waiting: number
  /** Seconds since the oldest of them came. */
  readonly lagSeconds: number
}

/** With the account gone or out of use nothing waits for a round any more. */
const keptHours = 24

export class Notifications extends Context.Service<Notifications, {
  /** Durable once it answers; of several alike for one account one is kept. */
  readonly takeGraph: (notifications: ReadonlyArray<GraphNotification>) => Effect.Effect<Taken>
  /** Takes in that mail of a Google account has changed. */
  readonly takeGmail: (email: string) => Effect.Effect<Taken>
  /** Takes in that mail of an account has changed, as an open connection told. */
  readonly takeAccount: (accountId: AccountId) => Effect.Effect<void>
  /**
   * Makes due, at once, the accounts that were told of, but for those with a round under way: it may have passed what changed,
   * and a round that begins later is wanted. Answers how many notifications were worked off.
   */
  readonly drain: (limit: number) => Effect.Effect<number>
  /** Forgets notifications after which a round has ended; answers how many seconds each had waited for that. */
  readonly finish: Effect.Effect<ReadonlyArray<number>>
  /** Ends when a notification comes by way of this process. */
  readonly arrival: Effect.Effect<void>
  readonly backlog: Effect.Effect<Backlog>
}>()("mailfleet/storage/Notifications") {
  static readonly layer: Layer.Layer<Notifications, never, Database | Vault> = Layer.effect(
    Notifications,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const vault = yield* Vault
      const arrived = yield* Latch.make()

      const isTrue = (stored: Uint8Array | null, clientState: string | undefined): boolean => {
        if (stored === null || clientState === undefined) return false
        // All keys are looked at, whichever it is.
        return vault.hashes(Redacted.make(clientState))
          .filter((hash) => hash.length === stored.length && timingSafeEqual(hash, stored)).length > 0
      }

      const takeGraph = Effect.fn("Notifications.takeGraph")(function* (given: ReadonlyArray<GraphNotification>) {
        const ids = [...new Set(given.map(({ subscriptionId }) => subscriptionId))]
        const rows = ids.length === 0 ? [] : yield* sql<{
          remote_id: string
          account_id: AccountId
          client_state: Uint8Array | null
        }>`select remote_id, account_id, client_state from ${t.subscriptions} where remote_id = any (${
          column("text", ids.map(postgresText))
        })`
        const subscriptions = new Map(rows.map((row) => [row.remote_id, row]))
        const accepted = new Map<string, { accountId: AccountId; kind: NotificationKind; remoteId: string }>()
        const counts = { accepted: 0, unknown: 0, forged: 0 }
        for (const { clientState, kind, subscriptionId } of given) {
          const subscription = subscriptions.get(subscriptionId)
          if (subscription === undefined) counts.unknown++
          else if (!isTrue(subscription.client_state, clientState)) counts.forged++
          else {
            counts.accepted++
            const accountId = subscription.account_id
            accepted.set(`${accountId} ${kind}`, { accountId, kind, remoteId: subscriptionId })
          }
        }
        if (accepted.size > 0) {
          const all = [...accepted.values()]
          // In one order everywhere, so that two that bring the same wait for each other and no more.
          yield* sql`insert into ${t.notifications} (account_id, kind, remote_id)
            select a.id, n.kind, n.remote_id from unnest(${column("uuid", all.map(({ accountId }) => accountId))},
              ${column("text", all.map(({ kind }) => kind))}, ${column("text", all.map(({ remoteId }) => remoteId))})
              as n (account_id, kind, remote_id)
            join ${t.accounts} a on a.id = n.account_id order by a.id, n.kind
            on conflict (account_id, kind) where drained_at is null do nothing`
          yield* arrived.open
        }
        return counts
      }, orDie)

      const takeGmail = Effect.fn("Notifications.takeGmail")(function* (email: string) {
        const rows = yield* sql`insert into ${t.notifications} (account_id, kind)
          select id, 'change' from ${t.accounts} where provider = 'google' and email_key = ${
          postgresText(email.toLowerCase())
        }
          on conflict (account_id, kind) where drained_at is null do update set kind = excluded.kind returning 1`
        if (rows.length > 0) yield* arrived.open
        return rows.length > 0 ? { accepted: 1, unknown: 0, forged: 0 } : { accepted: 0, unknown: 1, forged: 0 }
      }, orDie)

      const takeAccount = Effect.fn("Notifications.takeAccount")(function* (accountId: AccountId) {
        yield* sql`insert into ${t.notifications} (account_id, kind)
          select id, 'change' from ${t.accounts} where id = ${accountId}
          on conflict (account_id, kind) where drained_at is null do nothing`
        yield* arrived.open
      }, orDie)

      const drain = Effect.fn("Notifications.drain")(function* (limit: number) {
        yield* arrived.close
        // Index: notifications_waiting. Whoever writes a page of the account holds its row: it is stepped over until later.
        const rows = yield* sql`with ready as (
            select n.id, n.account_id, n.kind, n.remote_id from ${t.notifications} n join ${t.accounts} a on a.id = n.account_id
            where n.drained_at is null and (a.sync_lease_until is null or a.sync_lease_until <= now())
            order by n.id limit ${limit} for update of n skip locked for no key update of a skip locked
          ), due as (
            -- Where the last round failed, it says itself when to come again: a pause of the provider is kept.
            update ${t.accounts} set sync_due_at = now()
            where id in (select account_id from ready where kind <> 'reauthorizationRequired')
              and status = 'active' and sync_failures = 0 and (sync_due_at is null or sync_due_at > now())
          ), renewal as (
            update ${t.subscriptions} s set due_at = now(),
              remote_id = case when ready.kind = 'subscriptionRemoved' then null else s.remote_id end,
              expires_at = case when ready.kind = 'subscriptionRemoved' then null else s.expires_at end
            from (select distinct on (account_id) account_id, kind, remote_id from ready
              where kind in ('reauthorizationRequired', 'subscriptionRemoved') order by account_id, kind desc) ready
            where s.account_id = ready.account_id and s.remote_id = ready.remote_id
          )
          -- By the clock and not by the start of the statement, which may have waited for the end of a round.
          update ${t.notifications} n set drained_at = clock_timestamp() from ready where n.id = ready.id returning 1`
        return rows.length
      }, orDie)

      const finish = sql<
        { kind: NotificationKind; seconds: number }
      >`delete from ${t.notifications} n using ${t.accounts} a
        where a.id = n.account_id and n.drained_at is not null and (a.synced_at > n.drained_at
          or n.kind = 'reauthorizationRequired' or n.drained_at < now() - make_interval(hours => ${keptHours}))
        returning n.kind, extract(epoch from a.synced_at - n.received_at)::float8 as seconds`.pipe(
        Effect.map((rows) =>
          rows.flatMap(({ kind, seconds }) => kind === "reauthorizationRequired" || !(seconds >= 0) ? [] : [seconds])
        ),
        Effect.withSpan("Notifications.finish"),
        orDie,
      )

      const backlog = sql<{ waiting: number; lag: number }>`select count(*)::float8 as waiting,
          coalesce(extract(epoch from now() - min(received_at)), 0)::float8 as lag
        from ${t.notifications} where kind <> 'reauthorizationRequired'`.pipe(
        Effect.map(([row]) => ({ waiting: row!.waiting, lagSeconds: Math.round(row!.lag * 1_000) / 1_000 })),
        orDie,
      )

      return Notifications.of({ takeGraph, takeAccount, takeGmail, drain, finish, arrival: arrived.await, backlog })
    }),
  )
}
