/** Pages of lists, and their opaque cursors: what the next page starts after, as base64url JSON. */
import { Effect, Option, Result, Schema } from "effect"
import { Base64Url } from "effect/encoding"

/** A `cursor` or `after` that this server did not hand out. */
export class InvalidCursor extends Schema.TaggedError<InvalidCursor>()("InvalidCursor", { message: Schema.String }) {}

export const invalidCursor = new InvalidCursor({ message: "this cursor was not handed out by this list" })

export const encodeCursor = (parts: ReadonlyArray<string | number>): string => Base64Url.encode(JSON.stringify(parts))

const Parts = Schema.fromJsonString(Schema.Array(Schema.Union([Schema.String, Schema.Number])))

/** The parts, or none where the text is not a cursor of `length` parts. */
export const decodeCursor = (cursor: string, length: number): Option.Option<ReadonlyArray<string | number>> =>
  Base64Url.decodeString(cursor).pipe(
    Result.getSuccess,
    Option.flatMap(Schema.decodeUnknownOption(Parts)),
    Option.filter((parts) => parts.length === length),
  )

/** The key that the page starts after; undefined = from the start of the list. */
export const afterCursor = (
  cursor: string | undefined,
  isKey: (key: string) => boolean,
): Effect.Effect<string | undefined, InvalidCursor> => {
  if (cursor === undefined) return Effect.succeed(undefined)
  const key = Option.getOrUndefined(decodeCursor(cursor, 1))?.[0]
  return typeof key === "string" && isKey(key) ? Effect.succeed(key) : Effect.fail(invalidCursor)
}

/** The page of `limit + 1` rows that were asked for: the one too many tells that there are more. */
export const pageOf = <Row, A>(
  rows: ReadonlyArray<Row>,
  limit: number,
  toItem: (row: Row) => A,
  keyOf: (row: Row) => string,
): { readonly items: ReadonlyArray<A>; readonly nextCursor: string | null } => {
  const page = rows.slice(0, limit)
  return {
    items: page.map(toItem),
    nextCursor: rows.length > limit ? encodeCursor([keyOf(page.at(-1)!)]) : null,
  }
}
