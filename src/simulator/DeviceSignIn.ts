/**
 * Device authorization at both providers (RFC 8628; Microsoft identity platform, device authorization grant; Google
 * Identity, OAuth 2.0 for TV and limited-input devices). Nothing of it is in the provider facts: lifetimes and texts are
 * those of these pages as far as remembered.
 */
import { aadsts } from "./Aadsts.ts"
import { toResponse } from "./Answer.ts"
import type { DeviceCode } from "./DeviceCodes.ts"
import { readForm } from "./Form.ts"
import { googleError } from "./GoogleErrors.ts"
import { basicMask, googleNamesOf, readGoogleScopes } from "./GoogleScopes.ts"
import type { GoogleSignIn } from "./GoogleSignIn.ts"
import { tenants } from "./MicrosoftClients.ts"
import { consentPage, devicePage, endPage, signInPage } from "./Pages.ts"
import type { Provider } from "./Population.ts"
import { namesOf } from "./Scopes.ts"
import { readScopes, type SignIn } from "./SignIn.ts"
import { withoutAnswers } from "./Visit.ts"
import type { World } from "./World.ts"

const lives = { microsoft: 900, google: 1800 } as const

export class DeviceSignIn {
  constructor(
    private readonly world: World,
    private readonly microsoft: SignIn,
    private readonly google: GoogleSignIn,
  ) {}

  async authorizeMicrosoft(request: Request, tenant: string): Promise<Response> {
    const form = await readForm(request)
    const shown = this.world.now() + this.world.settings.clockSkew
    const app = this.world.population.app(form.get("client_id") ?? "")
    const missing = ["client_id", "scope"].find((name) => !form.get(name))
    const scope = form.get("scope") ?? ""
    const scopes = readScopes(scope, 0)
    const refused = !tenants.test(tenant)
      ? aadsts(900023, shown, { detail: tenant })
      : missing !== undefined
      ? aadsts(900144, shown, { detail: `Parameter: '${missing}'.` })
      : app?.provider !== "microsoft"
      ? aadsts(700016, shown)
      : app.tenant !== undefined && app.tenant !== tenant
      ? aadsts(50194, shown)
      : typeof scopes !== "number"
      ? aadsts(scopes.code, shown, { detail: scopes.detail })
      : undefined
    if (refused !== undefined || app === undefined) return toResponse(refused ?? aadsts(700016, shown))
    const [deviceCode, { interval, userCode }] = this.issue(app, scope, tenant)
    const page = `${new URL(request.url).origin}/devicelogin`
    return Response.json({
      user_code: userCode,
      device_code: deviceCode,
      verification_uri: page,
      expires_in: lives.microsoft,
      interval,
      message: `To sign in, use a web browser to open the page ${page} and enter the code ${userCode} to authenticate.`,
    })
  }

  /** Gmail's scopes are none of those that Google lets a device ask for. */
  async authorizeGoogle(request: Request): Promise<Response> {
    const form = await readForm(request)
    const app = this.world.population.app(form.get("client_id") ?? "")
    if (app?.provider !== "google") {
      return toResponse(googleError("invalid_client", { text: "The OAuth client was not found." }))
    }
    const scope = form.get("scope") ?? ""
    const mask = readGoogleScopes(scope)
    if (typeof mask === "string" || mask === 0 || (mask & ~basicMask) !== 0) {
      return toResponse(googleError("invalid_scope", { text: `Invalid device flow scope: ${scope}` }))
    }
    const [deviceCode, { interval, userCode }] = this.issue(app, scope, "")
    // Google spells the field so, unlike RFC 8628.
    const verification_url = new URL(request.url).origin + "/google/device"
    return Response.json({
      user_code: `${userCode.slice(0, 4)}-${userCode.slice(4)}`,
      device_code: deviceCode,
      verification_url,
      expires_in: lives.google,
      interval,
    })
  }

  /** Where the person enters the code, signs in and consents. */
  async page(request: Request, provider: Provider): Promise<Response> {
    const form = request.method === "POST" ? await readForm(request) : new Map<string, string>()
    const typed = form.get("user_code")
    const decision = form.get("decision")
    if (!typed && decision === "cancel") return endPage(provider, "Cancelled", "You can close this page.")
    if (typed === undefined) return devicePage(provider, "")
    const code = this.world.devices.typed(typed, this.world.now())
    if (code?.app.provider !== provider) {
      return devicePage(provider, typed, "That code didn’t work. Check the code and try again.")
    }
    if (decision === "cancel") {
      code.outcome = "declined"
      return endPage(provider, "Cancelled", "The app was not let in. You can close this page.")
    }
    const login = form.get("login")
    const rest = withoutAnswers(form).set("user_code", code.userCode)
    return login === undefined ? signInPage(provider, rest, "") : this.proceed(code, login, rest, decision)
  }

  private proceed(code: DeviceCode, login: string, rest: Map<string, string>, decision: string | undefined): Response {
    const { app } = code
    const { googleGrants, grants, population } = this.world
    const isGoogle = app.provider === "google"
    const index = population.indexOf(login.trim())
    const problem = isGoogle ? this.google.problemOf(index, app) : this.microsoft.problem(index, code.tenant)
    if (problem !== undefined) return signInPage(app.provider, rest, login, problem)
    const before = isGoogle ? googleGrants.consented(index, app) : grants.consented(index, app)
    const asked = isGoogle ? readGoogleScopes(code.scope) : readScopes(code.scope, before)
    const mask = typeof asked === "number" ? asked : 0
    if (decision !== "accept") {
      const names = isGoogle ? googleNamesOf(mask) : namesOf(mask)
      return consentPage(app.provider, login, rest.set("login", login), app.clientId, names)
    }
    if (isGoogle) googleGrants.consent(index, app, before | mask)
    code.outcome = { index, consent: isGoogle ? mask : before | mask }
    return endPage(app.provider, "You are signed in", "You can close this page and go back to your device.")
  }

  private issue(app: DeviceCode["app"], scope: string, tenant: string) {
    const now = this.world.now()
    return this.world.devices.issue({ app, scope, tenant, expiresAt: now + lives[app.provider] * 1000 }, now)
  }
}
