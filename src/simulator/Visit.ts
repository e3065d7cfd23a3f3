/** One visit to an authorization page: what was asked, and where the answer goes. */
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

export const redirect = ({ fields, redirectUri }: Visit, answer: Readonly<Record<string, string>>): Response => {
  const url = new URL(redirectUri)
  for (const [name, value] of Object.entries(answer)) url.searchParams.set(name, value)
  const state = fields.get("state")
  if (state !== undefined) url.searchParams.set("state", state)
  return new Response(null, { status: 302, headers: { location: url.href, "cache-control": "no-store" } })
}
