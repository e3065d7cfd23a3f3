/** The device authorization grant (RFC 8628; Microsoft identity platform): a sign-in where there is no browser. */
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import type { Channel } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import { SignInRefused } from "../domain/ConnectSession.ts"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { askedScopes, makeReadSignIn, type SignedInAs } from "./SignInAnswer.ts"
import { makeGetText, makeSend } from "./SignInHttp.ts"
import { tokenRefused } from "./SignInRefusals.ts"
import { microsoftServer, microsoftUrl } from "./SignInServers.ts"
import { decodeBody, makeTokenEndpoint, tokenTimeout } from "./TokenEndpoint.ts"

export interface DeviceRequest {
  readonly app: AppCredentials
  readonly channel: Channel
}

/** What the person is told, and what the device asks with. */
export interface DeviceCode {
  readonly userCode: string
  readonly verificationUri: string
  readonly expiresInSeconds: number
  /** Seconds between two polls, at least. */
  readonly intervalSeconds: number
  readonly deviceCode: Redacted.Redacted
}

export type DevicePoll =
  /** Nobody has signed in yet. `slower`: every poll from now on waits 5 seconds more (RFC 8628 §3.5). */
  | { readonly _tag: "Pending"; readonly slower: boolean }
  | { readonly _tag: "SignedIn"; readonly person: SignedInAs }

const decodeCode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  device_code: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(4_096)),
  user_code: Schema.String.check(Schema.isPattern(/^[\w-]{1,40}$/)),
  verification_uri: Schema.String.check(Schema.isPattern(/^https?:\/\/[!-~]{1,500}$/)),
  expires_in: Schema.Number,
  interval: Schema.optionalKey(Schema.Number),
})))

/** Within what makes sense, whatever a provider says. */
const within = (value: number, least: number, most: number): number => Math.min(most, Math.max(least, value))

const refusals: ReadonlyMap<string, SignInRefused> = new Map([
  ["authorization_declined", new SignInRefused({ code: "access_denied", message: "who was asked did not allow it" })],
  ["access_denied", new SignInRefused({ code: "access_denied", message: "who was asked did not allow it" })],
  [
    "expired_token",
    new SignInRefused({
      code: "sign_in_failed",
      message: "nobody entered the code in time; begin again with a new one",
    }),
  ],
])

const unreachable = new SignInRefused({
  code: "provider_unavailable",
  message: "the provider does not answer; try again",
})

/** Microsoft only: Google lets no device ask for scopes of mail (Google Identity, OAuth 2.0 for limited-input devices). */
export class SignInDevice extends Context.Service<SignInDevice, {
  readonly ask: (request: DeviceRequest) => Effect.Effect<DeviceCode, SignInRefused>
  readonly poll: (
    request: DeviceRequest & { readonly deviceCode: Redacted.Redacted },
  ) => Effect.Effect<DevicePoll, SignInRefused>
}>()("mailfleet/oauth/SignInDevice") {
  static readonly layer: Layer.Layer<SignInDevice, never, HttpClient.HttpClient | Settings> = Layer.effect(
    SignInDevice,
    Effect.gen(function* () {
      const settings = yield* Settings
      const post = yield* makeTokenEndpoint(tokenTimeout)
      const send = yield* makeSend
      const read = makeReadSignIn(settings, yield* makeGetText)

      return SignInDevice.of({
        ask: Effect.fn("SignInDevice.ask")(function* ({ app, channel }) {
          const url = microsoftUrl(app, settings, app.tenant, "/oauth2/v2.0/devicecode")
          const answer = yield* send(
            HttpClientRequest.bodyUrlParams(HttpClientRequest.post(url), {
              client_id: app.clientId.trim(),
              scope: askedScopes(app, settings, channel),
            }),
          )
          if (Option.isNone(answer)) return yield* unreachable
          const { status, text } = answer.value
          const code = Option.getOrUndefined(decodeCode(text))
          if (status !== 200 || code === undefined) {
            return yield* tokenRefused("microsoft", {
              status,
              slowDown: status === 429,
              retryAfterMillis: undefined,
              body: decodeBody(text),
            })
          }
          return {
            userCode: code.user_code,
            verificationUri: code.verification_uri,
            expiresInSeconds: within(code.expires_in, 60, 3_600),
            intervalSeconds: within(code.interval ?? 5, 1, 60),
            deviceCode: Redacted.make(code.device_code),
          }
        }),
        poll: Effect.fn("SignInDevice.poll")(function* ({ app, channel, deviceCode }) {
          const server = microsoftServer(app, settings)
          const answer = yield* post(server.tokenEndpoint, {
            grant_type: "urn:ietf:params:oauth:grant-type:device_code",
            client_id: app.clientId.trim(),
            device_code: Redacted.value(deviceCode),
            ...yield* clientAuthentication(app, server.tokenEndpoint),
          })
          const { body, slowDown, status } = answer
          const error = body?.error
          // A fault that passes is asked again, as RFC 8628 §3.5 wants it: with more time between.
          if (error === "slow_down" || slowDown || status === 0 || status >= 500) {
            return { _tag: "Pending", slower: true } as const
          }
          if (error === "authorization_pending") return { _tag: "Pending", slower: false } as const
          const refused = error === undefined ? undefined : refusals.get(error)
          if (refused !== undefined) return yield* refused
          const asked = askedScopes(app, settings, channel)
          const person = yield* read({ app, channel, server, answer, asked, nonce: undefined, iss: null })
          return { _tag: "SignedIn", person } as const
        }),
      })
    }),
  )
}
