/** One request to Graph as the routes see it: whose mailbox, which path, which preferences. */
import type { Mailbox } from "./Mailbox.ts"

/** The `Prefer` header, as far as Outlook knows it. It holds for one call only: no token remembers it. */
export interface Preferences {
  readonly immutableIds: boolean
  /** `odata.maxpagesize`; 10 is what Graph takes if nothing is said. */
  readonly pageSize: number | undefined
  readonly textBody: boolean
}

/** A request before it is known whose mailbox it is for; a batch holds many. */
export interface GraphRequest {
  readonly method: string
  /** Path and query after the version, e.g. `/me/mailFolders?$top=5`. */
  readonly url: string
  readonly prefer: string | null
  readonly body: unknown
}

export interface GraphCall {
  readonly mailbox: Mailbox
  readonly method: string
  /** Path segments after `/v1.0/me`, decoded; `mailFolders('x')` reads as `mailFolders`, `x`. */
  readonly segments: ReadonlyArray<string>
  /** `me` or `users('…')`: links lead back the way they came. */
  readonly owner: string
  readonly query: URLSearchParams
  readonly prefer: Preferences
  /** Path and query as they came, after the origin. */
  readonly target: string
  /** `https://host/v1.0` */
  readonly base: string
  readonly body: unknown
  /** Whether the token may change mail. */
  readonly mayWrite: boolean
  readonly now: number
}

const preferences = new Map<string, Preferences>()

export const readPrefer = (header: string | null): Preferences => {
  const text = header ?? ""
  let prefer = preferences.get(text)
  if (prefer === undefined) {
    const size = /odata\.maxpagesize\s*=\s*"?(\d+)/i.exec(text)?.[1]
    prefer = {
      immutableIds: /IdType\s*=\s*"?ImmutableId"?/i.test(text),
      pageSize: size === undefined ? undefined : Math.min(1000, Math.max(1, Number(size))),
      textBody: /outlook\.body-content-type\s*=\s*"?text"?/i.test(text),
    }
    if (preferences.size < 1000) preferences.set(text, prefer)
  }
  return prefer
}

/** Segments of a path; `undefined` if its percent encoding is broken. */
export const readPath = (path: string): Array<string> | undefined => {
  const segments: Array<string> = []
  for (const raw of path.split("/")) {
    if (raw === "") continue
    const segment = decode(raw)
    if (segment === undefined) return undefined
    const call = segment.endsWith("')") ? segment.indexOf("('") : -1
    if (call > 0) segments.push(segment.slice(0, call), segment.slice(call + 2, -2))
    else segments.push(segment)
  }
  return segments
}

const decode = (text: string): string | undefined => {
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const selections = new Map<string, ReadonlyArray<string>>()

/** The fields of a `$select`, or `undefined` if there is none. */
export const readSelect = (select: string | null): ReadonlyArray<string> | undefined => {
  if (select === null || select === "") return undefined
  let fields = selections.get(select)
  if (fields === undefined) {
    fields = select.split(",").map((field) => field.trim()).filter((field) => field !== "" && field !== "id")
    if (selections.size < 1000) selections.set(select, fields)
  }
  return fields
}

const days = new Map<number, string>()
const dayLength = 86_400_000

/** A time as Graph writes it: UTC, whole seconds. */
export const isoSeconds = (millis: number): string => {
  // Pages hold many times and few days; `toISOString` was a tenth of the time that a page took.
  const day = Math.floor(millis / dayLength)
  let date = days.get(day)
  if (date === undefined) {
    date = new Date(day * dayLength).toISOString().slice(0, 11)
    if (days.size < 10_000) days.set(day, date)
  }
  const second = Math.floor((millis - day * dayLength) / 1000)
  return `${date}${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}Z`
}

const two = (value: number): string => value < 10 ? `0${value}` : String(value)
