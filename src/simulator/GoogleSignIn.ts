/**
 * Google's authorization endpoint (Google Identity, OAuth 2.0 for web server applications), and what OpenID Connect
 * publishes about it. Nobody stays signed in: each visit asks for the address.
 */
import { readForm } from "./Form.ts"
import { emailMask, googleNamesOf, openidMask, profileMask, readGoogleScopes } from "./GoogleScopes.ts"
import { googleBase } from "./GoogleToken.ts"
import { consentPage, errorPage, signInPage } from "./Pages.ts"
import { isRedirectUri } from "./RedirectUris.ts"
import type { App } from "./Population.ts"
import { answer, type Fields, formFields, responseModes, type Visit, withoutAnswers } from "./Visit.ts"
import type { World } from "./World.ts"

const prompts = new Set(["none", "consent", "select_account"])

export class GoogleSignIn {
  constructor(private readonly world: World) {}

  /** @param path after {@link googleBase}; answers 404 to what is not its own */
  async handle(request: Request, path: string): Promise<Response> {
    const { origin, searchParams } = new URL(request.url)
    const isPost = request.method === "POST"
    if (path === "/o/oauth2/v2/auth" && (isPost || request.method === "GET")) {
      const visit = this.visit(formFields(searchParams, isPost ? await readForm(request) : undefined))
      return visit instanceof Response ? visit : this.authorize(visit)
    }
    if (path === "/.well-known/openid-configuration") return Response.json(configuration(origin + googleBase))
    if (path === "/oauth2/v3/certs") return Response.json(this.world.signingKey.jwks())
    if (path === "/v1/userinfo") return this.userinfo(request)
    return new Response("Not Found", { status: 404 })
  }

  /** Why a user cannot sign in to an app; the texts are guesses. */
  problemOf(index: number, app: App): string | undefined {
    const { grants, population } = this.world
    if (index < 0 || population.providerOf(index) !== "google") return "Couldn’t find your Google Account"
    const lock = grants.peek(index)?.lock
    if (lock !== undefined) return `Error 400: ${lock}`
    const isOutside = app.isTesting && app.testUsers?.includes(population.email(index)) === false
    return isOutside ? "Error 403: access_denied. The app is being tested: only its test users can use it." : undefined
  }

  /** Who asks, or the page that says why nothing may be sent to the redirect URI. */
  private visit(fields: Fields): Visit | Response {
    const app = this.world.population.app(fields.get("client_id") ?? "")
    const redirectUri = fields.get("redirect_uri") ?? ""
    if (app?.provider !== "google") return denied("401: invalid_client", "The OAuth client was not found.")
    if (!isRedirectUri(app, redirectUri)) {
      return denied("400: redirect_uri_mismatch", `The app's redirect URIs do not include '${redirectUri}'.`)
    }
    return { app, fields, redirectUri }
  }

  /** What is wrong with a request Google tells the person, on a page. */
  private authorize(visit: Visit): Response {
    const { fields } = visit
    const prompt = (fields.get("prompt") ?? "").split(" ").filter((one) => one !== "")
    const asked = readGoogleScopes(fields.get("scope") ?? "")
    const wrong = fields.get("response_type") !== "code"
      ? "response_type"
      : !responseModes.has(fields.get("response_mode") ?? "query")
      ? "response_mode"
      : !prompt.every((one) => prompts.has(one))
      ? "prompt"
      : !["online", "offline"].includes(fields.get("access_type") ?? "online")
      ? "access_type"
      : fields.has("code_challenge") && fields.get("code_challenge_method") !== "S256"
      ? "code_challenge_method"
      : asked === 0
      ? "scope"
      : undefined
    if (wrong !== undefined) return denied("400: invalid_request", `Missing or invalid parameter: ${wrong}`)
    if (typeof asked === "string") return denied("400: invalid_scope", `Some requested scopes were invalid: ${asked}`)
    // That nobody is signed in is told by OpenID Connect's error here: a guess.
    if (prompt.includes("none")) return answer(visit, { error: "login_required" })
    return this.proceed(visit, asked, prompt.includes("consent"))
  }

  private proceed(visit: Visit, asked: number, isInsisting: boolean): Response {
    const { app, fields } = visit
    const { googleGrants, population } = this.world
    const decision = fields.get("decision")
    const login = fields.get("login")
    if (decision === "cancel") return answer(visit, { error: "access_denied" })
    if (login === undefined) return signInPage("google", fields, fields.get("login_hint") ?? "")
    const index = population.indexOf(login.trim())
    const problem = this.problemOf(index, app)
    const rest = withoutAnswers(fields)
    if (problem !== undefined) return signInPage("google", rest, login, problem)

    const before = googleGrants.consented(index, app)
    const isAsked = isInsisting || (asked & ~before) !== 0
    if (isAsked && decision !== "accept") {
      return consentPage("google", login, new Map(rest).set("login", login), app.clientId, googleNamesOf(asked))
    }
    googleGrants.consent(index, app, before | asked)
    const code = this.world.codes.issue({
      app,
      index,
      redirectUri: visit.redirectUri,
      challenge: fields.get("code_challenge"),
      scope: fields.get("scope") ?? "",
      consent: asked,
      nonce: fields.get("nonce"),
      // A refresh token comes of a consent that was shown, never of a mere sign-in.
      offline: isAsked && fields.get("access_type") === "offline",
      issuedAt: this.world.now(),
    })
    return answer(visit, { code, scope: googleNamesOf(asked).join(" ") })
  }

  private userinfo(request: Request): Response {
    const { googleGrants, grants, now, population } = this.world
    const header = request.headers.get("authorization") ?? ""
    const token = header.startsWith("Bearer ") ? grants.readAccessToken(header.slice(7)) : undefined
    const isValid = token?.resource === "gmail" && token.expiresAt > now() &&
      token.issuedAt >= (grants.peek(token.index)?.accessNotBefore ?? 0)
    if (!isValid || (token.mask & (openidMask | emailMask | profileMask)) === 0) {
      return Response.json({ error: "invalid_request", error_description: "Invalid Credentials" }, { status: 401 })
    }
    return Response.json({
      sub: googleGrants.subject(token.index),
      ...((token.mask & profileMask) === 0 ? {} : { name: `Sim ${token.index + 1}` }),
      ...((token.mask & emailMask) === 0 ? {} : { email: population.email(token.index), email_verified: true }),
    })
  }
}

const denied = (error: string, text: string): Response =>
  errorPage("google", `Error ${error}. ${text}`, Number(error.slice(0, 3)))

const configuration = (issuer: string) => ({
  issuer,
  authorization_endpoint: `${issuer}/o/oauth2/v2/auth`,
  device_authorization_endpoint: `${issuer}/device/code`,
  token_endpoint: `${issuer}/token`,
  userinfo_endpoint: `${issuer}/v1/userinfo`,
  jwks_uri: `${issuer}/oauth2/v3/certs`,
  response_types_supported: ["code"],
  response_modes_supported: [...responseModes],
  subject_types_supported: ["public"],
  id_token_signing_alg_values_supported: ["RS256"],
  scopes_supported: ["openid", "email", "profile"],
  token_endpoint_auth_methods_supported: ["client_secret_post", "client_secret_basic"],
  code_challenge_methods_supported: ["S256"],
})
