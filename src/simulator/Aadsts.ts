/**
 * Error answers of the token endpoint (Microsoft identity platform, Microsoft Entra authentication and authorization
 * error codes). Texts are shortened: clients are told not to match on them.
 */
import type { Answer } from "./Answer.ts"
import { guid } from "./Random.ts"

interface Known {
  readonly error: string
  readonly text: string
  /** HTTP status; 400 unless said otherwise. */
  readonly status?: number
  readonly suberror?: string
}

const grant = (text: string, suberror?: string): Known => ({
  error: "invalid_grant",
  text,
  ...(suberror === undefined ? {} : { suberror }),
})
const request = (text: string): Known => ({ error: "invalid_request", text })
const client = (text: string): Known => ({ error: "invalid_client", text, status: 401 })

/** In none of the provider facts: number, name and status are as remembered, and may be wrong. */
const remembered: Readonly<Record<number, Known>> = {
  // What Entra answers to a replayed assertion is not documented; this is its general word for a bad one.
  50013: client("The assertion is invalid: it was presented before."),
  50027: request("JWT token is invalid or malformed."),
  50058: { error: "login_required", text: "A silent sign-in request was sent but no user is signed in." },
  70005: { error: "unsupported_response_type", text: "The app returned an unsupported response type." },
  70016: { error: "authorization_pending", text: "OAuth 2.0 device flow error. Authorization is pending." },
  70018: { error: "bad_verification_code", text: "Invalid verification code." },
  70019: { error: "expired_token", text: "Verification code expired." },
  90023: request("The value of an authorization request parameter is not supported."),
  500112: grant("The reply address does not match the one provided when requesting the authorization code."),
  501481: grant("The Code_Verifier does not match the code_challenge supplied in the authorization request."),
  700021: client("Client assertion application identifier doesn't match 'client_id' parameter."),
  700024: client("Client assertion is not within its valid time range."),
  9002326: request("Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type."),
}

const known: Readonly<Record<number, Known>> = {
  ...remembered,
  28000: request(
    "Provided value for the input parameter scope is not valid because it contains more than one resource.",
  ),
  40010: { error: "temporarily_unavailable", text: "The identity provider returned a retryable error.", status: 503 },
  50000: { error: "server_error", text: "There was an error issuing a token.", status: 500 },
  50020: grant("User account from identity provider does not exist in tenant.", "message_only"),
  50034: grant("The user account does not exist in the directory. To sign into this application, it must be added."),
  50011: request("The redirect URI specified in the request does not match the redirect URIs configured for the app."),
  50053: grant("The account is locked, you've tried to sign in too many times with an incorrect user ID or password."),
  50055: grant("The password is expired.", "user_password_expired"),
  50057: grant("The user account is disabled."),
  50076: { ...grant("You must use multi-factor authentication to access the resource.", "basic_action") },
  50079: grant("You must enroll in multi-factor authentication to access the resource.", "basic_action"),
  50105: grant("The signed in user is not assigned to a role for the application."),
  50126: grant("Error validating credentials due to invalid username or password."),
  50158: {
    error: "interaction_required",
    text: "External security challenge not satisfied.",
    suberror: "basic_action",
  },
  50173: grant("The provided grant has expired due to it being revoked, a fresh auth token is needed.", "bad_token"),
  50194: request("Application is not configured as a multi-tenant application."),
  50196: grant("The server terminated an operation because it encountered a client request loop."),
  53003: grant("Access has been blocked by Conditional Access policies.", "message_only"),
  53011: grant("User blocked due to risk on home tenant.", "message_only"),
  54005: grant("OAuth2 Authorization code was already redeemed, please retry with a new valid code."),
  65001: grant("The user or administrator has not consented to use the application.", "consent_required"),
  65004: { error: "access_denied", text: "User declined to consent to access the app." },
  70000: grant("The user could not be authenticated or the grant is expired. The user must first sign in."),
  70001: { error: "unauthorized_client", text: "The application is disabled or not known." },
  70003: { error: "unsupported_grant_type", text: "The app requested an unsupported grant type." },
  70008: grant("The provided authorization code or refresh token has expired due to inactivity.", "token_expired"),
  70011: { error: "invalid_scope", text: "The provided value for the input parameter 'scope' is not valid." },
  70012: {
    error: "server_error",
    text: "A server error occurred while authenticating a Microsoft account.",
    status: 500,
  },
  70043: grant("The refresh token has expired or is invalid due to sign-in frequency checks.", "token_expired"),
  90002: request("Tenant not found. Check to make sure you have the correct tenant ID."),
  90033: { error: "temporarily_unavailable", text: "A transient error has occurred. Please try again.", status: 503 },
  90055: { error: "temporarily_unavailable", text: "The tenant received too many requests.", status: 503 },
  900023: request("Specified tenant identifier is neither a valid DNS name, nor a valid external domain."),
  900144: request("The request body must contain the parameter that is named here."),
  500011: { error: "invalid_resource", text: "The resource principal was not found in the tenant." },
  700016: { error: "unauthorized_client", text: "Application was not found in the directory." },
  700023: client("Client assertion audience claim does not match Realm issuer."),
  700025: client("Client is public so neither 'client_assertion' nor 'client_secret' should be presented."),
  700027: client("Client assertion failed signature validation."),
  700082: grant("The refresh token has expired due to inactivity. It was inactive for 90.00:00:00.", "token_expired"),
  700084: grant("The refresh token was issued to a single page app (SPA), and has a fixed, limited lifetime."),
  7000112: { error: "unauthorized_client", text: "Application is disabled." },
  7000215: client(
    "Invalid client secret provided. Ensure the secret being sent is the client secret value, not its ID.",
  ),
  7000218: client("The request body must contain 'client_assertion' or 'client_secret'."),
  7000222: client("The provided client secret keys are expired."),
  9002313: grant("Invalid request. Request is malformed or invalid.", "bad_token"),
}

/** What the error says beyond the table. */
export interface AadstsDetails {
  /** Added to the text. */
  readonly detail?: string
  /** Replaces the text: some codes mean several things. */
  readonly text?: string
  readonly suberror?: string
  readonly error?: string
  readonly status?: number
}

let sequence = 0

const knownAs = (code: number): Known => known[code] ?? grant("The request was refused.")

/** The fields of an error, which the redirect of a failed sign-in carries too. */
export const aadstsBody = (code: number, now: number, details: AadstsDetails = {}) => {
  const entry = knownAs(code)
  const timestamp = `${new Date(now).toISOString().slice(0, 19).replace("T", " ")}Z`
  const trace = guid(code, ++sequence, 1)
  const correlation = guid(code, sequence, 2)
  const text = details.text ?? entry.text
  const suberror = details.suberror ?? entry.suberror
  return {
    error: details.error ?? entry.error,
    error_description: `AADSTS${code}: ${text}${details.detail === undefined ? "" : ` ${details.detail}`} ` +
      `Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
    error_codes: [code],
    timestamp,
    trace_id: trace,
    correlation_id: correlation,
    error_uri: `https://login.microsoftonline.com/error?code=${code}`,
    ...(suberror === undefined ? {} : { suberror }),
  }
}

/** The error answer for a code; codes that the table does not know come as `invalid_grant`. */
export const aadsts = (code: number, now: number, details: AadstsDetails = {}): Answer => ({
  status: details.status ?? knownAs(code).status ?? 400,
  headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store, no-cache" },
  body: JSON.stringify(aadstsBody(code, now, details)),
})
