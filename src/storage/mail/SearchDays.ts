/**
 * Times as words: the day, month and year in which a message was received (UTC) stand among its lexemes, so that the index of
 * words alone finds the newest of very many hits.
 */

export const day = 86_400_000

/** What is dated further ahead than a day when it is stored is found by this instead: there is no end to the years to come. */
export const aheadLexeme = "#ahead"

const lexeme = (iso: string, length: number): string => `#${iso.slice(0, length)}`
const isoOf = (millis: number): string => new Date(millis).toISOString()

/** Lengths of a day, a month and a year in ISO-8601. */
const [ofDay, ofMonth, ofYear] = [10, 7, 4]

/** @param receivedAt milliseconds since 1970; null = no time, and no lexeme */
export const dayLexemes = (receivedAt: number | null, now: number): ReadonlyArray<string> =>
  receivedAt === null ? [] : lexemesOf(isoOf(receivedAt)).concat(receivedAt > now + day ? [aheadLexeme] : [])

const lexemesOf = (iso: string): ReadonlyArray<string> => [ofDay, ofMonth, ofYear].map((length) => lexeme(iso, length))

/** A stretch of time, and the lexemes one of which every message within it has. */
export interface Stretch {
  /** From this time on, which may be earlier than what was asked for: the beginning of a day, month or year. */
  readonly from: number
  readonly lexemes: ReadonlyArray<string>
}

/** The time up to `to` from about `width` milliseconds before. */
export const stretchBefore = (to: number, width: number): Stretch => {
  const start = new Date(to - width)
  const [year, month] = [start.getUTCFullYear(), start.getUTCMonth()]
  const length = width <= 31 * day ? ofDay : width <= 3 * 365 * day ? ofMonth : ofYear
  const from = length === ofDay
    ? Math.floor(start.getTime() / day) * day
    : Date.UTC(year, length === ofMonth ? month : 0, 1)
  const lexemes = new Set<string>()
  for (let at = from; at < to; at += day) lexemes.add(lexeme(isoOf(at), length))
  lexemes.add(lexeme(isoOf(to), length))
  return { from, lexemes: [...lexemes] }
}
