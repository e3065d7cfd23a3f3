/**
 * The authorization code flow with PKCE (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1; OpenID Connect Core §3.1): where a browser is
 * sent, and what the answer that it brings back is worth.
 */
import { Context, Effect, Layer, type Option, Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import * as oauth from "oauth4webapi"
import type { Channel } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import { SignInRefused } from "../domain/ConnectSession.ts"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { askedScopes, claimsOf, makeReadSignIn, mismatch, type SignedInAs } from "./SignInAnswer.ts"
import { makeGetText } from "./SignInHttp.ts"
import { type Person, personFrom } from "./SignInPerson.ts"
import { responseRefused, tokenRefused } from "./SignInRefusals.ts"
import { makeGoogleServer, microsoftServer, microsoftUrl, type Server } from "./SignInServers.ts"
import { makeTokenEndpoint, redemptionOf, type TokenAnswer, tokenTimeout } from "./TokenEndpoint.ts"

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

const FlowSecret = Schema.fromJsonString(Schema.Struct({
  verifier: Schema.String,
  nonce: Schema.String,
}))
const encodeSecret = Schema.encodeSync(FlowSecret)
const decodeSecret = Schema.decodeUnknownEffect(FlowSecret)

const invalidResponse = new SignInRefused({
  code: "sign_in_failed",
  message: "the answer of the provider is not valid; make a new link and sign in again",
})

/** What a browser brought back, with what its flow was begun with. */
export interface Returned extends Pick<SignInRequest, "app" | "redirectUri"> {
  readonly state: Redacted.Redacted
  readonly secret: Redacted.Redacted
  readonly parameters: URLSearchParams
}

const guest = new SignInRefused({
  code: "consent_required",
  message: "who signed in is a guest of the tenant; an administrator who belongs to it must open a new link",
})

/** Whom another provider signs in, which `idp` names then and at no other time (Microsoft, id token claims). */
const isGuest = ({ idp, tid }: oauth.IDToken): boolean =>
  idp !== undefined && !(typeof tid === "string" && String(idp).toLowerCase().includes(tid.toLowerCase()))

/** Asks for nothing but who it is. */
const proofScope = "openid profile"

export class SignIn extends Context.Service<SignIn, {
  readonly depart: (request: SignInRequest) => Effect.Effect<Departure, SignInRefused>
  /**
   * Takes the answer of the authorization endpoint, redeems its code once, and reads who signed in. The caller has found the
   * flow by `state`.
   */
  readonly arrive: (request: SignInRequest & Returned) => Effect.Effect<SignedInAs, SignInRefused>
  /** To where an administrator consents to what the app may do by itself (Microsoft). */
  readonly departForConsent: (request: Pick<SignInRequest, "app" | "redirectUri">) => Departure
  /** The tenant whose administrator is said to have consented: it stands in the URL, and anybody can write it there. */
  readonly arriveFromConsent: (
    request: { readonly app: AppCredentials; readonly parameters: URLSearchParams },
  ) => Effect.Effect<string, SignInRefused>
  /** To where somebody signs in to the tenant of the app, and so proves to be of it: its guests are not. */
  readonly departForProof: (
    request: Pick<SignInRequest, "app" | "redirectUri">,
  ) => Effect.Effect<Departure, SignInRefused>
  /** Who that was. None = the provider names no address. */
  readonly arriveWithProof: (request: Returned) => Effect.Effect<Option.Option<Person>, SignInRefused>
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

      const scopesFor = ({ app, channel }: SignInRequest) => askedScopes(app, settings, channel)
      const read = makeReadSignIn(settings, getText)

      /** To the authorization endpoint, with PKCE, state and nonce. */
      const setOut = Effect.fnUntraced(function* (
        { authorizationEndpoint }: Server,
        fields: Readonly<Record<string, string>>,
      ) {
        const verifier = oauth.generateRandomCodeVerifier()
        const nonce = oauth.generateRandomNonce()
        const state = oauth.generateRandomState()
        const challenge = yield* Effect.promise(() => oauth.calculatePKCECodeChallenge(verifier))
        const url = new URL(authorizationEndpoint)
        const all = {
          ...fields,
          response_type: "code",
          state,
          nonce,
          code_challenge: challenge,
          code_challenge_method: "S256",
        }
        for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value)
        return {
          url: url.href,
          state: Redacted.make(state),
          secret: Redacted.make(encodeSecret({ verifier, nonce })),
        }
      })

      const depart = Effect.fn("SignIn.depart")(function* (request: SignInRequest) {
        const { app, loginHint, redirectUri } = request
        return yield* setOut(yield* serverOf(app), {
          client_id: app.clientId,
          redirect_uri: redirectUri,
          scope: scopesFor(request),
          ...(loginHint === undefined ? {} : { login_hint: loginHint }),
          ...(app.provider === "google"
            // Without both there is a refresh token the first time only (provider-facts B).
            ? { access_type: "offline", prompt: "consent" }
            : { response_mode: "query", ...(loginHint === undefined ? { prompt: "select_account" } : {}) }),
        })
      })

      /** Sends the code; the answer as the library wants it, and as our tables do. */
      const redeem = Effect.fnUntraced(function* (
        { app, redirectUri }: Pick<SignInRequest, "app" | "redirectUri">,
        scope: string,
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
                ...(app.provider === "microsoft" ? { additionalParameters: { scope } } : {}),
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

      /** Checks what a browser brought back, and sends the code that is in it. */
      const exchange = Effect.fnUntraced(function* (request: Returned, scope: string) {
        const { app, parameters, secret, state } = request
        const { nonce, verifier } = yield* Effect.mapError(decodeSecret(Redacted.value(secret)), () => invalidResponse)
        const server = yield* serverOf(app)
        const iss = parameters.get("iss")
        const forResponse = server.forResponse(iss)
        if (forResponse === undefined) return yield* mismatch
        const response = yield* Effect.try({
          try: () =>
            oauth.validateAuthResponse(forResponse, { client_id: app.clientId }, parameters, Redacted.value(state)),
          catch: (error) =>
            error instanceof oauth.AuthorizationResponseError
              ? responseRefused(app.provider, parameters)
              : invalidResponse,
        })
        const answer = yield* redeem(request, scope, forResponse, response, verifier)
        return { app, answer, server, nonce, iss }
      })

      const arrive = Effect.fn("SignIn.arrive")(function* (request: SignInRequest & Returned) {
        const asked = scopesFor(request)
        return yield* read({ ...yield* exchange(request, asked), channel: request.channel, asked })
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
        departForProof: Effect.fn("SignIn.departForProof")(function* ({ app, redirectUri }) {
          return yield* setOut(yield* serverOf(app), {
            client_id: app.clientId,
            redirect_uri: redirectUri,
            scope: proofScope,
            response_mode: "query",
          })
        }),
        arriveWithProof: Effect.fn("SignIn.arriveWithProof")(function* (request) {
          const exchanged = yield* exchange(request, proofScope)
          if (redemptionOf(exchanged.answer) === undefined) return yield* tokenRefused("microsoft", exchanged.answer)
          const claims = yield* claimsOf(exchanged)
          if (isGuest(claims)) return yield* guest
          // The directory is not asked: nobody is required to have a mailbox.
          return yield* Effect.option(personFrom({ provider: "microsoft", claims, me: undefined }))
        }),
      })
    }),
  )
}

const guid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
