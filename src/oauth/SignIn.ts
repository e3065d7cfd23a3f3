/**
 * The authorization code flow with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1; OpenID Connect Core §3.1): where a browser is
 * sent, and what the answer that it brings back is worth.
 */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import * as oauth from "oauth4webapi"
import { type Channel, type Resource, resourceOf } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import { canReadMail, SignInRefused } from "../domain/ConnectSession.ts"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { signInScopes } from "./Scopes.ts"
import { makeGetText } from "./SignInHttp.ts"
import { type Person, personOf } from "./SignInPerson.ts"
import { responseRefused, tokenRefused } from "./SignInRefusals.ts"
import { makeGoogleServer, microsoftServer, microsoftUrl, type Server } from "./SignInServers.ts"
import { makeTokenEndpoint, redemptionOf, type TokenAnswer, tokenTimeout } from "./TokenEndpoint.ts"

/** Seconds that the provider's clock may be off ours. */
const clockTolerance = 300

export interface SignInRequest {
  readonly app: AppCredentials
  readonly channel: Channel
  /** As registered, and the same in both halves of the flow. */
  readonly redirectUri: string
  /** Who is expected to sign in. */
  readonly loginHint?: string | undefined
}

/** A browser on its way to the provider. */
export interface Departure {
  readonly url: string
  /** Comes back in the answer. */
  readonly state: Redacted.Redacted
  /** What the exchange needs, and nobody else may see. */
  readonly secret: Redacted.Redacted
}

export interface SignedInAs extends Person {
  readonly resource: Resource
  readonly accessToken: Redacted.Redacted
  readonly expiresInSeconds: number
  readonly refreshToken: Redacted.Redacted
  /** How long the refresh token lives, however it is used; undefined = the provider names no end. */
  readonly livesSeconds: number | undefined
}

const FlowSecret = Schema.fromJsonString(Schema.Struct({ verifier: Schema.String, nonce: Schema.String }))
const encodeSecret = Schema.encodeSync(FlowSecret)
const decodeSecret = Schema.decodeUnknownEffect(FlowSecret)

const mismatch = new SignInRefused({
  code: "issuer_mismatch",
  message: "the answer came from another provider or tenant than the one that was asked; nothing of it was used",
})
const invalidResponse = new SignInRefused({
  code: "sign_in_failed",
  message: "the answer of the provider is not valid; make a new link and sign in again",
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

export class SignIn extends Context.Service<SignIn, {
  readonly depart: (request: SignInRequest) => Effect.Effect<Departure, SignInRefused>
  /**
   * Takes the answer of the authorization endpoint, redeems its code once, and reads who signed in. The caller has found the
   * flow by `state`.
   */
  readonly arrive: (
    request: SignInRequest & {
      readonly state: Redacted.Redacted
      readonly secret: Redacted.Redacted
      readonly parameters: URLSearchParams
    },
  ) => Effect.Effect<SignedInAs, SignInRefused>
  /** To where an administrator consents to what the app may do by itself (Microsoft). */
  readonly departForConsent: (request: Pick<SignInRequest, "app" | "redirectUri">) => Departure
  /** The tenant whose administrator consented. */
  readonly arriveFromConsent: (
    request: { readonly app: AppCredentials; readonly parameters: URLSearchParams },
  ) => Effect.Effect<string, SignInRefused>
}>()("mailfleet/oauth/SignIn") {
  static readonly layer: Layer.Layer<SignIn, never, HttpClient.HttpClient | Settings> = Layer.effect(
    SignIn,
    Effect.gen(function* () {
      const settings = yield* Settings
      const post = yield* makeTokenEndpoint(tokenTimeout)
      const getText = yield* makeGetText
      const googleServer = makeGoogleServer(settings, getText)

      const serverOf = (app: AppCredentials): Effect.Effect<Server, SignInRefused> =>
        app.provider === "google" ? googleServer : Effect.succeed(microsoftServer(app, settings))

      const scopesFor = ({ app, channel }: SignInRequest) => {
        const resource = resourceOf(app.provider, channel)
        return withoutDefault(signInScopes(app, settings, resource), resource)
      }

      const depart = Effect.fn("SignIn.depart")(function* (request: SignInRequest) {
        const { app, loginHint, redirectUri } = request
        const server = yield* serverOf(app)
        const verifier = oauth.generateRandomCodeVerifier()
        const nonce = oauth.generateRandomNonce()
        const state = oauth.generateRandomState()
        const challenge = yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier))
        const url = new URL(server.authorizationEndpoint)
        const fields: Record<string, string> = {
          client_id: app.clientId,
          response_type: "code",
          redirect_uri: redirectUri,
          scope: scopesFor(request),
          state,
          nonce,
          code_challenge: challenge,
          code_challenge_method: "S256",
          ...(loginHint === undefined ? {} : { login_hint: loginHint }),
          ...(app.provider === "google"
            // Without both there is a refresh token the first time only (provider-facts B).
            ? { access_type: "offline", prompt: "consent" }
            : { response_mode: "query", ...(loginHint === undefined ? { prompt: "select_account" } : {}) }),
        }
        for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value)
        return {
          url: url.href,
          state: Redacted.make(state),
          secret: Redacted.make(encodeSecret({ verifier, nonce })),
        }
      })

      /** Sends the code; the answer as the library wants it, and as our tables do. */
      const redeem = Effect.fnUntraced(function* (
        { app, redirectUri, ...request }: Parameters<SignIn["Service"]["arrive"]>[0],
        as: oauth.AuthorizationServer,
        response: URLSearchParams,
        verifier: string,
      ) {
        const fields = yield* clientAuthentication(app, as.token_endpoint!)
        const answers: Array<TokenAnswer> = []
        yield* Effect.tryPromise({
          try: () =>
            oauth.authorizationCodeGrantRequest(
              as,
              { client_id: app.clientId },
              (_as, client, body) => {
                body.set("client_id", client.client_id)
                for (const [name, value] of Object.entries(fields)) body.set(name, value)
              },
              response,
              redirectUri,
              verifier,
              {
                [oauth.allowInsecureRequests]: true,
                // Google takes none here.
                ...(app.provider === "microsoft"
                  ? { additionalParameters: { scope: scopesFor({ app, redirectUri, channel: request.channel }) } }
                  : {}),
                [oauth.customFetch]: async (url, { body }) => {
                  answers.push(await Effect.runPromise(post(url, Object.fromEntries(body as URLSearchParams))))
                  return new Response()
                },
              },
            ),
          catch: () => invalidResponse,
        })
        return answers[0]!
      })

      const arrive = Effect.fn("SignIn.arrive")(function* (request: Parameters<SignIn["Service"]["arrive"]>[0]) {
        const { app, channel, parameters, secret, state } = request
        const { nonce, verifier } = yield* Effect.mapError(decodeSecret(Redacted.value(secret)), () => invalidResponse)
        const server = yield* serverOf(app)
        const client = { client_id: app.clientId, [oauth.clockTolerance]: clockTolerance }

        const forResponse = server.forResponse(parameters.get("iss"))
        if (forResponse === undefined) return yield* mismatch
        const response = yield* Effect.try({
          try: () => oauth.validateAuthResponse(forResponse, client, parameters, Redacted.value(state)),
          catch: (error) =>
            error instanceof oauth.AuthorizationResponseError
              ? responseRefused(app.provider, parameters)
              : invalidResponse,
        })

        const answer = yield* redeem(request, forResponse, response, verifier)
        const redemption = redemptionOf(answer)
        if (redemption === undefined) return yield* tokenRefused(app.provider, answer)

        const forIdToken = server.forIdToken(answer.body?.id_token ?? "")
        const iss = parameters.get("iss")
        if (answer.body?.id_token === undefined) return yield* unproven
        if (forIdToken === undefined || (iss !== null && forIdToken.issuer !== iss)) return yield* mismatch
        const claims = yield* Effect.tryPromise({
          try: async () => {
            const { access_token, id_token, token_type } = answer.body!
            const body = JSON.stringify({ access_token, id_token, token_type })
            const result = await oauth.processAuthorizationCodeResponse(
              forIdToken,
              client,
              new Response(body, { headers: { "content-type": "application/json" } }),
              { expectedNonce: nonce, requireIdToken: true },
            )
            return oauth.getValidatedIdTokenClaims(result)!
          },
          catch: (error) => isIssuer(error) ? mismatch : unproven,
        })

        const scope = redemption.scope ?? scopesFor(request)
        if (!canReadMail(app.provider, channel, scope)) return yield* noMail
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
          livesSeconds: secondsOf(answer.body.refresh_token_expires_in),
        }
      })

      return SignIn.of({
        depart,
        arrive,
        departForConsent: ({ app, redirectUri }) => {
          const state = oauth.generateRandomState()
          const tenant = /^(?:common|consumers)$/.test(app.tenant) ? "organizations" : app.tenant
          const url = new URL(microsoftUrl(app, settings, tenant, "/v2.0/adminconsent"))
          const fields = {
            client_id: app.clientId,
            redirect_uri: redirectUri,
            scope: settings.microsoftAppScope,
            state,
          }
          for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value)
          return { url: url.href, state: Redacted.make(state), secret: Redacted.make("") }
        },
        arriveFromConsent: Effect.fn("SignIn.arriveFromConsent")(function* ({ app, parameters }) {
          if (parameters.has("error")) return yield* responseRefused("microsoft", parameters)
          const tenant = parameters.get("tenant") ?? ""
          if (parameters.get("admin_consent")?.toLowerCase() !== "true" || !guid.test(tenant)) {
            return yield* invalidResponse
          }
          if (guid.test(app.tenant) && app.tenant.toLowerCase() !== tenant.toLowerCase()) return yield* mismatch
          return tenant.toLowerCase()
        }),
      })
    }),
  )
}

const guid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const isIssuer = (error: unknown): boolean =>
  error instanceof oauth.OperationProcessingError && error.code === oauth.JWT_CLAIM_COMPARISON &&
  (error.cause as { readonly claim?: unknown } | undefined)?.claim === "iss"

/** Ten years: beyond it, it is no limit. */
const longestLife = 315_360_000

const secondsOf = (value: number | string | undefined): number | undefined => {
  const seconds = value === undefined || value === "" ? NaN : Number(value)
  return Number.isFinite(seconds) && seconds >= 1 && seconds <= longestLife ? Math.floor(seconds) : undefined
}
