/**
 * What is done with stored mail that no page tells of: filling in what old messages are found by, erasing bodies that a
 * smaller choice leaves out, and deleting messages at the end of their retention. Some at a time, and with entries in the
 * change log, so that whoever follows it has what the store has.
 */
import { Clock, Context, Effect, Layer } from "effect"
import { Settings } from "../../domain/Settings.ts"
import { BodyKeeping } from "./BodyKeeping.ts"
import { appendChanges } from "./ChangeLog.ts"
import { asAnyAccount, column, Database, orDie } from "../Database.ts"
import { choiceDays } from "./MailChoices.ts"
import { bodyOf } from "./MessageBodies.ts"
import { entryOf, reindex, searchedColumns, type SearchedRow, writeIndex } from "./MessageIndex.ts"

/** Messages in a transaction: some hundredths of a second, for which the account's other writers wait. */
const batch = 500

/** Accounts that are looked at in one statement. */
const accountsAtOnce = 200

/** Others have the database in between. */
const pause = "50 millis"

const first = "00000000-0000-0000-0000-000000000000"

export class MailKeeping extends Context.Service<MailKeeping, {
  /** Fills in what messages of before an upgrade are found by. Answers how many; after the last one it costs one look. */
  readonly fillIndex: Effect.Effect<number>
  /** Erases bodies that accounts have chosen not to keep. Answers how many. */
  readonly eraseBodies: Effect.Effect<number>
  /**
   * Deletes messages that are past their account's retention, from the store only, and with them their bodies, or the
   * partitions that those lie in. Answers how many.
   */
  readonly prune: Effect.Effect<number>
}>()("mailfleet/storage/MailKeeping") {
  static readonly layer: Layer.Layer<MailKeeping, never, BodyKeeping | Database | Settings> = Layer.effect(
    MailKeeping,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const bodies = yield* BodyKeeping
      const { sql, tables: t } = database

      /** Repeats steps of at most {@link batch} until one is not full. */
      const untilDone = <E>(step: Effect.Effect<number, E>): Effect.Effect<number, E> =>
        Effect.gen(function* () {
          let sum = 0
          while (true) {
            const done = yield* step
            sum += done
            if (done < batch) return sum
            yield* Effect.sleep(pause)
          }
        })

      // The row of the position is the right to fill: another process steps over it. Index: messages_id.
      const fillStep = sql.withTransaction(Effect.gen(function* () {
        const [position] = yield* sql<{ value: string }>`select value from ${t.meta} where name = 'messages_indexed'
          for update skip locked`
        if (position === undefined) return 0
        const rows = yield* sql<SearchedRow & { readonly account_id: string; readonly empty: boolean }>`select
            m.account_id, b.body_text is null and b.body_html is null as empty, ${sql.literal(searchedColumns)}
          from ${t.messages} m left join lateral ${bodyOf(database, sql`true`)} b on true
          where m.id > ${position.value} order by m.id limit ${batch}`
        const now = yield* Clock.currentTimeMillis
        const byAccount = Map.groupBy(rows, ({ account_id }) => account_id)
        for (const [accountId, mine] of byAccount) {
          const bodiless = mine.filter(({ empty }) => empty).map(({ id }) => id)
          if (bodiless.length > 0) {
            yield* sql`update ${t.messages} set body_state = 'headers' where account_id = ${accountId}
              and id = any (${column("uuid", bodiless)}) and body_state = 'complete'`
          }
          yield* writeIndex(database, accountId, mine.map((row) => entryOf(accountId, row, now)), "missing")
        }
        if (rows.length < batch) yield* sql`delete from ${t.meta} where name = 'messages_indexed'`
        else yield* sql`update ${t.meta} set value = ${rows.at(-1)!.id} where name = 'messages_indexed'`
        return rows.length
      }))

      /** Index: messages_of_account. The account's row is held as a page's writer holds it. */
      const eraseStep = (accountId: string) =>
        sql.withTransaction(Effect.gen(function* () {
          const account = asAnyAccount(sql, accountId)
          const rows = yield* sql<{ id: string; folder_id: string }>`with owner as materialized (
              select id, erase_bodies_before from ${t.accounts} where id = ${accountId} for no key update
            ), doomed as materialized (
              select m.id from owner a join ${t.messages} m on m.account_id = a.id
              where m.body_state <> 'headers' and m.received_at is not null
                and coalesce(m.received_at, '-infinity') < a.erase_bodies_before
              limit ${batch}
            ), bodies as (
              delete from ${t.message_bodies} b using doomed d where b.account_id = ${account} and b.message_id = d.id
            )
            update ${t.messages} m set body_text = null, body_html = null, body_state = 'headers', body_reason = null,
              updated_at = now()
            from doomed d where m.account_id = ${account} and m.id = d.id
            returning m.id, m.folder_id`
          yield* reindex(database, accountId, rows.map(({ id }) => id))
          if (rows.length < batch) {
            yield* sql`update ${t.accounts} set erase_bodies_before = null where id = ${accountId}`
          }
          yield* appendChanges(
            database,
            rows.map(({ folder_id, id }) => ({
              accountId,
              kind: "message.updated",
              origin: "reconcile",
              messageId: id,
              folderId: folder_id,
              fields: ["bodyState", "text", "html"],
            })),
          )
          return rows.length
        }))

      // Index: accounts_erasing.
      const eraseBodies = Effect.gen(function* () {
        const accounts = yield* sql<{ id: string }>`select id from ${t.accounts} where erase_bodies_before is not null
          order by id`
        let erased = 0
        for (const { id } of accounts) erased += yield* untilDone(eraseStep(id))
        return erased
      })

      /** Index: messages_of_account. */
      const pruneStep = (accountId: string, days: number, keptFrom: string) =>
        sql.withTransaction(Effect.gen(function* () {
          const account = asAnyAccount(sql, accountId)
          yield* sql`select 1 from ${t.accounts} where id = ${accountId} for no key update`
          const rows = yield* sql<{ id: string; folder_id: string }>`with doomed as materialized (
              select id from ${t.messages} where account_id = ${accountId} and received_at is not null
                and coalesce(received_at, '-infinity') < now() - make_interval(days => ${days})
              limit ${batch}
            ), bodies as (
              delete from ${t.message_bodies} b using doomed d
              where b.account_id = ${account} and b.message_id = d.id and d.id >= ${keptFrom}
            )
            delete from ${t.messages} m using doomed d where m.account_id = ${account} and m.id = d.id
            returning m.id, m.folder_id`
          if (rows.length === 0) return 0
          yield* sql`update ${t.folders} f set messages = f.messages - d.count
            from (select id, count(*)::integer as count from unnest(${
            column("uuid", rows.map(({ folder_id }) => folder_id))
          }) as d (id) group by id) d
            where f.account_id = ${accountId} and f.id = d.id`
          yield* sql`update ${t.accounts} set messages = messages - ${rows.length} where id = ${accountId}`
          yield* appendChanges(
            database,
            rows.map(({ folder_id, id }) => ({
              accountId,
              kind: "message.deleted",
              origin: "reconcile",
              messageId: id,
              folderId: folder_id,
            })),
          )
          return rows.length
        }))

      const prune = Effect.gen(function* () {
        let pruned = 0
        const keptFrom = yield* bodies.kept
        for (let after: string | undefined = first; after !== undefined;) {
          // Of each account the oldest message alone is looked at.
          const page: ReadonlyArray<{ id: string; days: number | null; due: boolean }> = yield* sql<
            { id: string; days: number | null; due: boolean }
          >`select a.id, a.days, a.days is not null and exists (
              select 1 from ${t.messages} m where m.account_id = a.id and m.received_at is not null
                and coalesce(m.received_at, '-infinity') < now() - make_interval(days => a.days)) as due
            from (
              select a.id, ${choiceDays(database, settings, "retentionDays")} as days from ${t.accounts} a
              where a.id > ${after} order by a.id limit ${accountsAtOnce}
            ) a order by a.id`
          for (const { days, due, id } of page) {
            if (due && days !== null) pruned += yield* untilDone(pruneStep(id, days, keptFrom))
          }
          after = page.length < accountsAtOnce ? undefined : page.at(-1)!.id
        }
        yield* bodies.dropOld
        return pruned
      })

      return MailKeeping.of({
        fillIndex: orDie(untilDone(fillStep)).pipe(Effect.withSpan("MailKeeping.fillIndex")),
        eraseBodies: orDie(eraseBodies).pipe(Effect.withSpan("MailKeeping.eraseBodies")),
        prune: orDie(prune).pipe(Effect.withSpan("MailKeeping.prune")),
      })
    }),
  )
}
