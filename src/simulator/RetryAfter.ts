/** The `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date on the provider's own clock. */
import type { Settings } from "./Options.ts"

/** A number is written with a fraction if it is no whole one; a date is rounded up, for it has whole seconds only. */
export const retryAfter = ({ clockSkew, retryAfterForm }: Settings, millis: number, now: number): string =>
  retryAfterForm === "date"
    ? new Date(Math.ceil((now + clockSkew + millis) / 1000) * 1000).toUTCString()
    : String(Math.round(millis) / 1000)

/** The wait in milliseconds that an answer asks for; `undefined` if it asks for none. */
export const waitOf = (
  { clockSkew }: Settings,
  headers: Readonly<Record<string, string>>,
  now: number,
): number | undefined => {
  const value = headers["retry-after"]
  if (value === undefined) return undefined
  const seconds = Number(value)
  return Number.isNaN(seconds) ? Date.parse(value) - clockSkew - now : seconds * 1000
}
