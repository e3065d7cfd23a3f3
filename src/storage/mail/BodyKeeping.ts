/**
 * What is done with the partitions of bodies: they are made ahead of their month, and dropped when no account keeps mail so old.
 * Bodies of before they were apart are moved, and those that no message has any more are deleted.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { cachedFor } from "../../domain/Monotonic.ts"
import { Settings } from "../../domain/Settings.ts"
import { Database, orDie } from "../Database.ts"
import { bodyMonth, firstIdAt, monthAt, monthNamed } from "./BodyMonths.ts"
import { choiceDays } from "./MailChoices.ts"
import { day } from "./SearchDays.ts"

/** Messages in a transaction: some hundredths of a second. */
const batch = 500

/** Bodies that are looked at in one statement, by the primary key. */
const looked = 5_000

/** Others have the database in between. */
const pause = "50 millis"

/** Partitions are there for this month and so many after it: a fleet that stands still for a month still has one. */
const ahead = 2

/** What outlives its month is without a date, or dated ahead: more means that the month's messages are not pruned yet. */
const fewSurvivors = 10_000

const first = "00000000-0000-0000-0000-000000000000"

export class BodyKeeping extends Context.Service<BodyKeeping, {
  /** Makes the partitions of this month and the next ones. */
  readonly makeAhead: Effect.Effect<void>
  /** Moves bodies of before an upgrade. Answers how many messages it looked at; after the last one it costs one look. */
  readonly moveOld: Effect.Effect<number>
  /**
   * The first id whose body is deleted with its message. Those before it lie in partitions that are dropped within a month, as
   * the longest retention of all accounts has it, and are left for that.
   */
  readonly kept: Effect.Effect<string>
  /** Drops the partitions of which no account keeps anything. To be called when messages are pruned. Answers their names. */
  readonly dropOld: Effect.Effect<ReadonlyArray<string>>
  /** Deletes what no message has any more, of the next few thousand. After the last come the first. */
  readonly sweep: Effect.Effect<void>
}>()("mailfleet/storage/BodyKeeping") {
  static readonly layer: Layer.Layer<BodyKeeping, never, Database | Settings> = Layer.effect(
    BodyKeeping,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const { schema, sql, tables: t } = database

      /** Whoever reads a body waits while a partition comes or goes: rather than wait for long reads with all others, try later. */
      const brief = sql`select set_config('lock_timeout', '1s', true)`

      const partitions = sql<{ name: string }>`select c.relname as name from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = ${`${schema}.message_bodies`}::text::regclass order by c.relname`.pipe(
        Effect.map((rows) => rows.map(({ name }) => name)),
      )

      const makeAhead = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        const there = new Set(yield* partitions)
        for (let later = 0; later <= ahead; later++) {
          const { from, name, to } = bodyMonth(monthAt(now, later))
          if (there.has(name)) continue
          // After months without housekeeping: what lies in the rest already keeps its month there.
          const [held] = yield* sql<{ held: boolean }>`select exists (select from ${
            sql(`${schema}.message_bodies_rest`)
          }
            where message_id >= ${from} and message_id < ${to}) as held`
          if (held!.held) continue
          yield* sql.withTransaction(Effect.andThen(
            brief,
            sql`create table if not exists ${sql(`${schema}.${name}`)} partition of ${t.message_bodies}
              for values from (${sql.literal(`'${from}'`)}) to (${sql.literal(`'${to}'`)})`,
          ))
        }
      })

      // The row of the position is the right to move: another process steps over it. Index: messages_id.
      const moveStep = sql.withTransaction(Effect.gen(function* () {
        const [position] = yield* sql<{ value: string }>`select value from ${t.meta} where name = 'bodies_moved'
          for update skip locked`
        if (position === undefined) return 0
        const rows = yield* sql<{ id: string }>`with page as materialized (
            select account_id, id, body_text, body_html from ${t.messages} where id > ${position.value}
            order by id limit ${batch}
          ), held as materialized (
            select m.account_id, m.id, m.body_text, m.body_html from page p
            join ${t.messages} m on m.account_id = p.account_id and m.id = p.id
            where p.body_text is not null or p.body_html is not null
            order by m.account_id, m.id for update of m
          ), moved as (
            insert into ${t.message_bodies} (account_id, message_id, body_text, body_html)
            select account_id, id, body_text, body_html from held
            on conflict (account_id, message_id) do update set body_text = excluded.body_text,
              body_html = excluded.body_html
          ), emptied as (
            update ${t.messages} m set body_text = null, body_html = null from held h
            where m.account_id = h.account_id and m.id = h.id
          )
          select id from page order by id`
        if (rows.length < batch) yield* sql`delete from ${t.meta} where name = 'bodies_moved'`
        else yield* sql`update ${t.meta} set value = ${rows.at(-1)!.id} where name = 'bodies_moved'`
        return rows.length
      }))

      const moveOld = Effect.gen(function* () {
        for (let sum = 0;;) {
          const done = yield* moveStep
          sum += done
          if (done < batch) return sum
          yield* Effect.sleep(pause)
        }
      })

      /** The longest time that any account keeps mail; null = for ever. */
      const longestDays = Effect.map(
        sql<{ days: number | null }>`select case when bool_and(days is not null) then max(days) end as days
          from (select ${choiceDays(database, settings, "retentionDays")} as days from ${t.accounts} a) a`,
        ([row]) => row?.days ?? null,
      )

      const kept = Effect.gen(function* () {
        const days = yield* longestDays
        if (days === null) return first
        return firstIdAt(monthAt((yield* Clock.currentTimeMillis) - (days - 31) * day))
      })

      // The lock first: no body of a survivor is written between the look and the end.
      const drop = (name: string, { from, to }: { readonly from: string; readonly to: string }) =>
        sql.withTransaction(Effect.gen(function* () {
          yield* brief
          const [survivors] = yield* sql<{ count: number }>`select count(*)::integer as count from (
            select from ${t.messages} where id >= ${from} and id < ${to} limit ${fewSurvivors + 1}) few`
          if (survivors!.count > fewSurvivors) return false
          yield* sql`lock table ${t.message_bodies} in access exclusive mode`
          yield* sql`create temporary table bodies_that_stay on commit drop as
            select b.* from ${t.messages} m
            join ${sql(`${schema}.${name}`)} b on b.account_id = m.account_id and b.message_id = m.id
            where m.id >= ${sql.literal(`'${from}'`)} and m.id < ${sql.literal(`'${to}'`)}`
          yield* sql`drop table ${sql(`${schema}.${name}`)}`
          yield* sql`insert into ${t.message_bodies} select * from bodies_that_stay`
          return true
        }))

      const dropOld = Effect.gen(function* () {
        const days = yield* longestDays
        if (days === null) return []
        const end = (yield* Clock.currentTimeMillis) - (days + 1) * day
        const dropped: Array<string> = []
        for (const name of yield* partitions) {
          const month = monthNamed(name)
          if (month === undefined || monthAt(month, 1) > end) continue
          if (yield* drop(name, bodyMonth(month))) dropped.push(name)
        }
        return dropped
      })

      let lastSeen = { account_id: first, message_id: first }

      // All accounts are asked for it, which is too much for each minute.
      const keptLately = yield* cachedFor(kept, "1 hour")

      const sweep = Effect.gen(function* () {
        const from = yield* keptLately
        // Lateral, so that no plan reads all messages.
        const rows = yield* sql<typeof lastSeen & { orphan: boolean }>`select p.account_id, p.message_id,
            m.id is null as orphan
          from (
            select account_id, message_id from ${t.message_bodies}
            where (account_id, message_id) > (${lastSeen.account_id}, ${lastSeen.message_id}) and message_id >= ${from}
            order by account_id, message_id limit ${looked}
          ) p
          left join lateral (
            select m.id from ${t.messages} m where m.account_id = p.account_id and m.id = p.message_id limit 1
          ) m on true
          order by p.account_id, p.message_id`
        const orphans = rows.filter(({ orphan }) => orphan)
        for (const { account_id, message_id } of orphans) {
          yield* sql`delete from ${t.message_bodies} where account_id = ${account_id} and message_id = ${message_id}`
        }
        const last = rows.at(-1)
        lastSeen = last !== undefined && rows.length === looked ? last : { account_id: first, message_id: first }
      })

      return BodyKeeping.of({
        makeAhead: orDie(makeAhead).pipe(Effect.withSpan("BodyKeeping.makeAhead")),
        moveOld: orDie(moveOld).pipe(Effect.withSpan("BodyKeeping.moveOld")),
        kept: orDie(kept),
        dropOld: orDie(dropOld).pipe(Effect.withSpan("BodyKeeping.dropOld")),
        sweep: orDie(sweep).pipe(Effect.withSpan("BodyKeeping.sweep")),
      })
    }),
  )
}
