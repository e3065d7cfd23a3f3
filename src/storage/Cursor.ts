/** Opaque page cursors: what the next page starts after, as base64url JSON. */
import { Option, Result, Schema } from "effect"
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
