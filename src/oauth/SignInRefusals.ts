/** What an answer of a provider to a sign-in means where it is no sign-in: one code of ours each, in words of ours. */
import type { Provider } from "../domain/Account.ts"
import { type RefusalCode, SignInRefused } from "../domain/ConnectSession.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import { googleRefusal } from "./Google.ts"
import { microsoftRefusal } from "./Microsoft.ts"
import type { TokenAnswer, TokenBody } from "./TokenEndpoint.ts"

/** What a class says of an authorization code rather than of a refresh token. */
const codes: Readonly<Record<FailureClass, RefusalCode>> = {
  throttled: "provider_unavailable",
  transient: "provider_unavailable",
  app: "app_misconfigured",
  scope: "consent_required",
  blocked: "account_blocked",
  needs_user: "sign_in_failed",
  ambiguous: "sign_in_failed",
  unknown: "sign_in_failed",
}

const codeRefused = "the provider does not accept the code of this sign-in; make a new link and sign in again"

const refusalOf = (provider: Provider, answer: TokenAnswer) =>
  provider === "google" ? googleRefusal(answer) : microsoftRefusal(answer)

const toRefused = (code: RefusalCode, message: string, providerCode: string | undefined) =>
  new SignInRefused({ code, message: providerCode === undefined ? message : `${message} (${providerCode})` })

/** An answer of the token endpoint that brought no access token. */
export const tokenRefused = (provider: Provider, answer: TokenAnswer): SignInRefused => {
  const refusal = refusalOf(provider, answer)
  const code = codes[refusal.class]
  return toRefused(code, code === "sign_in_failed" ? codeRefused : refusal.message, refusal.providerCode)
}

/** Names of errors of an authorization endpoint (RFC 6749 §4.1.2.1; OpenID Connect Core §3.1.2.6; Google). */
const names: ReadonlyMap<string, readonly [RefusalCode, string]> = new Map([
  ["access_denied", ["access_denied", "who was asked did not allow it, or broke it off"]],
  ["server_error", ["provider_unavailable", "the provider has a passing fault; try again with a new link"]],
  ["temporarily_unavailable", ["provider_unavailable", "the provider is busy; try again with a new link"]],
  ["unauthorized_client", ["app_misconfigured", "the app may not ask for a sign-in; check its registration"]],
  ["invalid_client", ["app_misconfigured", "the provider does not know the app; check its client id"]],
  ["invalid_request", ["app_misconfigured", "the provider finds the request malformed; check the app's registration"]],
  ["invalid_scope", ["app_misconfigured", "the provider does not accept the scopes; check those of the app"]],
  ["invalid_resource", ["app_misconfigured", "the provider does not know the resource; check the app's permissions"]],
  ["unsupported_response_type", [
    "app_misconfigured",
    "the app may not use authorization codes; check its registration",
  ]],
  ["org_internal", ["app_misconfigured", "the app is internal to another organisation"]],
  ["consent_required", ["consent_required", "an administrator must allow the app first"]],
  ["admin_policy_enforced", ["account_blocked", "a policy of the organisation forbids the app"]],
])

/** AADSTS 90094 and 90095: only an administrator can consent, and who signed in is none. */
const needsAdministrator = /AADSTS9009[45]\b/

/** An authorization response with an `error`. Its text is looked at for Microsoft's codes, and never shown. */
export const responseRefused = (provider: Provider, parameters: URLSearchParams): SignInRefused => {
  const error = parameters.get("error") ?? ""
  const description = parameters.get("error_description") ?? ""
  const providerCode = /AADSTS\d{4,8}\b/.exec(description)?.[0] ?? (names.has(error) ? error : undefined)
  if (needsAdministrator.test(description)) {
    return toRefused("consent_required", "an administrator must allow the app first", providerCode)
  }
  const refusal = refusalOf(provider, { ...noAnswer, body: { ...noBody, error, error_description: description } })
  const code = codes[refusal.class]
  if (code === "app_misconfigured" || code === "account_blocked" || code === "consent_required") {
    return toRefused(code, refusal.message, providerCode)
  }
  const named = names.get(error) ?? ["sign_in_failed", "the provider broke the sign-in off for a reason not known here"]
  return toRefused(named[0], named[1], providerCode)
}

const noAnswer = { status: 400, slowDown: false, retryAfterMillis: undefined }

const noBody: TokenBody = {
  access_token: undefined,
  refresh_token: undefined,
  expires_in: undefined,
  scope: undefined,
  error: undefined,
  error_description: undefined,
  error_codes: undefined,
  suberror: undefined,
  trace_id: undefined,
  correlation_id: undefined,
  token_type: undefined,
  id_token: undefined,
  refresh_token_expires_in: undefined,
}
