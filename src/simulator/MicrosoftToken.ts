/** Microsoft's token endpoint (Microsoft identity platform, OAuth 2.0 authorization code flow: refresh the access token). */
import { createHash } from "node:crypto"
import { aadsts, type AadstsDetails } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { loopLength, loopWindow } from "./Limits.ts"
import { codeLifetime } from "./Codes.ts"
import type { App } from "./Population.ts"
import { userId } from "./Ids.ts"
import { type Reason, refusal } from "./Refusals.ts"
import { ask, type Asked, maskOf, namesOf, ofResource, type Refused } from "./Scopes.ts"
import { type Authority, basicSecret, type Call, type Held } from "./TokenEndpoint.ts"
import type { World } from "./World.ts"

/** A tenant is one of three words, a GUID or a domain name. */
export const tenants =
  /^(common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9-]+(\.[a-z0-9-]+)+)$/i

export class MicrosoftToken implements Authority {
  private readonly asked = new Map<string, Asked | Refused>()
  /** Returned scopes of work and personal accounts, by what was consented to and asked. */
  private readonly scopeTexts = new Map<string, string>()

  constructor(private readonly world: World) {}

  inspect({ form, headers, held, now }: Call): void {
    const { population, violations } = this.world
    const email = held === undefined ? {} : { email: population.email(held.index) }
    if (headers.has("origin") && presentsCredentials(form, headers)) {
      violations.add({ kind: "origin-with-credentials", at: now, ...email })
    }
    if (!form.get("scope")) violations.add({ kind: "missing-scope", at: now, ...email })
  }

  decide(call: Call): Answer {
    const refused = this.checkClient(call)
    if (refused !== undefined) return refused
    if (call.form.get("grant_type") === "client_credentials") return this.clientCredentials(call)
    if (call.form.get("grant_type") === "authorization_code") return this.redeemCode(call)
    return call.held === undefined ? aadsts(9002313, call.shown) : this.redeem(call, call.held)
  }

  /** Tenant, required fields, app registration and client credentials, in the order in which Entra looks at them. */
  private checkClient(call: Call): Answer | undefined {
    const { app, form, headers, now, shown } = call
    const isKnown = call.tenant === "common" || tenants.test(call.tenant)
    if (!isKnown) return aadsts(900023, shown, { detail: call.tenant })
    const grantType = form.get("grant_type")
    const missing = (requiredFields.get(grantType ?? "") ?? requestFields).find((name) => !form.get(name))
    if (missing !== undefined) return aadsts(900144, shown, { detail: `Parameter: '${missing}'.` })
    if (grantType === undefined || !requiredFields.has(grantType)) return aadsts(70003, shown)
    if (app?.provider !== "microsoft") {
      return aadsts(700016, shown, { detail: `Identifier: '${form.get("client_id")}'.` })
    }
    if (app.fault !== undefined) return refusal(app.fault, shown)
    if (app.tenant !== undefined && app.tenant !== call.tenant) return aadsts(50194, shown)
    const presented = presentsCredentials(form, headers)
    if (presented && headers.has("origin")) return aadsts(9002326, shown)
    if (app.secret === undefined && app.certificates.length === 0) {
      if (!presented) return grantType === "client_credentials" ? aadsts(7000218, shown) : undefined
      this.world.violations.add({ kind: "secret-from-public-client", at: now })
      return aadsts(700025, shown)
    }
    if (!presented) return aadsts(7000218, shown)
    const assertion = form.get("client_assertion")
    if (assertion !== undefined) {
      if (form.get("client_assertion_type") !== assertionType) return aadsts(50027, shown)
      const wrong = this.world.assertions.check(app, assertion, call.url.replace(/\?.*$/, ""), now)
      return wrong === undefined ? undefined : aadsts(wrong, shown)
    }
    return app.secret !== undefined && (form.get("client_secret") ?? basicSecret(headers)) === app.secret
      ? undefined
      : aadsts(7000215, shown)
  }

  private clientCredentials(call: Call): Answer {
    const { app, form, now, shown } = call
    const scope = form.get("scope") ?? ""
    if (app === undefined || !scope.endsWith("/.default")) return aadsts(70011, shown, { detail: scope })
    const all = maskOf(this.world.settings.consented)
    // In a tenant that no administrator let it into, an app is unknown.
    if (app.consentedTenants?.includes(call.tenant) === false) return aadsts(700016, shown)
    const asked = this.ask(scope, all)
    if ("code" in asked) return aadsts(asked.code, shown, { detail: asked.detail })
    const expiresIn = 3599
    return this.success(expiresIn, {
      access_token: this.world.grants.accessToken({
        index: -1,
        app: app.index,
        resource: asked.resource,
        issuedAt: now,
        expiresAt: now + expiresIn * 1000,
        mask: asked.mask,
      }),
    })
  }

  private redeem(call: Call, held: Held): Answer {
    const { app, form, now, shown } = call
    const { grants, population, settings, violations } = this.world
    const { grant, index } = held
    if (app === undefined || grants.appOf(index) !== app) {
      return aadsts(70000, shown, { suberror: "client_mismatch" })
    }
    const consented = grant.consent ?? maskOf(settings.consented)
    const asked = this.ask(form.get("scope"), consented)
    if (this.isLoop(held, asked, now)) {
      violations.add({ kind: "request-loop", at: now, email: population.email(index) })
      if (settings.limits === "documented") return aadsts(50196, shown)
    }
    if (held.family !== grant.family) return aadsts(50173, shown)
    // A restarted simulator has forgotten how far it had got; the seal says that the token is its own.
    if (held.generation > grant.generation) grant.generation = held.generation
    const reused = held.generation < grant.generation
    if (reused) {
      const detail = `generation ${held.generation} of ${grant.generation}, newest answer ${grant.delivery}`
      violations.add({ kind: "reused-refresh-token", at: now, email: population.email(index), detail })
    }
    if (held.generation > grant.presented) grant.presented = held.generation
    if (grant.revoked !== undefined) return refusal(grant.revoked, shown)
    if (reused && settings.mode === "strict") {
      grant.revoked = 70000
      grant.reused = true
      return aadsts(70000, shown, { suberror: "bad_token" })
    }
    if (grant.lock !== undefined) return refusal(grant.lock, shown, lockDetails(grant.lock))

    if ("code" in asked) {
      const { code, detail } = asked
      if (code === 28000) violations.add({ kind: "mixed-resources", at: now, email: population.email(index), detail })
      return aadsts(code, shown, { detail })
    }
    if ((asked.mask & ~consented) !== 0) return this.notConsented(index, shown)

    if (asked.offline) grant.generation++
    return this.issue(call, app, held, asked, consented)
  }

  private redeemCode(call: Call): Answer {
    const { app, form, now, shown } = call
    const { codes, grants } = this.world
    const code = codes.get(form.get("code") ?? "")
    if (code === undefined || app === undefined) return aadsts(9002313, shown)
    if (code.app !== app) return aadsts(70000, shown, { suberror: "client_mismatch" })
    if (code.isRedeemed) return aadsts(54005, shown)
    if (now - code.issuedAt >= codeLifetime) return aadsts(70008, shown)
    if (form.get("redirect_uri") !== code.redirectUri) return aadsts(500112, shown)
    if (code.challenge !== undefined && code.challenge !== challengeOf(form.get("code_verifier") ?? "")) {
      return aadsts(501481, shown)
    }
    const asked = this.ask(form.get("scope") || code.scope, code.consent)
    if ("code" in asked) return aadsts(asked.code, shown, { detail: asked.detail })
    if ((asked.mask & ~code.consent) !== 0) return this.notConsented(code.index, shown)
    const { lock } = grants.get(code.index)
    if (lock !== undefined) return refusal(lock, shown, lockDetails(lock))
    code.isRedeemed = true
    const wanted = new Set(code.scope.split(" "))
    const offline = wanted.has("offline_access")
    const grant = offline ? grants.signIn(code.index, app, code.consent) : grants.get(code.index)
    const granted = { ...asked, offline, openid: wanted.has("openid") }
    return this.issue(call, app, { index: code.index, grant }, granted, code.consent, code.nonce)
  }

  private issue(
    call: Call,
    app: App,
    { grant, index }: Pick<Held, "grant" | "index">,
    asked: Asked,
    consented: number,
    nonce?: string,
  ): Answer {
    const { exchange, now } = call
    const { counters, grants, population } = this.world
    const lifetime = grants.lifetime(index, grant.generation)
    const accessToken = grants.accessToken({
      index,
      app: app.index,
      resource: asked.resource,
      issuedAt: now,
      expiresAt: now + lifetime,
      mask: asked.mask,
    })
    counters.redemptions++
    if (asked.offline) exchange.issued(grant, index, now)
    return this.success(Math.floor(lifetime / 1000), {
      scope: this.scopeText(population.isPersonal(index), asked, consented),
      access_token: accessToken,
      refresh_token: asked.offline ? grants.refreshToken(index, grant.family, grant.generation) : undefined,
      id_token: asked.openid ? this.idToken(call, index, app, nonce) : undefined,
      client_info: "eyJ2ZXIiOiIxLjAifQ",
    })
  }

  private isLoop({ family, generation, grant }: Held, asked: Asked | Refused, now: number): boolean {
    const isSame = grant.lastFamily === family && grant.lastGeneration === generation && grant.lastAsked === asked
    if (!isSame || now - grant.identicalSince >= loopWindow) {
      grant.lastFamily = family
      grant.lastGeneration = generation
      grant.lastAsked = asked
      grant.identical = 0
      grant.identicalSince = now
    }
    return ++grant.identical >= loopLength
  }

  private ask(scope: string | undefined, consented: number): Asked | Refused {
    const key = `${consented} ${scope ?? ""}`
    let asked = this.asked.get(key)
    if (asked === undefined) {
      asked = ask(scope ?? null, consented)
      if (this.asked.size < 1000) this.asked.set(key, asked)
    }
    return asked
  }

  /** Work accounts say it with a code of their own; personal ones with one of the meanings of 70000. */
  private notConsented(index: number, shown: number): Answer {
    if (!this.world.population.isPersonal(index)) return aadsts(65001, shown)
    return aadsts(70000, shown, {
      text: "The request was denied because one or more scopes requested are unauthorized or expired. The user must " +
        "first sign in and grant the client application access to the requested scope.",
    })
  }

  /** Returned scopes differ in form between work and personal accounts; work ones list all that is consented. */
  private scopeText(isPersonal: boolean, { mask, resource }: Asked, consented: number): string {
    const key = `${isPersonal} ${resource} ${mask} ${consented}`
    let text = this.scopeTexts.get(key)
    if (text === undefined) {
      const names = namesOf(ofResource(consented, resource))
      const short = resource === "graph" ? names.map((name) => name.slice(name.lastIndexOf("/") + 1)) : names
      text = isPersonal ? namesOf(mask).reverse().join(" ") : ["profile", "openid", "email", ...short].join(" ")
      if (this.scopeTexts.size < 1000) this.scopeTexts.set(key, text)
    }
    return text
  }

  /** @param fields `undefined` ones are left out */
  private success(expiresIn: number, fields: Readonly<Record<string, string | undefined>>): Answer {
    const form = this.world.settings.expiresIn
    const seconds = form === "absent" ? undefined : form === "string" ? `${expiresIn}` : expiresIn
    return {
      status: 200,
      headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store, no-cache" },
      body: JSON.stringify({ token_type: "Bearer", expires_in: seconds, ext_expires_in: seconds, ...fields }),
    }
  }

  private idToken({ shown, url }: Call, index: number, app: App, nonce: string | undefined): string {
    const { grants, population, signingKey } = this.world
    const tid = population.tenantOf(index)
    const email = population.email(index)
    const seconds = Math.floor(shown / 1000)
    return signingKey.sign({
      iss: `${new URL(url).origin}/${tid}/v2.0`,
      aud: app.clientId,
      sub: grants.subject(index, app.index),
      oid: userId(index),
      tid,
      email,
      preferred_username: email,
      nonce,
      iat: seconds,
      nbf: seconds,
      exp: seconds + 3600,
      ver: "2.0",
    })
  }
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const requestFields = ["grant_type", "client_id"]
/** The grant types that there are, and what each must come with. */
const requiredFields: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["refresh_token", [...requestFields, "refresh_token"]],
  ["authorization_code", [...requestFields, "code", "redirect_uri"]],
  ["client_credentials", requestFields],
])

/** S256 of RFC 7636 §4.2. */
const challengeOf = (verifier: string): string => createHash("sha256").update(verifier).digest("base64url")

const presentsCredentials = (form: Call["form"], headers: Headers): boolean =>
  form.has("client_secret") || form.has("client_assertion") ||
  headers.get("authorization")?.startsWith("Basic ") === true

/** 70000 as a lock is the abuse lock of personal accounts. */
const lockDetails = (lock: Reason): AadstsDetails =>
  lock === 70000 ? { text: "User account is found to be in service abuse mode." } : {}
