/**
 * Every failure that a provider answers with has one of these classes; the class decides what happens next.
 *
 * - `throttled`: too fast. Wait; never a verdict on the account
 * - `transient`: a passing fault of the network or the provider. Retry with backoff
 * - `app`: the OAuth client is at fault (secret, registration, audience). Its accounts are left alone
 * - `scope`: the wanted permission was not consented; the refresh token may serve another resource
 * - `blocked`: an administrator or owner must act. Re-checked slowly
 * - `needs_user`: the grant is dead; the user must sign in again
 * - `ambiguous`: `invalid_grant` without a known code. Confirmed over hours before it is believed
 * - `unknown`: an answer that fits nothing. Retried slowly, reported
 */
import { Schema } from "effect"

/** What kind of answer a failure is: what becomes of the grant follows from it. */
export const FailureClass = Schema.Literals([
  "throttled",
  "transient",
  "app",
  "scope",
  "blocked",
  "needs_user",
  "ambiguous",
  "unknown",
])
export type FailureClass = typeof FailureClass.Type

/** What a failure concerns beyond the one request: everything of the app, one tenant of it, or the grant alone. */
export type Reach = "app" | "tenant" | "grant"

/** The stable codes that run items and accounts show for each class. */
export const codeOf: Readonly<Record<FailureClass, string>> = {
  throttled: "throttled",
  transient: "provider_unavailable",
  app: "app_misconfigured",
  scope: "consent_required",
  blocked: "account_blocked",
  needs_user: "needs_reauth",
  ambiguous: "grant_doubtful",
  unknown: "provider_answer_unknown",
}

/** True where the same work may succeed later without anybody's help. */
export const isRetryable = (failureClass: FailureClass): boolean =>
  failureClass === "throttled" || failureClass === "transient" || failureClass === "ambiguous" ||
  failureClass === "unknown"
