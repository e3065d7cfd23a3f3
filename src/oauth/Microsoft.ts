/** Refresh tokens of Microsoft 365 and Outlook.com (Microsoft identity platform, OAuth 2.0 authorization code flow). */
import { type Duration, Effect, Redacted } from "effect"
import type { FailureClass } from "../domain/FailureClass.ts"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { loopPauseMillis, meaningOf70000, type MicrosoftCode, microsoftCodes } from "./MicrosoftCodes.ts"
import { errorName, faultOf, noToken, type Refusal, reportUnknown, slowDownOf, toFailure } from "./Refusal.ts"
import { scopesOf } from "./Scopes.ts"
import { spanned } from "./spanned.ts"
import {
  makeTokenEndpoint,
  type Redeem,
  redemptionOf,
  type TokenAnswer,
  type TokenBody,
  tokenTimeout,
} from "./TokenEndpoint.ts"

/** What is said where no code of ours decided. */
const messages: Readonly<Record<FailureClass, string>> = {
  throttled: "Microsoft asks to slow down; it is tried again after the pause",
  transient: "Microsoft's sign-in service has a passing fault; it is tried again by itself",
  app: "Microsoft refuses the app; check its registration, client id, tenant, and secret or certificate",
  scope: "the permission that is asked for is not granted; have the user, or an administrator, consent again",
  blocked: "Microsoft blocks the account; an administrator of the tenant must act",
  needs_user: "Microsoft does not accept the refresh token any more; the user must sign in again",
  ambiguous:
    "Microsoft refuses the refresh token without a known reason; confirmed over some hours before it is believed",
  unknown: "Microsoft gave an answer that is not known here; tried again slowly, look up its code if it goes on",
}

export const makeMicrosoft = (
  options: { readonly timeout?: Duration.Input } = {},
): Effect.Effect<Redeem, never, Settings> =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const post = yield* makeTokenEndpoint(options.timeout ?? tokenTimeout)

    const redeem: Redeem = Effect.fnUntraced(function* ({ app, refreshToken, resource }) {
      const tenant = app.tenant.trim().toWellFormed()
      // Values are not trimmed over there: a stray blank or line break makes them wrong (breaking changes, September 2019).
      const token = Redacted.value(refreshToken).trim()
      const amiss = resource === "gmail"
        ? wrongResource
        : /^\.{0,2}$/.test(tenant)
        ? noTenant
        : token === ""
        ? noToken
        : undefined
      if (amiss !== undefined) return yield* Effect.fail(toFailure(amiss, undefined))

      const url = `${app.authority ?? settings.microsoftAuthority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`
      const answer = yield* post(url, {
        client_id: app.clientId.trim(),
        grant_type: "refresh_token",
        refresh_token: token,
        // One access token, one resource: a scope is always sent, and never one of two resources.
        scope: scopesOf(app, settings, resource),
        ...yield* clientAuthentication(app, url),
      })
      const redemption = redemptionOf(answer)
      if (redemption !== undefined) return redemption

      const codes = codesOf(answer.body)
      const failure = toFailure(refusalOf(answer, codes), answer)
      if (isStrange(failure.error.class) || (codes.length > 0 && !codes.some((code) => microsoftCodes.has(code)))) {
        yield* reportUnknown(failure, answer.status)
      }
      return yield* Effect.fail(failure)
    })

    return (request) => spanned("Microsoft.redeem", { resource: request.resource })(redeem(request))
  })

const wrongResource: Refusal = {
  class: "unknown",
  message: "a Microsoft account has no such resource; check its provider and channel",
}
const noTenant: Refusal = {
  class: "app",
  message: "the app has no usable tenant; set `common`, its tenant id or its domain",
  reach: "tenant",
}

const isStrange = (failureClass: FailureClass): boolean => failureClass === "unknown" || failureClass === "ambiguous"

/** What an answer without an access token means, whatever was to be redeemed. */
export const microsoftRefusal = (answer: TokenAnswer): Refusal => refusalOf(answer, codesOf(answer.body))

/** The codes of an answer, the most telling first. */
export const microsoftCodesIn = (answer: TokenAnswer): ReadonlyArray<number> => codesOf(answer.body)

/** From `error_codes`; where that is missing, from the text, in which Microsoft writes them as `AADSTS` and the number. */
const codesOf = (body: TokenBody | undefined): ReadonlyArray<number> => {
  if (body === undefined) return []
  const listed = (body.error_codes ?? []).map(Number).filter((code) =>
    Number.isInteger(code) && code >= 1_000 && code < 1e8
  )
  if (listed.length > 0) return listed
  return Array.from((body.error_description ?? "").matchAll(/AADSTS(\d{4,8})\b/g), ([, digits]) => Number(digits))
}

/** The rows from top to bottom: the first that fits decides, so that no verdict on a grant hides a fault of another kind. */
const refusalOf = (answer: TokenAnswer, codes: ReadonlyArray<number>): Refusal => {
  const { body } = answer
  const error = errorName(body)
  const description = body?.error_description ?? ""
  const first = codes[0]
  const anyCode = first === undefined ? error : `AADSTS${first}`

  const known = codes.map((code): readonly [number, MicrosoftCode | undefined] => [
    code,
    code === 70000 ? meaningOf70000(description) : microsoftCodes.get(code),
  ])
  const byCode = (failureClass: FailureClass): Refusal | undefined => {
    for (const [code, meaning] of known) {
      if (meaning?.class === failureClass) return { ...meaning, providerCode: `AADSTS${code}` }
    }
    return undefined
  }
  const byName = (failureClass: FailureClass, ...names: ReadonlyArray<string | undefined>): Refusal | undefined =>
    error !== undefined && names.includes(error) ? byCode(failureClass) ?? general(failureClass) : undefined
  const general = (failureClass: FailureClass): Refusal => ({
    class: failureClass,
    message: messages[failureClass],
    providerCode: anyCode,
    // Only the names below come to this class without a code, and they speak of the client itself (RFC 6749 §5.2).
    ...(failureClass === "app" ? { reach: "app" } : {}),
  })

  // Both first rows say "throttled"; the code knows better than the status whom the pause concerns.
  const loop = byCode("throttled")
  if (loop !== undefined) return { ...loop, retryAfterMillis: Math.max(loopPauseMillis, answer.retryAfterMillis ?? 0) }
  const slowDown = slowDownOf(answer, anyCode)
  if (slowDown !== undefined) return slowDown

  const fault = byCode("transient") ?? byName("transient", "temporarily_unavailable", "server_error") ??
    faultOf(answer, "the app's authority, or MAILFLEET_MICROSOFT_AUTHORITY")
  if (fault !== undefined) return { providerCode: anyCode, ...fault }

  const refusesGrant = error === "invalid_grant" || error === "interaction_required"
  return byName("app", "invalid_client", "unauthorized_client") ?? byCode("app") ??
    byName("scope", "invalid_scope", "invalid_resource") ?? byCode("scope") ??
    byCode("blocked") ??
    (refusesGrant ? byCode("needs_user") : undefined) ??
    // `suberror` is informational and may change: it speaks only where no code did.
    (refusesGrant && isFinished(body?.suberror) ? general("needs_user") : undefined) ??
    (error === "consent_required" || (refusesGrant && body?.suberror === "consent_required")
      ? general("scope")
      : undefined) ??
    general(refusesGrant ? "ambiguous" : "unknown")
}

/** This very refresh token is done for (MSAL, sub-errors of `invalid_grant`). */
const isFinished = (suberror: string | undefined): boolean => suberror === "bad_token" || suberror === "token_expired"
