/** Numbers and times as people read them. */

/** The page is in English; days come before months, and there are 24 hours. */
const locale = "en-GB"

const number = new Intl.NumberFormat(locale)

export const count = (value: number): string => number.format(value)

/** `1 account`, `2 accounts`. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? "" : "s"}`

const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" })
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" })
const secondsClock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hour12: false })
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short", hour: "2-digit", minute: "2-digit" })
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" })

export const absolute = (iso: string): string => dateTime.format(new Date(iso))
export const timeOfDay = (seconds: number): string => clock.format(seconds * 1_000)
export const secondOfDay = (seconds: number): string => secondsClock.format(seconds * 1_000)
export const hourOfWeek = (seconds: number): string => weekday.format(seconds * 1_000)
export const dayOfYear = (seconds: number): string => day.format(seconds * 1_000)

const units: ReadonlyArray<readonly [size: number, name: Intl.RelativeTimeFormatUnit]> = [
  [86_400, "day"],
  [3_600, "hour"],
  [60, "minute"],
  [1, "second"],
]

const relativeTime = new Intl.RelativeTimeFormat(locale, { numeric: "auto" })

/** `in 3 hours`, `2 days ago`. */
export const relative = (iso: string, now: number = Date.now()): string => {
  const seconds = Math.round((new Date(iso).getTime() - now) / 1_000)
  const [size, name] = units.find(([size]) => Math.abs(seconds) >= size) ?? [1, "second" as const]
  return relativeTime.format(Math.trunc(seconds / size), name)
}

/** `1.5 s`, `12 min`, `3 h`, `2 d`. */
export const duration = (seconds: number): string => {
  const [size, name] = seconds >= 172_800
    ? [86_400, "d"]
    : seconds >= 7_200
    ? [3_600, "h"]
    : seconds >= 120
    ? [60, "min"]
    : [1, "s"]
  const value = seconds / (size as number)
  return `${number.format(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))} ${name}`
}

/** `12 kB`. */
export const bytes = (value: number): string => {
  const [size, name] = value >= 1e6 ? [1e6, "MB"] : value >= 1e3 ? [1e3, "kB"] : [1, "bytes"]
  return `${number.format(Math.round(value / (size as number) * 10) / 10)} ${name}`
}

/** Codes such as `needs_reauth` as words. */
export const words = (code: string): string => code.replaceAll("_", " ")
