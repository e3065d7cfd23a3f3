/**
 * Access tokens of a service account that stands in for a user (Google Identity, OAuth 2.0 for server to server applications;
 * RFC 7523 §2.1). What it may read, an administrator of the Workspace delegates to it for the whole domain.
 */
import { Clock, type Duration, Effect, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { sign } from "node:crypto"
import { Settings } from "../domain/Settings.ts"
import { googleRefusal } from "./Google.ts"
import { errorName, type Refusal, reportUnknown, toFailure } from "./Refusal.ts"
import { scopesOf } from "./Scopes.ts"
import { spanned } from "./spanned.ts"
import { makeTokenEndpoint, type Obtain, redemptionOf, type TokenAnswer, tokenTimeout } from "./TokenEndpoint.ts"

/** Seconds: the longest that Google takes. */
const assertionLife = 3_600

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Signed with RS256 (RFC 7515 §3), the one algorithm that Google takes here. */
const signed = (claims: unknown, privateKey: Redacted.Redacted): string => {
  const text = `${encoded({ alg: "RS256", typ: "JWT" })}.${encoded(claims)}`
  return `${text}.${sign("sha256", Buffer.from(text), Redacted.value(privateKey)).toString("base64url")}`
}

export const makeGoogleServiceAccount = (
  options: { readonly timeout?: Duration.Input } = {},
): Effect.Effect<Obtain, never, Settings> =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const post = yield* makeTokenEndpoint(options.timeout ?? tokenTimeout)

    const obtain: Obtain = Effect.fnUntraced(function* ({ app, resource, subject }) {
      if (resource !== "gmail") return yield* Effect.fail(toFailure(wrongResource, undefined))
      if (app.serviceAccount === undefined || subject === undefined) {
        return yield* Effect.fail(toFailure(noKey, undefined))
      }
      const { email, privateKey } = app.serviceAccount
      const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
      const claims = {
        iss: email,
        sub: subject,
        scope: scopesOf(app, settings, resource),
        aud: settings.googleTokenUrl,
        iat: seconds,
        exp: seconds + assertionLife,
      }
      const answer = yield* post(settings.googleTokenUrl, {
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion: signed(claims, privateKey),
      })
      const redemption = redemptionOf(answer)
      if (redemption !== undefined) return { accessToken: redemption.accessToken, expiresIn: redemption.expiresIn }

      const failure = toFailure(refusalOf(answer), answer)
      if (failure.error.class === "unknown") yield* reportUnknown(failure, answer.status)
      return yield* Effect.fail(failure)
    })

    return (request) => spanned("Google.obtain")(obtain(request))
  })

/**
 * The names of errors mean something else here than for a refresh token, and `invalid_grant` several things, which only its text
 * tells apart. A text that is not known is no verdict.
 */
const refusalOf = (answer: TokenAnswer): Refusal => {
  const providerCode = errorName(answer.body)
  const usual = googleRefusal(answer)
  if (usual.class === "throttled" || usual.class === "transient") return usual
  const text = answer.body?.error_description ?? ""
  switch (providerCode) {
    case "unauthorized_client":
    case "access_denied":
      return { ...notDelegated, providerCode }
    case "invalid_grant":
      return {
        ...(/invalid email|user id|not a valid email/i.test(text)
          ? noMailbox
          : /signature|account not found|key/i.test(text)
          ? wrongKey
          : unclear),
        providerCode,
      }
    default:
      return usual
  }
}

const notDelegated: Refusal = {
  class: "scope",
  message:
    "the service account may not read this mailbox; have an administrator delegate the scopes to it in the admin console",
}
const noMailbox: Refusal = {
  class: "blocked",
  message: "there is no such mailbox in the Workspace, or it is suspended; check the address",
}
const wrongKey: Refusal = {
  class: "app",
  message: "Google refuses the key of the service account; make a new one and set it here",
  reach: "tenant",
}
const unclear: Refusal = {
  class: "unknown",
  message:
    "Google refuses the assertion of the service account; check the clock of this machine and the account's delegation",
}
const wrongResource: Refusal = {
  class: "unknown",
  message: "a Google account has no such resource; check its provider and channel",
}
const noKey: Refusal = {
  class: "app",
  message: "the app has no key of a service account any more; set one",
  reach: "tenant",
}
