/** Texts and numbers of the outside world, made fit for the database. */

/** A text parameter: Postgres refuses NUL in texts, and UTF-8 has no lone surrogates. Mail has both. */
export const postgresText = (text: string): string =>
  (text.isWellFormed() ? text : text.toWellFormed()).replaceAll("\0", "")

/** A count or a size, as an `integer` holds it; null for what is none. */
export const postgresCount = (count: number | null): number | null =>
  count === null || !(count >= 0) ? null : Math.min(Math.trunc(count), 2_147_483_647)

/** What `JSON.stringify` makes of NUL and of lone surrogates; a text may also have said so itself. */
const unfit = /\\u(?:0000|d[89a-f])/

/** A JSON parameter whose texts the database accepts. */
export const postgresJson = (value: unknown): string => {
  const json = JSON.stringify(value)
  return unfit.test(json)
    ? JSON.stringify(value, (_key, part: unknown) => typeof part === "string" ? postgresText(part) : part)
    : json
}
