/** One visit to an authorization page: what was asked, and where the answer goes. */
import { handOnPage } from "./Pages.ts"
import type { App } from "./Population.ts"

export type Fields = ReadonlyMap<string, string>

/** A request whose answer may go to its redirect URI. */
export interface Visit {
  readonly app: App
  readonly fields: Fields
  readonly redirectUri: string
}

/** Fields that the pages add to the request. */
const answers = new Set(["login", "decision", "user_code"])

/** What was asked, without what a person answered. */
export const withoutAnswers = (fields: Iterable<readonly [string, string]>): Map<string, string> =>
  new Map([...fields].filter(([name]) => !answers.has(name)))

/** Whatever a link says, only a form that a person sent signs in or consents. */
export const formFields = (query: URLSearchParams, form: Fields = new Map()): Fields =>
  new Map([...withoutAnswers(query), ...form])

/** OAuth 2.0 Multiple Response Type Encoding Practices §2.1, and OAuth 2.0 Form Post Response Mode. */
export const responseModes: ReadonlySet<string> = new Set(["query", "fragment", "form_post"])

/** Sends an answer to the app in the way that it asked for; one that asked for an unknown way gets it in the query. */
export const answer = ({ app, fields, redirectUri }: Visit, given: Readonly<Record<string, string>>): Response => {
  const state = fields.get("state")
  const all = new Map(Object.entries(given))
  if (state !== undefined) all.set("state", state)
  const mode = fields.get("response_mode")
  if (mode === "form_post") return handOnPage(app.provider, redirectUri, all)
  const url = new URL(redirectUri)
  if (mode === "fragment") url.hash = String(new URLSearchParams([...all]))
  else for (const [name, value] of all) url.searchParams.set(name, value)
  return new Response(null, { status: 302, headers: { location: url.href, "cache-control": "no-store" } })
}
