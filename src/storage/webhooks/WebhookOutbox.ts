/**
 * What is to be sent to webhooks, and what became of it.
 *
 * The change log and the events are the outbox: they are written in the transaction of what they tell. A webhook has its place
 * in both; what comes after it is taken, in one statement with the place, into a bounded number of rows that wait to be sent.
 * One process sends for a webhook, by a lease with a fencing number.
 */
import { Context, Duration, Effect, Layer } from "effect"
import { cachedFor } from "../../domain/Monotonic.ts"
import type { WebhookId } from "../../domain/Webhook.ts"
import { column, Database, orDie, relaxed } from "../Database.ts"
import { placeEvents } from "../EventPositions.ts"
import { positionsOf } from "../mail/Positions.ts"
import { contentOf, type LoadedDelivery } from "./DeliveryContent.ts"

/** Seconds that a silent sender keeps a webhook. */
export const leaseSeconds = 20

/** Entries of the log that are looked at in one statement. */
const pageSize = 1_000

/** How often it is looked whether there is something to be sent: one short query in that time, however many the webhooks are. */
const glance = "250 millis"

/** A webhook that this process sends for. */
export interface ClaimedWebhook {
  readonly id: WebhookId
  readonly fence: bigint
  /** How the receiver was when it was last tried. */
  readonly failures: number
  readonly pausedMillis: number
}

/** A row that waits. Of one lane the next is sent when the one before has arrived. */
export interface QueuedDelivery {
  readonly id: bigint
  readonly lane: string
  /** Milliseconds until it may be tried again; 0 = now. */
  readonly waitMillis: number
}

/** What became of an attempt. */
export interface Attempted {
  readonly id: bigint
  readonly delivered: boolean
  readonly status: number | null
  readonly error: string | null
  /** Until it is tried again. */
  readonly waitMillis: number
}

/** What the receiver as a whole is like after them. */
export interface ReceiverState {
  readonly failures: number
  /** 0 = it is not paused. */
  readonly pausedMillis: number
  /** It takes deliveries again, after it had taken none: what was tried in vain is tried at once. */
  readonly recovered: boolean
}

export interface WebhookBacklog {
  readonly waiting: number
  /** Seconds since the oldest that has not arrived happened. */
  readonly lagSeconds: number
}

export class WebhookOutbox extends Context.Service<WebhookOutbox, {
  /** Takes webhooks that nobody sends for. */
  readonly claim: (limit: number) => Effect.Effect<ReadonlyArray<ClaimedWebhook>>
  /** Keeps them. Answers those that are still ours: the others were taken over, changed, disabled or deleted. */
  readonly renew: (claimed: ReadonlyArray<ClaimedWebhook>) => Effect.Effect<ReadonlySet<WebhookId>>
  readonly release: (claimed: ClaimedWebhook) => Effect.Effect<void>
  /** The enabled webhooks with their fencing numbers, and whether the log has something new for them. */
  readonly glance: Effect.Effect<ReadonlyMap<WebhookId, { readonly fence: bigint; readonly news: boolean }>>
  /** All that waits, oldest first. */
  readonly waiting: (claimed: ClaimedWebhook) => Effect.Effect<ReadonlyArray<QueuedDelivery>>
  /**
   * Takes in the next entries of the log, with the place up to which that was done. `complete` = there were no more.
   */
  readonly take: (claimed: ClaimedWebhook) => Effect.Effect<
    { readonly queued: ReadonlyArray<QueuedDelivery>; readonly complete: boolean }
  >
  /** What is to be sent, of those that are still there: the webhook may be another's by now, an account deleted. */
  readonly load: (
    claimed: ClaimedWebhook,
    ids: ReadonlyArray<bigint>,
  ) => Effect.Effect<ReadonlyArray<LoadedDelivery>>
  /** Stores what became of attempts. `exhausted` = something has failed for longer than `retryFor`. */
  readonly record: (
    claimed: ClaimedWebhook,
    attempts: ReadonlyArray<Attempted>,
    receiver: ReceiverState,
    retryFor: Duration.Duration,
  ) => Effect.Effect<{ readonly exhausted: boolean }>
  /** Nothing is sent any more, and the event that tells of it is written. */
  readonly disable: (claimed: ClaimedWebhook, reason: string) => Effect.Effect<void>
  readonly backlog: Effect.Effect<WebhookBacklog>
}>()("mailfleet/storage/WebhookOutbox") {
  static readonly layer: Layer.Layer<WebhookOutbox, never, Database> = Layer.effect(
    WebhookOutbox,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const positions = yield* orDie(positionsOf(database))

      const held = ({ fence, id }: ClaimedWebhook) => sql`id = ${id} and fence = ${fence}`

      const claim = Effect.fn("WebhookOutbox.claim")(function* (limit: number) {
        const rows = yield* sql<{ id: string; fence: bigint; failures: number; paused: number }>`update ${t.webhooks}
          set fence = fence + 1, lease_until = now() + make_interval(secs => ${leaseSeconds})
          where id in (select id from ${t.webhooks} where enabled and (lease_until is null or lease_until < now())
            order by id limit ${limit} for update skip locked)
          returning id, fence, failures,
            greatest(0, coalesce(extract(epoch from paused_until - now()) * 1000, 0))::float8 as paused`
        return rows.map(({ failures, fence, id, paused }) => ({ id, fence, failures, pausedMillis: paused }))
      }, orDie)

      const renew = Effect.fn("WebhookOutbox.renew")(function* (claimed: ReadonlyArray<ClaimedWebhook>) {
        const rows = yield* sql<{ id: string }>`update ${t.webhooks} w
          set lease_until = now() + make_interval(secs => ${leaseSeconds})
          from unnest(${column("uuid", claimed.map(({ id }) => id))}, ${
          column("int8", claimed.map(({ fence }) => fence))
        }) as mine (id, fence), ${sql.literal(relaxed)}
          where w.id = mine.id and w.fence = mine.fence and w.enabled returning w.id`
        return new Set(rows.map(({ id }) => id))
      }, orDie)

      // Index: events_unplaced; the newest of both by their keys.
      const look = Effect.gen(function* () {
        const rows = yield* sql<{ id: string; fence: bigint; news: boolean; unplaced: boolean }>`
          select w.id, w.fence, unplaced, unplaced or w.change_cursor < coalesce((select max(id) from ${t.changes}), 0)
            or w.event_cursor < coalesce((select max(position) from ${t.events}), 0) as news
          from ${t.webhooks} w, (select exists (select from ${t.events} where position is null) as unplaced) events
          where w.enabled`
        if (rows[0]?.unplaced) yield* placeEvents(database)
        return new Map(rows.map(({ fence, id, news }) => [id, { fence, news }]))
      }).pipe(orDie)

      const waiting = Effect.fn("WebhookOutbox.waiting")(function* ({ id }: ClaimedWebhook) {
        // Index: webhook_deliveries_waiting.
        return yield* sql<QueuedDelivery>`select id, lane,
            greatest(0, coalesce(extract(epoch from next_at - now()) * 1000, 0))::float8 as "waitMillis"
          from ${t.webhook_deliveries} where webhook_id = ${id} and delivered_at is null order by id`
      }, orDie)

      /**
       * The two logs are merged by time, each in its own order: an entry counts as no older than those before it. What may
       * follow from an event that has no position yet waits until it has one. Of accounts that are gone nothing is sent.
       */
      const take = Effect.fn("WebhookOutbox.take")(function* (claimed: ClaimedWebhook) {
        const rows = yield* sql<{ scanned: number; id: bigint | null; lane: string | null }>`with w as (
            select * from ${t.webhooks} where ${held(claimed)} and enabled for update
          ), c as (
            select id, at, account_id, kind, origin from ${t.changes}
            where id > (select change_cursor from w) order by id limit ${pageSize}
          ), e as (
            select id, position, at, kind, subject from ${t.events}
            where position > (select event_cursor from w) order by position limit ${pageSize}
          ), next as (
            select * from (
              select max(at) over (order by id) as at, 0 as log, id as place, id as change_id, null::bigint as event_id,
                account_id, account_id::text as lane, kind as type, origin from c
              union all
              select max(at) over (order by position), 1, position, null, id,
                case when kind like 'account.%' then subject::uuid end, subject, kind, null from e
            ) logs where at < coalesce((select min(at) from ${t.events} where position is null), 'infinity')
            order by at, log, place limit ${pageSize}
          ), queued as (
            insert into ${t.webhook_deliveries} (webhook_id, account_id, lane, type, change_id, event_id)
            select w.id, next.account_id, next.lane, next.type, next.change_id, next.event_id
            from next cross join w left join ${t.accounts} a on a.id = next.account_id
            where next.type <> 'account.status' and (w.events is null or next.type = any (w.events))
              and (next.origin is null or next.origin = any (w.origins))
              -- What it was disabled for it need not be told by itself.
              and not (next.type = 'webhook.disabled' and next.lane = w.id::text)
              and (next.account_id is null or (a.id is not null and (w.tags is null or a.tags && w.tags)))
            order by next.at, next.log, next.place
            returning id, lane
          ), moved as (
            update ${t.webhooks} set
              change_cursor = greatest(change_cursor, (select max(place) from next where log = 0)),
              event_cursor = greatest(event_cursor, (select max(place) from next where log = 1))
            where ${held(claimed)} and exists (select from next)
          )
          select scanned, queued.id, queued.lane from (select count(*)::int as scanned from next) counted
          left join queued on true order by queued.id`
        return {
          queued: rows.flatMap(({ id, lane }) => id === null || lane === null ? [] : [{ id, lane, waitMillis: 0 }]),
          complete: rows[0]!.scanned < pageSize,
        }
      }, orDie)

      const record = Effect.fn("WebhookOutbox.record")(function* (
        claimed: ClaimedWebhook,
        attempts: ReadonlyArray<Attempted>,
        receiver: ReceiverState,
        retryFor: Duration.Duration,
      ) {
        const retrySeconds = Duration.toSeconds(retryFor)
        return yield* sql.withTransaction(Effect.gen(function* () {
          const rows = yield* sql<{ exhausted: boolean }>`with mine as (
              select id from ${t.webhooks} where ${held(claimed)} for update
            ), settled as (
              update ${t.webhook_deliveries} d set attempts = d.attempts + 1, attempted_at = now(), status = o.status,
                error = o.error, delivered_at = case when o.delivered then now() end,
                first_failed_at = case when o.delivered then d.first_failed_at else coalesce(d.first_failed_at, now()) end,
                next_at = case when o.delivered then null else now() + make_interval(secs => o.wait / 1000) end
              from mine, unnest(${column("int8", attempts.map(({ id }) => id))},
                ${column("bool", attempts.map(({ delivered }) => delivered))},
                ${column("int4", attempts.map(({ status }) => status))},
                ${column("text", attempts.map(({ error }) => error))},
                ${
            column("float8", attempts.map(({ waitMillis }) => waitMillis))
          }) as o (id, delivered, status, error, wait)
              where d.id = o.id and d.webhook_id = mine.id and d.delivered_at is null
              returning d.delivered_at is not null as delivered, d.first_failed_at
            ), told as (
              select coalesce(bool_or(delivered), false) as delivered, coalesce(bool_or(not delivered
                and first_failed_at < now() - make_interval(secs => ${retrySeconds})), false) as exhausted from settled
            )
            update ${t.webhooks} w set failures = ${receiver.failures},
              failing_since = case when ${receiver.failures} > 0 then coalesce(w.failing_since, now()) end,
              paused_until = case when ${receiver.pausedMillis}::float8 > 0
                then now() + make_interval(secs => ${receiver.pausedMillis}::float8 / 1000) end,
              delivered_at = case when told.delivered then now() else w.delivered_at end
            from mine, told where w.id = mine.id
            returning told.exhausted or coalesce(w.failing_since < now() - make_interval(secs => ${retrySeconds}), false)
              as exhausted`
          if (rows[0] !== undefined && receiver.recovered) {
            yield* sql`update ${t.webhook_deliveries} set attempts = 0, first_failed_at = null, next_at = null
              where webhook_id = ${claimed.id} and delivered_at is null and attempts > 0`
          }
          return { exhausted: rows[0]?.exhausted ?? false }
        }))
      }, orDie)

      const disable = Effect.fn("WebhookOutbox.disable")(function* (claimed: ClaimedWebhook, reason: string) {
        yield* sql`with gone as (
            update ${t.webhooks} set enabled = false, disabled_at = now(), disabled_reason = ${reason}, paused_until = null,
              fence = fence + 1, lease_until = null
            where ${held(claimed)} and enabled returning id, url
          )
          insert into ${t.events} (kind, subject, message)
          select 'webhook.disabled', id::text, 'nothing is sent to the webhook at ' || substring(url from '^https?://[^/?#]+')
            || ' any more: ' || ${reason} || '. Have its receiver answer, then: mailfleet webhooks update ' || id
            || ' --enable; it goes on where it stood' from gone`
      }, orDie)

      const backlog = sql<{ waiting: number; lag: number | null }>`select
          (select count(*)::float8 from ${t.webhook_deliveries} d join ${t.webhooks} w on w.id = d.webhook_id
            where d.delivered_at is null and w.enabled) as waiting,
          (select extract(epoch from now() - min(oldest.at))::float8 from ${t.webhooks} w cross join lateral (
            select least(
              (select coalesce(c.at, e.at) from ${t.webhook_deliveries} d left join ${t.changes} c on c.id = d.change_id
                left join ${t.events} e on e.id = d.event_id
                where d.webhook_id = w.id and d.delivered_at is null order by d.id limit 1),
              (select at from ${t.changes} where id > w.change_cursor order by id limit 1),
              (select at from ${t.events} where position > w.event_cursor order by position limit 1)) as at
          ) oldest where w.enabled) as lag`.pipe(
        Effect.map(([row]) => ({
          waiting: row!.waiting,
          lagSeconds: Math.max(0, Math.round((row!.lag ?? 0) * 1_000) / 1_000),
        })),
        orDie,
      )

      return WebhookOutbox.of({
        claim,
        renew,
        release: (claimed) =>
          Effect.asVoid(orDie(sql`update ${t.webhooks} set lease_until = null where ${held(claimed)}`)),
        glance: yield* cachedFor(look, glance),
        waiting,
        take,
        load: (claimed, ids) =>
          contentOf(database, positions, claimed, ids).pipe(orDie, Effect.withSpan("WebhookOutbox.load")),
        record,
        disable,
        backlog,
      })
    }),
  )
}
