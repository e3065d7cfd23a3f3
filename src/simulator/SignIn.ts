/**
 * Microsoft's authorization endpoint (Microsoft identity platform, OAuth 2.0 authorization code flow), the consent of
 * administrators, and what OpenID Connect publishes about them. Nobody stays signed in: each visit asks for the address.
 */
import { aadstsBody, type AadstsDetails } from "./Aadsts.ts"
import { readForm } from "./Form.ts"
import { tenants } from "./MicrosoftClients.ts"
import { consentPage, errorPage, signInPage } from "./Pages.ts"
import { personalTenant } from "./Population.ts"
import { isRedirectUri } from "./RedirectUris.ts"
import { ask, namesOf } from "./Scopes.ts"
import { answer, type Fields, formFields, responseModes, type Visit, withoutAnswers } from "./Visit.ts"
import type { World } from "./World.ts"

interface TenantVisit extends Visit {
  readonly tenant: string
}

const authorizePath = /^\/([^/]+)\/oauth2\/v2\.0\/authorize$/
const adminPath = /^\/([^/]+)\/v2\.0\/adminconsent$/
const keysPath = /^\/[^/]+\/discovery\/v2\.0\/keys$/
const configurationPath = /^\/([^/]+)\/v2\.0\/\.well-known\/openid-configuration$/

const guidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const prompts = new Set(["login", "none", "consent", "select_account"])

export class SignIn {
  constructor(private readonly world: World) {}

  /** Answers 404 to whatever is not its own. */
  async handle(request: Request): Promise<Response> {
    const { origin, pathname, searchParams } = new URL(request.url)
    const isPost = request.method === "POST"
    const administered = adminPath.exec(pathname)?.[1]
    const tenant = authorizePath.exec(pathname)?.[1] ?? administered
    if (tenant !== undefined && (isPost || request.method === "GET")) {
      const visit = this.visit(tenant, formFields(searchParams, isPost ? await readForm(request) : undefined))
      if (visit instanceof Response) return visit
      return administered === undefined ? this.authorize(visit) : this.administer(visit)
    }
    if (keysPath.test(pathname)) return Response.json(this.world.signingKey.jwks())
    const configured = configurationPath.exec(pathname)?.[1]
    return configured === undefined
      ? new Response("Not Found", { status: 404 })
      : Response.json(configuration(origin, configured))
  }

  /** Who asks, or the page that says why nothing may be sent to the redirect URI. */
  private visit(tenant: string, fields: Fields): TenantVisit | Response {
    const app = this.world.population.app(fields.get("client_id") ?? "")
    const redirectUri = fields.get("redirect_uri") ?? ""
    if (!tenants.test(tenant)) return this.page(900023, { detail: tenant })
    if (app?.provider !== "microsoft") return this.page(700016)
    if (app.tenant !== undefined && app.tenant !== tenant) return this.page(50194)
    if (!isRedirectUri(app, redirectUri)) return this.page(50011, { detail: `'${redirectUri}'` })
    return { tenant, app, fields, redirectUri }
  }

  /** An administrator consents to the application permissions of an app, for the whole tenant. */
  private administer(visit: TenantVisit): Response {
    const { app, fields } = visit
    const tenant = guidPattern.test(visit.tenant) ? visit.tenant : this.world.population.workTenant
    const decision = fields.get("decision")
    if (decision === "cancel") return this.fail(visit, 65004)
    const rest = withoutAnswers(fields)
    if (decision !== "accept") {
      const scope = fields.get("scope") ?? "https://graph.microsoft.com/.default"
      return consentPage("microsoft", `Administrator of ${tenant}`, rest, app.clientId, scope.split(" "))
    }
    app.consentedTenants = [...new Set([...app.consentedTenants ?? [], tenant])]
    return answer(visit, { admin_consent: "True", tenant })
  }

  private authorize(visit: TenantVisit): Response {
    const { fields } = visit
    const prompt = fields.get("prompt") ?? "select_account"
    if (fields.get("response_type") !== "code") return this.fail(visit, 70005)
    if (!responseModes.has(fields.get("response_mode") ?? "query")) {
      return this.fail(visit, 90023, { detail: "response_mode" })
    }
    if (!prompts.has(prompt)) return this.fail(visit, 90023, { detail: "prompt" })
    if (fields.has("code_challenge") && fields.get("code_challenge_method") !== "S256") {
      return this.fail(visit, 90023, { detail: "code_challenge_method" })
    }
    if (!fields.get("scope")) return this.fail(visit, 900144, { detail: "Parameter: 'scope'." })
    if (prompt === "none") return this.fail(visit, 50058)
    return this.proceed(visit, prompt)
  }

  private proceed(visit: TenantVisit, prompt: string): Response {
    const { app, fields } = visit
    const { grants, population } = this.world
    const decision = fields.get("decision")
    const login = fields.get("login")
    if (decision === "cancel") return this.fail(visit, 65004)
    if (login === undefined) return signInPage("microsoft", fields, fields.get("login_hint") ?? "")
    const index = population.indexOf(login.trim())
    const problem = this.problem(index, visit.tenant)
    const rest = withoutAnswers(fields)
    if (problem !== undefined) return signInPage("microsoft", rest, login, problem)

    const before = grants.consented(index, app)
    const mask = readScopes(fields.get("scope") ?? "", before)
    if (typeof mask !== "number") return this.fail(visit, mask.code, { detail: mask.detail })
    const isAsked = (mask & ~before) !== 0 || prompt === "consent"
    if (isAsked && decision !== "accept") {
      return consentPage("microsoft", login, rest.set("login", login), app.clientId, namesOf(mask))
    }
    const code = this.world.codes.issue({
      app,
      index,
      redirectUri: visit.redirectUri,
      challenge: fields.get("code_challenge"),
      scope: fields.get("scope") ?? "",
      consent: before | mask,
      nonce: fields.get("nonce"),
      offline: (fields.get("scope") ?? "").split(" ").includes("offline_access"),
      issuedAt: this.world.now(),
    })
    return answer(visit, { code })
  }

  /** The same in words. */
  problem(index: number, tenant: string): string | undefined {
    const problem = this.problemOf(index, tenant)
    return problem === undefined ? undefined : this.describe(problem)
  }

  /** Why this user cannot sign in here, as an AADSTS code. */
  private problemOf(index: number, tenant: string): number | undefined {
    const { grants, population } = this.world
    if (index < 0 || population.providerOf(index) !== "microsoft") return 50034
    const isPersonal = population.isPersonal(index)
    const isForeign = tenant === "organizations"
      ? isPersonal
      : tenant === "consumers" || tenant === personalTenant
      ? !isPersonal
      : tenant !== "common" && tenant.length === personalTenant.length && tenant !== population.tenantOf(index)
    if (isForeign) return 50020
    const lock = grants.peek(index)?.lock
    return typeof lock === "number" ? lock : undefined
  }

  private describe(code: number, details?: AadstsDetails): string {
    return aadstsBody(code, this.world.now() + this.world.settings.clockSkew, details).error_description
  }

  private page(code: number, details?: AadstsDetails): Response {
    return errorPage("microsoft", this.describe(code, details))
  }

  private fail(visit: TenantVisit, code: number, details?: AadstsDetails): Response {
    const { error } = aadstsBody(code, this.world.now())
    return answer(visit, { error, error_description: this.describe(code, details) })
  }
}

/** Unlike a token request, an authorization request may name scopes of several resources. */
export const readScopes = (scope: string, consented: number) => {
  let mask = 0
  for (const part of scope.split(" ").filter((part) => part !== "")) {
    const asked = ask(part, consented)
    if ("code" in asked) return asked
    mask |= asked.mask
  }
  return mask
}

const multiTenant = new Set(["common", "organizations"])

const configuration = (origin: string, tenant: string) => ({
  // For several tenants Microsoft writes a placeholder here, which no token's `iss` equals.
  issuer: `${origin}/${multiTenant.has(tenant) ? "{tenantid}" : tenant === "consumers" ? personalTenant : tenant}/v2.0`,
  authorization_endpoint: `${origin}/${tenant}/oauth2/v2.0/authorize`,
  token_endpoint: `${origin}/${tenant}/oauth2/v2.0/token`,
  jwks_uri: `${origin}/${tenant}/discovery/v2.0/keys`,
  device_authorization_endpoint: `${origin}/${tenant}/oauth2/v2.0/devicecode`,
  userinfo_endpoint: `${origin}/oidc/userinfo`,
  response_types_supported: ["code"],
  response_modes_supported: [...responseModes],
  subject_types_supported: ["pairwise"],
  id_token_signing_alg_values_supported: ["RS256"],
  scopes_supported: ["openid", "profile", "email", "offline_access"],
  token_endpoint_auth_methods_supported: ["client_secret_post", "client_secret_basic", "private_key_jwt"],
  code_challenge_methods_supported: ["S256"],
})
