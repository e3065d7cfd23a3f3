/** What operators are told: the last of each subject tells how things stand. */
import { Context, DateTime, Effect, Layer } from "effect"
import type { Event, EventKind } from "../domain/Event.ts"
import type { InvalidCursor } from "./Cursor.ts"
import { beforeCursor, pageBefore } from "./NewestFirst.ts"
import { Database, notForLong, orDie } from "./Database.ts"

/**
 * Days after which the same is told again: a process that ended during a fault has left no word of its end, and the next
 * fault must not be taken for that one.
 */
const repeatDays = 1

export interface EventRow {
  readonly id: bigint
  readonly at: Date
  readonly kind: EventKind
  readonly subject: string
  readonly code: string | null
  readonly message: string
}

export const toEvent = ({ at, code, id, kind, message, subject }: EventRow): Event => ({
  id: String(id),
  at: DateTime.fromDateUnsafe(at),
  kind,
  subject,
  ...(code === null ? {} : { code }),
  message,
})

export class Events extends Context.Service<Events, {
  /**
   * Records an event unless the last one of its subject says the same: each process on the database sees a fault for itself,
   * and it is told once. False = it was told already.
   */
  readonly record: (event: Omit<Event, "id" | "at">) => Effect.Effect<boolean>
  /** Newest first. */
  readonly list: (options: {
    readonly limit: number
    readonly cursor?: string | undefined
    readonly kind?: EventKind | undefined
    readonly subject?: string | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<Event>; readonly nextCursor: string | null }, InvalidCursor>
}>()("mailfleet/storage/Events") {
  static readonly layer: Layer.Layer<Events, never, Database> = Layer.effect(
    Events,
    Effect.map(Database, ({ schema, sql, tables: t }) =>
      Events.of({
        record: Effect.fn("Events.record")(
          function* ({ code = null, kind, message, subject }) {
            // In a statement of its own, so that the next one sees what its last holder has written.
            yield* sql`select pg_advisory_xact_lock(hashtextextended(${`mailfleet:events:${schema}`}, 0)), ${
              sql.literal(notForLong)
            }`
            // Served by events_subject.
            const rows = yield* sql`insert into ${t.events} (kind, subject, code, message)
            select ${kind}, ${subject}, ${code}, ${message} where not exists (
              select from (select kind, at from ${t.events} where subject = ${subject} order by id desc limit 1) last
              where kind = ${kind} and at > now() - make_interval(days => ${repeatDays})
            ) returning id`
            return rows.length > 0
          },
          sql.withTransaction,
          orDie,
        ),
        // Served by the primary key, by kind by events_kind, by subject by events_subject.
        list: Effect.fn("Events.list")(function* ({ cursor, kind, limit, subject }) {
          const before = yield* beforeCursor(cursor)
          const rows = yield* orDie(sql<EventRow>`select id, at, kind, subject, code, message from ${t.events}
            where ${
            sql.and([
              ...(before === undefined ? [] : [sql`id < ${before}`]),
              ...(kind === undefined ? [] : [sql`kind = ${kind}`]),
              ...(subject === undefined ? [] : [sql`subject = ${subject}`]),
            ])
          } order by id desc limit ${limit + 1}`)
          return pageBefore(rows, limit, toEvent)
        }),
      })),
  )
}
