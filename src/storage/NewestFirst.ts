/** Pages of a table that is listed by its identity, newest first. */
import { Effect } from "effect"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"

/** The id that the page ends before; undefined = from the newest. */
export const beforeCursor = (cursor: string | undefined): Effect.Effect<bigint | undefined, InvalidCursor> =>
  Effect.map(
    afterCursor(cursor, (id) => /^\d{1,18}$/.test(id)),
    (id) => id === undefined ? undefined : BigInt(id),
  )

/** The page of `limit + 1` rows that were asked for. */
export const pageBefore = <Row extends { readonly id: bigint }, A>(
  rows: ReadonlyArray<Row>,
  limit: number,
  toItem: (row: Row) => A,
) => pageOf(rows, limit, toItem, ({ id }) => String(id))
