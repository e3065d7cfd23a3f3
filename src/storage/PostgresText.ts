/** Texts of the outside world, made fit for the database. */

/** Postgres refuses NUL in texts, and UTF-8 has no lone surrogates. Mail has both. */
const fit = (text: string): string => (text.isWellFormed() ? text : text.toWellFormed()).replaceAll("\0", "")

/** A JSON parameter whose texts the database accepts. */
export const postgresJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => typeof part === "string" ? fit(part) : part)
