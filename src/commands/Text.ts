/** Text as people read it: tables, times and counts, safe for a terminal. */
import { DateTime, Duration } from "effect"

/**
 * The text without characters that would steer a terminal: addresses and messages come from files and providers, and an
 * escape sequence in one of them must not be obeyed.
 */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{FFFD}")

/** `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export const short = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  if (millis < 10_000) return `${Math.round(millis / 100) / 10} s`
  const seconds = Math.round(millis / 1_000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3_600) return two(seconds, 60, "min", 1, "s")
  if (seconds < 86_400) return two(seconds, 3_600, "h", 60, "min")
  return two(seconds, 86_400, "d", 3_600, "h")
}

const two = (seconds: number, big: number, bigName: string, small: number, smallName: string): string => {
  const rest = Math.floor((seconds % big) / small)
  return `${Math.floor(seconds / big)} ${bigName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`
}

/** `in 5 h`, `3 min ago`, `never`: to one unit, since a table is for a look at the whole. */
export const relative = (time: DateTime.DateTime | null, now: DateTime.DateTime): string => {
  if (time === null) return "never"
  const ahead = DateTime.toEpochMillis(time) - DateTime.toEpochMillis(now)
  const seconds = Math.round(Math.abs(ahead) / 1_000)
  if (seconds < 1) return "now"
  const [size, name] = seconds < 60
    ? [1, "s"]
    : seconds < 3_600
    ? [60, "min"]
    : seconds < 172_800
    ? [3_600, "h"]
    : [86_400, "d"]
  const amount = `${Math.floor(seconds / Number(size))} ${name}`
  return ahead > 0 ? `in ${amount}` : `${amount} ago`
}

/** The same for a time at which something is to happen. What is past by then is due, and waits for its turn. */
export const upcoming = (time: DateTime.DateTime | null, now: DateTime.DateTime): string =>
  time === null ? "-" : DateTime.toEpochMillis(time) <= DateTime.toEpochMillis(now) ? "due" : relative(time, now)

/** `1 account`, `2 accounts`. */
export const count = (amount: number, noun: string): string => `${amount} ${noun}${amount === 1 ? "" : "s"}`

/** Rows in columns, each as wide as its widest cell. The last column is not padded. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const clean = rows.map((row) => row.map(printable))
  const widths: Array<number> = []
  for (const row of clean) {
    row.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, cell.length))
  }
  return clean
    .map((row) =>
      row.map((cell, column) => column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)).join("  ")
        .trimEnd()
    )
    .join("\n")
}
