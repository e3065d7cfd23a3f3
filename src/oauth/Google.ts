/** Refresh tokens of Gmail and Google Workspace (Google Identity, OAuth 2.0 for web server applications). */
import { type Duration, Effect, Redacted } from "effect"
import type { FailureClass, Reach } from "../domain/FailureClass.ts"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { errorName, faultOf, noToken, type Refusal, reportUnknown, slowDownOf, toFailure } from "./Refusal.ts"
import { spanned } from "./spanned.ts"
import { makeTokenEndpoint, type Redeem, redemptionOf, type TokenAnswer, tokenTimeout } from "./TokenEndpoint.ts"

/** Google names its errors and has no codes (OAuth 2.0 for web server applications, error codes; RFC 6749 §5.2). */
const errors: ReadonlyMap<string, readonly [FailureClass, string, Reach?]> = new Map(Object.entries({
  internal_failure: ["transient", "Google's token endpoint has a passing fault; it is tried again by itself"],
  server_error: ["transient", "Google's token endpoint has a passing fault; it is tried again by itself"],
  temporarily_unavailable: ["transient", "Google's token endpoint is busy; it is tried again by itself"],
  invalid_client: [
    "app",
    "Google refuses the app's credentials; check its client id and set its current client secret",
    "app",
  ],
  deleted_client: [
    "app",
    "the OAuth client was deleted at Google; restore it within 30 days, or make a new one and sign the users in again",
    "app",
  ],
  disabled_client: [
    "app",
    "the OAuth client is disabled at Google; its owner must have it enabled in the Google Cloud console",
    "app",
  ],
  unauthorized_client: [
    "app",
    "the OAuth client may not refresh tokens; check its kind in the Google Cloud console",
    "app",
  ],
  unsupported_grant_type: [
    "app",
    "the OAuth client may not use refresh tokens; check its kind in the Google Cloud console",
    "app",
  ],
  invalid_request: [
    "app",
    "Google finds the request malformed; check the app's client id and whether it needs a secret",
    "tenant",
  ],
  invalid_scope: [
    "app",
    "Google does not accept the scopes; check those of the app in the Google Cloud console",
    "tenant",
  ],
  org_internal: [
    "app",
    "the app is internal to another organisation; make it external, or use an app of the user's own",
    "tenant",
  ],
  admin_policy_enforced: [
    "blocked",
    "a policy of the Workspace forbids the app; an administrator can trust it in the admin console",
  ],
  // Never a code beside it: expired, revoked, password changed, over 100 tokens for the account, or an app in testing.
  invalid_grant: [
    "needs_user",
    "the refresh token has expired or was revoked; the user must sign in again (for an app in testing this comes every 7 days)",
  ],
}))

/** What an answer without an access token means, whatever was to be redeemed. */
export const googleRefusal = (answer: TokenAnswer): Refusal => {
  const error = errorName(answer.body)
  const slowDown = slowDownOf(answer, error)
  if (slowDown !== undefined) return slowDown
  const fault = faultOf(answer, "MAILFLEET_GOOGLE_TOKEN_URL")
  if (fault !== undefined) return { providerCode: error, ...fault }
  const known = error === undefined ? undefined : errors.get(error)
  return known !== undefined ? { class: known[0], message: known[1], reach: known[2], providerCode: error } : {
    class: "unknown",
    message: "Google gave an answer that is not known here; tried again slowly, look up its error if it goes on",
    providerCode: error,
  }
}

export const makeGoogle = (
  options: { readonly timeout?: Duration.Input } = {},
): Effect.Effect<Redeem, never, Settings> =>
  Effect.gen(function* () {
    const { googleTokenUrl } = yield* Settings
    const post = yield* makeTokenEndpoint(options.timeout ?? tokenTimeout)

    const redeem: Redeem = Effect.fnUntraced(function* ({ app, refreshToken, resource }) {
      const token = Redacted.value(refreshToken).trim()
      const amiss = resource !== "gmail" ? wrongResource : token === "" ? noToken : undefined
      if (amiss !== undefined) return yield* Effect.fail(toFailure(amiss, undefined))

      const answer = yield* post(googleTokenUrl, {
        client_id: app.clientId.trim(),
        ...yield* clientAuthentication(app, googleTokenUrl),
        grant_type: "refresh_token",
        refresh_token: token,
      })
      // Google does not rotate: a refresh token is there only if, against its documentation, one was sent.
      const redemption = redemptionOf(answer)
      if (redemption !== undefined) return redemption
      const failure = toFailure(googleRefusal(answer), answer)
      if (failure.error.class === "unknown") yield* reportUnknown(failure, answer.status)
      return yield* Effect.fail(failure)
    })

    return (request) => spanned("Google.redeem")(redeem(request))
  })

const wrongResource: Refusal = {
  class: "unknown",
  message: "a Google account has no such resource; check its provider and channel",
}
