/** Microsoft's token endpoint (Microsoft identity platform, OAuth 2.0 authorization code flow: refresh the access token). */
import { aadsts, type AadstsDetails } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { loopLength, loopWindow } from "./Limits.ts"
import { challengeOf, type Code, codeLifetime } from "./Codes.ts"
import { checkClient, deviceGrant, presentsCredentials } from "./MicrosoftClients.ts"
import { appOnly, type Grant } from "./Grants.ts"
import { type App, personalTenant } from "./Population.ts"
import { userId } from "./Ids.ts"
import { type Reason, refusal } from "./Refusals.ts"
import { ask, type Asked, maskOf, namesOf, ofResource, type Refused } from "./Scopes.ts"
import { type Authority, type Call, type Held } from "./TokenEndpoint.ts"
import type { World } from "./World.ts"

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
    const refused = checkClient(this.world, call)
    if (refused !== undefined) return refused
    if (call.form.get("grant_type") === "client_credentials") return this.clientCredentials(call)
    if (call.form.get("grant_type") === "authorization_code") return this.redeemCode(call)
    if (call.form.get("grant_type") === deviceGrant) return this.redeemDevice(call)
    return call.held === undefined ? aadsts(9002313, call.shown) : this.redeem(call, call.held)
  }

  private clientCredentials(call: Call): Answer {
    const { app, form, now, shown } = call
    const scope = form.get("scope") ?? ""
    if (app === undefined || !scope.endsWith("/.default")) return aadsts(70011, shown, { detail: scope })
    const all = maskOf(this.world.settings.consented)
    const { population } = this.world
    // No administrator speaks for all tenants or for personal accounts. Which code says so is a guess.
    if (severalTenants.has(call.tenant)) return aadsts(50194, shown, { detail: `Tenant: '${call.tenant}'.` })
    const tenant = population.tenantNumber(call.tenant)
    // In a tenant that no administrator let it into, an app is unknown.
    const names = [call.tenant, population.workTenants[tenant] ?? ""]
    if (app.consentedTenants?.some((one) => names.includes(one)) === false) return aadsts(700016, shown)
    if (tenant < 0) return aadsts(90002, shown, { detail: `Tenant: '${call.tenant}'.` })
    const asked = this.ask(scope, all)
    if ("code" in asked) return aadsts(asked.code, shown, { detail: asked.detail })
    const expiresIn = 3599
    return this.success(expiresIn, {
      access_token: this.world.grants.accessToken({
        index: appOnly(tenant),
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
    const over = this.endOf(app, grant, now)
    if (over !== undefined) return aadsts(over, shown)

    if ("code" in asked) {
      const { code, detail } = asked
      if (code === 28000) violations.add({ kind: "mixed-resources", at: now, email: population.email(index), detail })
      return aadsts(code, shown, { detail })
    }
    if ((asked.mask & ~consented) !== 0) return this.notConsented(index, shown)

    if (asked.offline) grant.generation++
    grant.usedAt = now
    return this.issue(call, app, held, asked, consented)
  }

  /** The code of a refresh token that has come to its end: of one for a page 24 hours after the sign-in, or unused. */
  private endOf(app: App, { signedInAt = this.world.startedAt, usedAt = signedInAt }: Grant, now: number) {
    if (app.isSpa && now - signedInAt >= spaLife) return 700084
    return now - usedAt >= idleLife ? 700082 : undefined
  }

  private redeemCode(call: Call): Answer {
    const { app, form, now, shown } = call
    const code = this.world.codes.get(form.get("code") ?? "")
    if (code === undefined || app === undefined) return aadsts(9002313, shown)
    if (code.app !== app) return aadsts(70000, shown, { suberror: "client_mismatch" })
    if (code.isRedeemed) return aadsts(54005, shown)
    if (now - code.issuedAt >= codeLifetime) return aadsts(70008, shown)
    if (form.get("redirect_uri") !== code.redirectUri) return aadsts(500112, shown)
    if (code.challenge !== undefined && code.challenge !== challengeOf(form.get("code_verifier") ?? "")) {
      return aadsts(501481, shown)
    }
    return this.grantTo(call, app, code, () => code.isRedeemed = true)
  }

  private redeemDevice(call: Call): Answer {
    const { app, form, now, shown } = call
    const polled = app === undefined ? undefined : this.world.devices.poll(form.get("device_code") ?? "", app, now)
    if (polled === undefined || app === undefined) return aadsts(70018, shown)
    if (polled === "pending") return aadsts(70016, shown)
    // Microsoft documents neither this error's number nor, in these words, slow_down.
    if (polled === "too-soon") return aadsts(70016, shown, { error: "slow_down", text: "You are polling too quickly." })
    if (polled === "declined") return aadsts(65004, shown, { error: "authorization_declined" })
    if (polled === "expired") return aadsts(70019, shown)
    const offline = polled.scope.split(" ").includes("offline_access")
    return this.grantTo(call, app, { ...polled, offline, nonce: undefined }, polled.redeem)
  }

  /** Tokens for somebody who signed in just now. */
  private grantTo(
    call: Call,
    app: App,
    signedIn: Pick<Code, "consent" | "index" | "nonce" | "offline" | "scope">,
    spend: () => void,
  ): Answer {
    const { form, shown } = call
    const { grants } = this.world
    const { consent, index, nonce, offline, scope } = signedIn
    const asked = this.ask(form.get("scope") || scope, consent)
    if ("code" in asked) return aadsts(asked.code, shown, { detail: asked.detail })
    if ((asked.mask & ~consent) !== 0) return this.notConsented(index, shown)
    const { lock } = grants.get(index)
    if (lock !== undefined) return refusal(lock, shown, lockDetails(lock))
    spend()
    const grant = offline ? grants.signIn(index, app, consent) : grants.get(index)
    const granted = { ...asked, offline, openid: scope.split(" ").includes("openid") }
    return this.issue(call, app, { index, grant }, granted, consent, nonce)
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

const day = 86_400_000
/** Both of Microsoft identity platform, refresh tokens. Old tokens are not revoked: the newest use of any counts. */
const spaLife = day
const idleLife = 90 * day

const severalTenants = new Set(["common", "organizations", "consumers", personalTenant])

/** 70000 as a lock is the abuse lock of personal accounts. */
const lockDetails = (lock: Reason): AadstsDetails =>
  lock === 70000 ? { text: "User account is found to be in service abuse mode." } : {}
