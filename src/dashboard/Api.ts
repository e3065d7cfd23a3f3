/** Calls of the public API with the cookie of the session. Paths are relative, so that the page works behind any prefix. */
import type { SignedIn } from "../api/Session.ts"
import type { Due as DueSchema, History as HistorySchema, Stats as StatsSchema } from "../api/Operations.ts"
import type { Account as AccountSchema } from "../domain/Account.ts"
import type { AuditEntry as AuditEntrySchema } from "../domain/AuditEntry.ts"
import type { Event as EventSchema } from "../domain/Event.ts"
import type { Folder as FolderSchema, Message as MessageSchema, MessageWithBody } from "../domain/Mail.ts"
import type { Run as RunSchema, RunItem as RunItemSchema } from "../domain/Run.ts"

export type Session = typeof SignedIn.Encoded
export type Stats = typeof StatsSchema.Encoded
export type Due = typeof DueSchema.Encoded
export type History = typeof HistorySchema.Encoded
export type Account = typeof AccountSchema.Encoded
export type AuditEntry = typeof AuditEntrySchema.Encoded
export type Event = typeof EventSchema.Encoded
export type Folder = typeof FolderSchema.Encoded
export type Message = typeof MessageSchema.Encoded
export type FullMessage = typeof MessageWithBody.Encoded
export type Run = typeof RunSchema.Encoded
export type RunItem = typeof RunItemSchema.Encoded
export type Scope = Session["scopes"][number]

export interface Page<Item> {
  readonly items: ReadonlyArray<Item>
  readonly nextCursor: string | null
}

/** What the server answered instead, or that it did not answer (`status` 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** What the key would need, where it reaches not so far. */
    readonly scope?: Scope,
  ) {
    super(message)
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** Without what is undefined or empty. */
export const withQuery = (path: string, query: Query = {}): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") search.set(name, String(value))
  }
  const text = search.toString()
  return text === "" ? path : `${path}?${text}`
}

/** Told of when a call finds the session at its end. */
export const sessionEnded = new EventTarget()

export const problemOf = (status: number, body: string): Problem => {
  if (status === 401) sessionEnded.dispatchEvent(new CustomEvent("ended"))
  try {
    const { code, detail, issues, scope } = JSON.parse(body)
    const about = (issues ?? []).map((issue: { field: string; message: string }) => `${issue.field}: ${issue.message}`)
    return new Problem(status, code, about.length > 0 ? about.join("; ") : detail, scope)
  } catch {
    return new Problem(status, "unreadable", `The server answered ${status}.`)
  }
}

export interface Call {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE"
  /** Sent as JSON. */
  readonly json?: unknown
  readonly query?: Query
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
}

/** Rejects with a {@link Problem}. */
export const call = async <A>(path: string, options: Call = {}): Promise<A> => {
  const { headers, json, method = json === undefined ? "GET" : "POST", query, signal } = options
  let response: Response
  try {
    response = await fetch(withQuery(path, query), {
      method,
      credentials: "same-origin",
      headers: { ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(signal === undefined ? {} : { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Problem(0, "unreachable", "The server does not answer.")
  }
  const text = await response.text()
  if (!response.ok) throw problemOf(response.status, text)
  return (text === "" ? undefined : JSON.parse(text)) as A
}

/** Makes a POST safe to send again. `crypto.randomUUID` is there on https only. */
export const newIdempotencyKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")
