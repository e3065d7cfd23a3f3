/** What a token endpoint answers to a sign-in: who it was, and what they gave (OpenID Connect Core §3.1.3). */
import { Effect, type Redacted } from "effect"
import * as oauth from "oauth4webapi"
import { type Channel, type Resource, resourceOf } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import { canReadMail, SignInRefused } from "../domain/ConnectSession.ts"
import type { SettingsValues } from "../domain/Settings.ts"
import { signInScopes } from "./Scopes.ts"
import type { GetText } from "./SignInHttp.ts"
import { type Person, personOf } from "./SignInPerson.ts"
import { tokenRefused } from "./SignInRefusals.ts"
import type { Server } from "./SignInServers.ts"
import { redemptionOf, type TokenAnswer } from "./TokenEndpoint.ts"

/** Seconds that the provider's clock may be off ours. */
const clockTolerance = 300

export interface SignedInAs extends Person {
  readonly resource: Resource
  readonly accessToken: Redacted.Redacted
  readonly expiresInSeconds: number
  readonly refreshToken: Redacted.Redacted
  /** How long the refresh token lives, however it is used; undefined = the provider names no end. */
  readonly livesSeconds: number | undefined
}

export const mismatch = new SignInRefused({
  code: "issuer_mismatch",
  message: "the answer came from another provider or tenant than the one that was asked; nothing of it was used",
})
const unproven = new SignInRefused({
  code: "sign_in_failed",
  message: "the provider's statement about who signed in is not valid; make a new link and sign in again",
})
const noRefreshToken = new SignInRefused({
  code: "no_refresh_token",
  message:
    "the provider gave no refresh token, without which mail cannot be read later; check that the app may have offline access",
})
const noMail = new SignInRefused({
  code: "permission_missing",
  message: "the permission to read mail was not granted; sign in again and leave it ticked, or check the app's scopes",
})

/** What asks for nothing by name is replaced: of somebody who never consented, `.default` asks what the registration lists. */
const namedDefaults: Readonly<Record<Resource, ReadonlyArray<string>>> = {
  graph: ["Mail.Read", "User.Read"],
  "outlook-imap": ["IMAP.AccessAsUser.All"],
  gmail: [],
}

/** `.default` cannot stand beside scopes by name (provider-facts A3), nor be compared with what was granted. */
const withoutDefault = (scopes: string, resource: Resource): string =>
  scopes.split(" ").flatMap((scope) =>
    /\/\.default$/i.test(scope)
      ? namedDefaults[resource].map((name) => scope.slice(0, -".default".length) + name)
      : [scope]
  ).join(" ")

/** The scopes that a sign-in asks for, separated by blanks. */
export const askedScopes = (app: AppCredentials, settings: SettingsValues, channel: Channel): string => {
  const resource = resourceOf(app.provider, channel)
  return withoutDefault(signInScopes(app, settings, resource), resource)
}

interface IdTokenCheck {
  readonly app: AppCredentials
  readonly server: Server
  readonly answer: TokenAnswer
  /** Of the flow that a browser came back from; undefined = a device's, which has none. */
  readonly nonce: string | undefined
  /** The issuer that the answer in the browser named, if it did. */
  readonly iss: string | null
}

/**
 * What the provider states about who signed in. The signature is not checked: the id token comes from the token endpoint itself
 * (OpenID Connect Core §3.1.3.7, 6), over TLS wherever the authority is an https URL.
 */
export const claimsOf = Effect.fnUntraced(function* (
  { answer, app, iss, nonce, server }: IdTokenCheck,
): Effect.fn.Return<oauth.IDToken, SignInRefused> {
  const { access_token, id_token, token_type } = answer.body ?? {}
  if (id_token === undefined) return yield* unproven
  const forIdToken = server.forIdToken(id_token)
  if (forIdToken === undefined || (iss !== null && forIdToken.issuer !== iss)) return yield* mismatch
  const client = { client_id: app.clientId, [oauth.clockTolerance]: clockTolerance }
  return yield* Effect.tryPromise({
    try: async () => {
      const response = new Response(JSON.stringify({ access_token, id_token, token_type }), {
        headers: { "content-type": "application/json" },
      })
      const result = nonce === undefined
        ? await oauth.processDeviceCodeResponse(forIdToken, client, response)
        : await oauth.processAuthorizationCodeResponse(forIdToken, client, response, {
          expectedNonce: nonce,
          requireIdToken: true,
        })
      return oauth.getValidatedIdTokenClaims(result)!
    },
    catch: (error) => isIssuer(error) ? mismatch : unproven,
  })
})

/** Reads who signed in, and what they gave. */
export const makeReadSignIn = (settings: SettingsValues, getText: GetText) =>
  Effect.fnUntraced(function* ({ answer, app, asked, channel, iss, nonce, server }: IdTokenCheck & {
    readonly channel: Channel
    /** What stands for the scopes where the answer names none. */
    readonly asked: string
  }): Effect.fn.Return<SignedInAs, SignInRefused> {
    const redemption = redemptionOf(answer)
    if (redemption === undefined) return yield* tokenRefused(app.provider, answer)
    const claims = yield* claimsOf({ answer, app, iss, nonce, server })
    if (!canReadMail(app.provider, channel, redemption.scope ?? asked)) return yield* noMail
    if (redemption.refreshToken === undefined) return yield* noRefreshToken
    const resource = resourceOf(app.provider, channel)
    const person = yield* personOf({
      provider: app.provider,
      resource,
      claims,
      accessToken: redemption.accessToken,
      graphUrl: settings.graphUrl,
      getText,
    })
    return {
      ...person,
      resource,
      accessToken: redemption.accessToken,
      expiresInSeconds: redemption.expiresIn,
      refreshToken: redemption.refreshToken,
      livesSeconds: secondsOf(answer.body?.refresh_token_expires_in),
    }
  })

const isIssuer = (error: unknown): boolean =>
  error instanceof oauth.OperationProcessingError && error.code === oauth.JWT_CLAIM_COMPARISON &&
  (error.cause as { readonly claim?: unknown } | undefined)?.claim === "iss"

/** Ten years: beyond it, it is no limit. */
const longestLife = 315_360_000

const secondsOf = (value: number | string | undefined): number | undefined => {
  const seconds = value === undefined || value === "" ? NaN : Number(value)
  return Number.isFinite(seconds) && seconds >= 1 && seconds <= longestLife ? Math.floor(seconds) : undefined
}
