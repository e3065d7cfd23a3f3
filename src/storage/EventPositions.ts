/** Gives events their positions: readers who go on from one miss nothing. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { type Database, notForLong } from "./Database.ts"

/**
 * Events are written by many transactions at once, which commit in any order. A position is given to those that are committed,
 * by one process at a time: what a reader sees is always a prefix of the order.
 */
export const placeEvents = ({ schema, sql, tables: t }: Database["Service"]): Effect.Effect<void, SqlError.SqlError> =>
  // In a statement of its own, so that the next one sees what its last holder has written. Index: events_unplaced.
  sql`select pg_advisory_xact_lock(hashtextextended(${`mailfleet:event-positions:${schema}`}, 0)), ${
    sql.literal(notForLong)
  }`.pipe(
    Effect.andThen(sql`update ${t.events} e set position = placed.position
      from (select id, nextval(${`${schema}.event_positions`}::text::regclass) as position
        from (select id from ${t.events} where position is null order by id offset 0) waiting) placed
      where e.id = placed.id`),
    sql.withTransaction,
    Effect.asVoid,
  )
