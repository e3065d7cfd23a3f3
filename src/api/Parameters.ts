/** The parameters that many calls share. */
import { DateTime, Schema, SchemaGetter } from "effect"

// Postgres takes no NUL in texts: such a value can match nothing, and must not become a database fault.
const withoutNul = Schema.isPattern(/^[^\0]*$/, { expected: "a text without NUL characters" })

/** A short text to filter by. */
export const Text = Schema.String.check(
  withoutNul,
  Schema.isMaxLength(1_000, { expected: "a text of at most 1000 characters" }),
)

/** An id in a path. Of whatever form: what is no id names nothing, and the answer to that is 404. */
export const Id = Schema.String

/** How many items a page has where the query does not say. */
export const defaultLimit = 50

export const maxLimit = 500

/** How many items a page has at most. */
export const Limit = Schema.optionalKey(Schema.String.pipe(
  Schema.decodeTo(
    // One check, so that one wrong value is one issue.
    Schema.Number.check(Schema.makeFilter((limit) => Number.isInteger(limit) && limit >= 1 && limit <= maxLimit, {
      expected: `a whole number from 1 to ${maxLimit}`,
    })),
    {
      // `Number` alone would take "0x10", "1e2" and blanks.
      decode: SchemaGetter.transform((text) => /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN),
      encode: SchemaGetter.transform(String),
    },
  ),
))

/** `nextCursor` of the page before; opaque. */
export const Cursor = Schema.optionalKey(Schema.String)

/** The query of every list. */
export const page = { limit: Limit, cursor: Cursor }

/** One page of a list. `nextCursor` null = this was the last one. */
export const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

/** A switch in a query: `true`, `false`, `1` or `0`. */
export const Flag = Schema.Literals(["true", "false", "1", "0"]).pipe(
  Schema.decodeTo(Schema.Boolean, {
    decode: SchemaGetter.transform((text) => text === "true" || text === "1"),
    encode: SchemaGetter.transform((value) => value ? "true" as const : "false" as const),
  }),
)

/** Within what a database can hold as a time. */
export const Time = Schema.DateTimeUtcFromString.check(Schema.makeFilter((time) => {
  const year = DateTime.getPartUtc(time, "year")
  return year >= 1 && year <= 9_999
}, { expected: "a time such as 2026-12-31T00:00:00Z" }))

/** Groups accounts; as in import files. */
export const Tag = Schema.String.check(
  Schema.isPattern(/^(?! )[^\p{Cc}\p{Cs},;|]{1,64}(?<! )$/u, {
    expected: "a tag of 1 to 64 characters without commas, semicolons, bars and control characters",
  }),
)

export const Tags = Schema.Array(Tag).check(Schema.isMaxLength(32, { expected: "at most 32 tags" }))

/** Tags in a query, separated by commas. */
export const TagList = Schema.String.pipe(
  Schema.decodeTo(Tags, {
    decode: SchemaGetter.transform((text) => [...new Set(text.split(",").map((tag) => tag.trim()).filter(Boolean))]),
    encode: SchemaGetter.transform((tags) => tags.join(",")),
  }),
)

/**
 * Makes a POST safe to repeat: the same key with the same request answers with the run that the first one made. 1 to 255
 * visible ASCII characters.
 */
export const idempotent = {
  "idempotency-key": Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^[!-~]{1,255}$/, { expected: "1 to 255 visible ASCII characters" }),
    ).annotate({ description: "Makes the call safe to repeat: the same key and request answer with the same run." }),
  ),
}
