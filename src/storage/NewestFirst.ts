/** Pages of a table that is listed by its identity, newest first. */
import { Effect, Option } from "effect"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"

/** The id that the page ends before; undefined = from the newest. */
export const beforeCursor = (cursor: string | undefined): Effect.Effect<bigint | undefined, InvalidCursor> => {
  if (cursor === undefined) return Effect.succeed(undefined)
  const id = Option.getOrUndefined(decodeCursor(cursor, 1))?.[0]
  return typeof id === "string" && /^\d{1,18}$/.test(id) ? Effect.succeed(BigInt(id)) : Effect.fail(invalidCursor)
}

/** The page of `limit + 1` rows that were asked for: the one too many tells that there are more. */
export const pageBefore = <Row extends { readonly id: bigint }, A>(
  rows: ReadonlyArray<Row>,
  limit: number,
  toItem: (row: Row) => A,
): { readonly items: ReadonlyArray<A>; readonly nextCursor: string | null } => {
  const page = rows.slice(0, limit)
  return {
    items: page.map(toItem),
    nextCursor: rows.length > limit ? encodeCursor([String(page.at(-1)!.id)]) : null,
  }
}
