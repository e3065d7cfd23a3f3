/** The token endpoint (Microsoft identity platform, OAuth 2.0 authorization code flow: refresh the access token). */
import { aadsts, type AadstsDetails } from "./Aadsts.ts"
import { type Answer, retryAfter, toResponse, toWatchedResponse } from "./Answer.ts"
import type { Grant } from "./Grants.ts"
import { loopLength, loopWindow } from "./Limits.ts"
import { type App, personalTenant } from "./Population.ts"
import { guid } from "./Random.ts"
import { ask, type Asked, maskOf, namesOf, ofResource, type Refused } from "./Scopes.ts"
import { type ConnectionInfo, Exchange } from "./Wire.ts"
import type { World } from "./World.ts"

/** A tenant is one of three words, a GUID or a domain name. */
const tenants =
  /^(common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9-]+(\.[a-z0-9-]+)+)$/i

/** Most milliseconds by which a watched answer begins before its body is due, so that a broken connection shows. */
const lead = 20
/** Fewest milliseconds between its beginning and its body. */
const gap = 2

interface Call {
  readonly tenant: string
  readonly headers: Headers
  readonly form: URLSearchParams
  readonly now: number
  readonly exchange: Exchange
  readonly app: App | undefined
}

export class MicrosoftToken {
  /** Requests that were let in and are not answered yet. */
  private busy = 0
  private readonly asked = new Map<string, Asked | Refused>()

  constructor(private readonly world: World) {}

  async handle(request: Request, tenant: string, info: ConnectionInfo | undefined): Promise<Response> {
    const { counters, delay, now, settings } = this.world
    const start = performance.now()
    counters.token.enter()
    const exchange = new Exchange(this.world.wire, request, info)
    const admitted = this.busy < settings.tokenConcurrencyLimit
    if (admitted) this.busy++
    const form = await readForm(request)
    const app = this.world.population.app(form.get("client_id") ?? "")
    const answer = this.decide({ tenant, headers: request.headers, form, now: now(), exchange, app }, admitted)
    const leave = (isCut: boolean) => {
      if (admitted) this.busy--
      const wait = answer.headers["retry-after"]
      if (app !== undefined && wait !== undefined) this.world.pause(app.index).ask(now(), Number(wait) * 1000)
      exchange.close(now(), isCut)
      counters.token.leave(answer.status)
    }
    const { latency } = settings
    if (answer.manner === undefined && exchange.carriesToken && settings.watchDelivery) {
      const head = latency - Math.min(lead, latency / 2)
      if (head > 0) await delay.wait(start, head)
      const ready = async () => {
        await delay.wait(performance.now(), gap)
        if (performance.now() - start < latency) await delay.wait(start, latency)
      }
      return toWatchedResponse(answer, ready, (sent) => leave(!sent), () => exchange.lose(now()))
    }
    if (answer.manner === "hang") await delay.hang(request.signal, settings.hangLimit)
    else if (latency > 0) await delay.wait(start, latency)
    leave(answer.manner !== undefined)
    return toResponse(answer)
  }

  private decide(call: Call, admitted: boolean): Answer {
    const { app, form, headers, now } = call
    const { faults, grants, population, settings, violations } = this.world
    const token = form.get("refresh_token")
    const held = token === null ? undefined : grants.readRefreshToken(token)
    const email = held === undefined ? {} : { email: population.email(held.index) }
    const pause = app === undefined ? undefined : this.world.pause(app.index)
    if (app !== undefined && pause?.isBroken(now)) {
      const detail = `token endpoint, app ${app.clientId}`
      violations.add({ kind: "before-retry-after", at: now, detail, after: pause.age(now), ...email })
    }
    if (!admitted) {
      return {
        status: 429,
        headers: { "content-type": "text/plain", "retry-after": retryAfter(settings.retryAfter) },
        body: "Too many requests",
      }
    }
    if (headers.has("origin") && presentsCredentials(call)) {
      violations.add({ kind: "origin-with-credentials", at: now, ...email })
    }
    if (!form.get("scope")) violations.add({ kind: "missing-scope", at: now, ...email })

    const grant = held === undefined ? undefined : grants.get(held.index)
    const fault = faults.next("token", held?.index, grant === undefined ? 0 : ++grant.attempts, now)
    if (fault !== undefined && fault !== "lost") return fault
    const refusal = this.checkClient(call)
    if (refusal !== undefined) return refusal
    const answer = form.get("grant_type") === "client_credentials"
      ? this.clientCredentials(call)
      : held === undefined || grant === undefined
      ? aadsts(9002313, now)
      : this.redeem(call, held, grant)
    return fault === "lost" ? { ...answer, status: -1, manner: "reset" } : answer
  }

  /** Tenant, required fields, app registration and client credentials, in the order in which Entra looks at them. */
  private checkClient(call: Call): Answer | undefined {
    const { app, form, now } = call
    if (!tenants.test(call.tenant)) return aadsts(900023, now, { detail: call.tenant })
    const grantType = form.get("grant_type")
    const required = ["grant_type", "client_id", ...(grantType === "refresh_token" ? ["refresh_token"] : [])]
    const missing = required.find((name) => !form.get(name))
    if (missing !== undefined) return aadsts(900144, now, { detail: `Parameter: '${missing}'.` })
    if (grantType !== "refresh_token" && grantType !== "client_credentials") return aadsts(70003, now)
    if (app === undefined) return aadsts(700016, now, { detail: `Identifier: '${form.get("client_id")}'.` })
    if (app.fault !== undefined) return aadsts(app.fault, now)
    const presented = presentsCredentials(call)
    if (presented && call.headers.has("origin")) return aadsts(9002326, now)
    if (app.secret === undefined) {
      if (!presented) return grantType === "client_credentials" ? aadsts(7000218, now) : undefined
      this.world.violations.add({ kind: "secret-from-public-client", at: now })
      return aadsts(700025, now)
    }
    if (!presented) return aadsts(7000218, now)
    const assertion = form.get("client_assertion")
    if (assertion !== null) return assertion.split(".").length === 3 ? undefined : aadsts(700027, now)
    return (form.get("client_secret") ?? basicSecret(call)) === app.secret ? undefined : aadsts(7000215, now)
  }

  private clientCredentials(call: Call): Answer {
    const { app, form, now } = call
    const scope = form.get("scope") ?? ""
    if (app === undefined || !scope.endsWith("/.default")) return aadsts(70011, now, { detail: scope })
    const all = maskOf(this.world.settings.consented)
    const asked = this.ask(scope, all)
    if ("code" in asked) return aadsts(asked.code, now, { detail: asked.detail })
    const expiresIn = 3599
    return this.success({
      ...this.bearer(expiresIn),
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

  private redeem(call: Call, held: { index: number; family: number; generation: number }, grant: Grant): Answer {
    const { app, exchange, form, now } = call
    const { counters, grants, population, settings, violations } = this.world
    const { index } = held
    const email = population.email(index)
    if (app === undefined || population.appOf(index) !== app) return aadsts(70000, now, { suberror: "client_mismatch" })
    const scope = form.get("scope")
    if (this.isLoop(grant, `${held.family} ${held.generation} ${scope}`, now)) {
      violations.add({ kind: "request-loop", at: now, email })
      if (settings.limits === "documented") return aadsts(50196, now)
    }
    if (held.family !== grant.family) return aadsts(50173, now)
    // A restarted simulator has forgotten how far it had got; the seal says that the token is its own.
    if (held.generation > grant.generation) grant.generation = held.generation
    const reused = held.generation < grant.generation
    if (reused) {
      const detail = `generation ${held.generation} of ${grant.generation}, newest answer ${grant.delivery}`
      violations.add({ kind: "reused-refresh-token", at: now, email, detail })
    }
    if (held.generation > grant.presented) grant.presented = held.generation
    if (grant.revoked !== undefined) return aadsts(grant.revoked, now)
    if (reused && settings.mode === "strict") {
      grant.revoked = 70000
      grant.reused = true
      return aadsts(70000, now, { suberror: "bad_token" })
    }
    if (grant.lock !== undefined) return aadsts(grant.lock, now, lockDetails(grant.lock))

    const consented = grant.consent ?? maskOf(settings.consented)
    const asked = this.ask(scope, consented)
    if ("code" in asked) {
      if (asked.code === 28000) violations.add({ kind: "mixed-resources", at: now, email, detail: asked.detail })
      return aadsts(asked.code, now, { detail: asked.detail })
    }
    if ((asked.mask & ~consented) !== 0) return this.notConsented(index, now)

    const expiresIn = Math.floor(grants.lifetime(index, grant.generation) / 1000)
    const accessToken = grants.accessToken({
      index,
      app: app.index,
      resource: asked.resource,
      issuedAt: now,
      expiresAt: now + grants.lifetime(index, grant.generation),
      mask: asked.mask,
    })
    counters.redemptions++
    if (asked.offline) {
      grant.generation++
      exchange.issued(grant, index, now)
    }
    return this.success({
      ...this.bearer(expiresIn),
      scope: this.scopeText(index, asked, consented),
      access_token: accessToken,
      ...(asked.offline ? { refresh_token: grants.refreshToken(index, grant.family, grant.generation) } : {}),
      ...(asked.openid ? { id_token: this.idToken(index, app, now) } : {}),
      client_info: "eyJ2ZXIiOiIxLjAifQ",
    })
  }

  private isLoop(grant: Grant, request: string, now: number): boolean {
    if (grant.lastRequest !== request || now - grant.identicalSince >= loopWindow) {
      grant.lastRequest = request
      grant.identical = 0
      grant.identicalSince = now
    }
    return ++grant.identical >= loopLength
  }

  private ask(scope: string | null, consented: number): Asked | Refused {
    const key = `${consented} ${scope ?? ""}`
    let asked = this.asked.get(key)
    if (asked === undefined) {
      asked = ask(scope, consented)
      if (this.asked.size < 1000) this.asked.set(key, asked)
    }
    return asked
  }

  /** Work accounts say it with a code of their own; personal ones with one of the meanings of 70000. */
  private notConsented(index: number, now: number): Answer {
    if (!this.world.population.isPersonal(index)) return aadsts(65001, now)
    return aadsts(70000, now, {
      text: "The request was denied because one or more scopes requested are unauthorized or expired. The user must " +
        "first sign in and grant the client application access to the requested scope.",
    })
  }

  /** Returned scopes differ in form between work and personal accounts; work ones list all that is consented. */
  private scopeText(index: number, asked: Asked, consented: number): string {
    if (this.world.population.isPersonal(index)) return namesOf(asked.mask).reverse().join(" ")
    const names = namesOf(ofResource(consented, asked.resource))
    const short = asked.resource === "graph" ? names.map((name) => name.slice(name.lastIndexOf("/") + 1)) : names
    return ["profile", "openid", "email", ...short].join(" ")
  }

  private bearer(expiresIn: number) {
    const seconds = this.world.settings.expiresIn === "string" ? String(expiresIn) : expiresIn
    return { token_type: "Bearer", expires_in: seconds, ext_expires_in: seconds }
  }

  private success(body: Record<string, string | number>): Answer {
    return {
      status: 200,
      headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store, no-cache" },
      body: JSON.stringify(body),
    }
  }

  private idToken(index: number, app: App, now: number): string {
    const { population, settings } = this.world
    const tid = population.isPersonal(index) ? personalTenant : guid(settings.seed, 0x7e4)
    const part = (value: unknown) => btoa(JSON.stringify(value)).replaceAll("=", "")
    const email = population.email(index)
    const seconds = Math.floor(now / 1000)
    return `${part({ typ: "JWT", alg: "RS256", kid: "simulated" })}.${
      part({ aud: app.clientId, tid, email, preferred_username: email, iat: seconds, exp: seconds + 3600, ver: "2.0" })
    }.c2ltdWxhdGVk`
  }
}

/** Anything but a form reads as an empty one; so does a body that broke off. */
const readForm = async (request: Request): Promise<URLSearchParams> => {
  const body = await request.text().catch(() => "")
  const type = request.headers.get("content-type") ?? ""
  return new URLSearchParams(type.startsWith("application/x-www-form-urlencoded") ? body : "")
}

const presentsCredentials = ({ form, headers }: Call): boolean =>
  form.has("client_secret") || form.has("client_assertion") ||
  headers.get("authorization")?.startsWith("Basic ") === true

/** The secret of an HTTP Basic header; both halves are form-encoded first (RFC 6749 §2.3.1). */
const basicSecret = ({ headers }: Call): string | undefined => {
  const value = headers.get("authorization")?.slice(6) ?? ""
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value) || value.length % 4 !== 0) return undefined
  const secret = new URLSearchParams(`secret=${atob(value).split(":")[1] ?? ""}`)
  return secret.get("secret") ?? undefined
}

/** 70000 as a lock is the abuse lock of personal accounts. */
const lockDetails = (code: number): AadstsDetails =>
  code === 70000 ? { text: "User account is found to be in service abuse mode." } : {}
