/**
 * Error answers of Google's token endpoint (Google Identity, OAuth 2.0 for web server applications). They have names and
 * no numbers; texts are those seen in the wild.
 */
import type { Answer } from "./Answer.ts"

export const googleErrors = [
  "invalid_grant",
  "invalid_client",
  "deleted_client",
  "disabled_client",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_request",
  "redirect_uri_mismatch",
  "invalid_scope",
  "access_denied",
  "authorization_pending",
  "slow_down",
  "admin_policy_enforced",
  "temporarily_unavailable",
  "internal_failure",
] as const

export type GoogleError = typeof googleErrors[number]

const known: Readonly<Record<GoogleError, readonly [status: number, text: string]>> = {
  invalid_grant: [400, "Token has been expired or revoked."],
  invalid_client: [401, "Unauthorized"],
  deleted_client: [401, "The OAuth client was deleted."],
  disabled_client: [401, "The OAuth client was disabled."],
  unauthorized_client: [401, "Unauthorized"],
  unsupported_grant_type: [400, "Invalid grant_type."],
  invalid_request: [400, "Bad Request"],
  redirect_uri_mismatch: [400, "Bad Request"],
  invalid_scope: [400, "Some requested scopes were invalid."],
  access_denied: [403, "Forbidden"],
  authorization_pending: [428, "Precondition Required"],
  slow_down: [403, "Forbidden"],
  admin_policy_enforced: [400, "Access to the requested service is restricted by the administrator."],
  temporarily_unavailable: [503, "The service is temporarily unavailable."],
  internal_failure: [500, "An internal error occurred."],
}

/** What the error says beyond the table. */
export interface GoogleDetails {
  readonly text?: string
  readonly status?: number
  /** `error_subtype`, e.g. `invalid_rapt`. */
  readonly subtype?: string
  readonly headers?: Readonly<Record<string, string>>
}

export const googleError = (error: GoogleError, { headers, status, subtype, text }: GoogleDetails = {}): Answer => ({
  status: status ?? known[error][0],
  headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store", ...headers },
  body: JSON.stringify({
    error,
    error_description: text ?? known[error][1],
    ...(subtype === undefined ? {} : { error_subtype: subtype }),
  }),
})
