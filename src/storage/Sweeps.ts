/** Deletes what has no use any more, a bounded number of rows at a time. */
import { Context, Effect, Layer } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { Settings } from "../domain/Settings.ts"
import { Database, orDie } from "./Database.ts"
import { sweptName } from "./mail/Positions.ts"

/**
 * How long hashes of past tokens are kept. A Microsoft token dies after 90 days without use (Microsoft identity platform,
 * refresh tokens), so one retired longer ago is refused by the provider itself. Google's live on, but they are not rotated:
 * only an import retires one.
 */
const tokenHashDays = { microsoft: 100, google: 400 }

/** How long events are kept: a year and a month, so that a yearly review finds the whole year. */
const eventDays = 400

/** Deliveries that arrived, kept for each webhook to be looked at. */
const deliveriesKept = 1_000

/** How long sessions of sign-ins are kept after their end. */
const sessionDays = 30

/** Some tenths of a second. */
const rowsAtOnce = 10_000
/** Of a million access tokens each is looked at every three hours. */
const accessTokensAtOnce = 5_000
const beforeAll = { grant_id: "00000000-0000-0000-0000-000000000000", resource: "" }

export class Sweeps extends Context.Service<Sweeps, {
  /** Removes hashes of tokens long dead. */
  readonly tokenHashes: Effect.Effect<void>
  /** Removes access tokens that ended a day ago or more, of the next few thousand grants. After the last come the first. */
  readonly accessTokens: Effect.Effect<void>
  /** Removes runs that ended so many days ago as the settings say, with their items. */
  readonly runs: Effect.Effect<void>
  /** Removes entries of the change log as old as the settings say, but for what a webhook has not sent yet. */
  readonly changes: Effect.Effect<void>
  /** Removes events past their time. */
  readonly events: Effect.Effect<void>
  /** Removes deliveries to webhooks that arrived, but for the newest of each webhook. */
  readonly deliveries: Effect.Effect<void>
  /** Removes pauses that are over. */
  readonly pauses: Effect.Effect<void>
  /** Removes sessions of sign-ins that ended long ago. */
  readonly connectSessions: Effect.Effect<void>
}>()("mailfleet/storage/Sweeps") {
  static readonly layer: Layer.Layer<Sweeps, never, Database | Settings> = Layer.effect(
    Sweeps,
    Effect.map(Effect.all([Database, Settings]), ([{ sql, tables: t }, { changeDays, runDays }]) => {
      /** Repeats a deletion of at most {@link rowsAtOnce} until nothing is left. Others have the database in between. */
      const sweepAll = (
        deletion: Statement.Fragment,
        /** Part of the same statement, over the ids in `gone`. */
        noting = sql`select`,
      ): Effect.Effect<void, SqlError.SqlError> =>
        Effect.gen(function* () {
          while (true) {
            const rows = yield* sql<{ count: number }>`with gone as (${deletion} returning *), noted as (${noting})
              select count(*)::int as count from gone`
            if (rows[0]!.count < rowsAtOnce) return
            yield* Effect.sleep("100 millis")
          }
        })

      let lastSeen = beforeAll

      /** The oldest by the primary key, which are looked at whether or not they are past their time. */
      const oldRuns = sql`select id from (select id, finished_at from ${t.runs} order by id limit 1000) oldest
        where finished_at < now() - make_interval(days => ${runDays ?? 0})`

      return Sweeps.of({
        // Index: grant_tokens_retired.
        tokenHashes: sweepAll(sql`delete from ${t.grant_tokens} where (grant_id, hash) in (
          select k.grant_id, k.hash from ${t.grant_tokens} k
          join ${t.grants} g on g.id = k.grant_id join ${t.apps} p on p.id = g.app_id
          where k.retired_at < now() - make_interval(days => ${tokenHashDays.microsoft})
            and (p.provider = 'microsoft' or k.retired_at < now() - make_interval(days => ${tokenHashDays.google}))
          limit ${rowsAtOnce})`).pipe(orDie),
        // Index: connect_sessions_expiry.
        connectSessions: sweepAll(sql`delete from ${t.connect_sessions} where id in (
          select id from ${t.connect_sessions} where expires_at < now() - make_interval(days => ${sessionDays})
          limit ${rowsAtOnce})`).pipe(orDie),
        // Items first: a run may have a million. Index: run_items_pkey.
        runs: runDays === null ? Effect.void : Effect.andThen(
          sweepAll(sql`delete from ${t.run_items} where (run_id, position) in (
            select run_id, position from ${t.run_items} where run_id in (${oldRuns}) limit ${rowsAtOnce})`),
          sweepAll(sql`delete from ${t.runs} where id in (${oldRuns})`),
        ).pipe(orDie),
        // Indexes: changes_pkey, webhook_deliveries_waiting.
        changes: changeDays === null ? Effect.void : sweepAll(
          sql`delete from ${t.changes} where id in (
          select id from (select id, at from ${t.changes} order by id limit ${rowsAtOnce}) oldest
          where at < now() - make_interval(days => ${changeDays})
            and id <= coalesce((select min(change_cursor) from ${t.webhooks} where enabled), id)
            and id < coalesce((select min(change_id) from ${t.webhook_deliveries} where delivered_at is null), id + 1))`,
          // Who would go on from before is told that something is missing.
          sql`insert into ${t.meta} (name, value) select ${sweptName}, max(id) from gone having count(*) > 0
            on conflict (name) do update set value = greatest(meta.value::bigint, excluded.value::bigint)`,
        ).pipe(orDie),
        // Index: webhook_deliveries_recent. What waits is kept, however old it is.
        deliveries: sweepAll(sql`delete from ${t.webhook_deliveries} where id in (
          select d.id from ${t.webhooks} w
          cross join lateral (select id from ${t.webhook_deliveries} where webhook_id = w.id and delivered_at is not null
            order by id desc offset ${deliveriesKept} limit 1) last
          join ${t.webhook_deliveries} d on d.webhook_id = w.id and d.id <= last.id and d.delivered_at is not null
          limit ${rowsAtOnce})`).pipe(orDie),
        pauses: sweepAll(sql`delete from ${t.pauses} where key in (
          select key from ${t.pauses} where until < now() limit ${rowsAtOnce})`).pipe(orDie),
        // By the primary key: an index of the ends would cost each redemption a write, for the few that are not replaced.
        accessTokens: Effect.gen(function* () {
          const rows = yield* sql<typeof beforeAll & { count: number }>`with page as (
              select grant_id, resource, expires_at from ${t.access_tokens}
              where (grant_id, resource) > (${lastSeen.grant_id}, ${lastSeen.resource})
              order by grant_id, resource limit ${accessTokensAtOnce}
            ), ended as (
              select x.grant_id, x.resource from page join ${t.access_tokens} x using (grant_id, resource)
              where page.expires_at < now() - interval '1 day' and x.expires_at < now() - interval '1 day'
              order by x.grant_id, x.resource for update of x skip locked
            ), gone as (
              delete from ${t.access_tokens} x using ended where x.grant_id = ended.grant_id and x.resource = ended.resource
            )
            select grant_id, resource, (select count(*)::int from page) as count from page
            order by grant_id desc, resource desc limit 1`
          const last = rows[0]
          lastSeen = last !== undefined && last.count === accessTokensAtOnce ? last : beforeAll
        }).pipe(orDie),
        // Of the oldest by the primary key, which are looked at whether or not they are past their time.
        events: sweepAll(sql`delete from ${t.events} where id in (
          select id from (select id, at from ${t.events} order by id limit ${rowsAtOnce}) oldest
          where at < now() - make_interval(days => ${eventDays}))`).pipe(orDie),
      })
    }),
  )
}
