/** What the token endpoints have in common: who is let in, what befalls an answer, and how it goes out. */
import { type Answer, toResponse } from "./Answer.ts"
import { Capacity } from "./Capacity.ts"
import type { Counter } from "./Counters.ts"
import { befall, type Endpoint, faultAnswer } from "./FaultAnswers.ts"
import { readForm } from "./Form.ts"
import type { Grant } from "./Grants.ts"
import { type Fate, unhurried, watched } from "./Pieces.ts"
import type { App } from "./Population.ts"
import { waitOf } from "./RetryAfter.ts"
import { type ConnectionInfo, Exchange } from "./Wire.ts"
import type { World } from "./World.ts"

/** Most milliseconds by which a watched answer begins before its body is due, so that a broken connection shows. */
const lead = 20
/** Fewest milliseconds between its beginning and its body. */
const gap = 2

/** A refresh token that was issued here. */
export interface Held {
  readonly index: number
  readonly family: number
  readonly generation: number
  readonly grant: Grant
}

/** One token request. */
export interface Call {
  readonly tenant: string
  readonly url: string
  readonly headers: Headers
  readonly form: ReadonlyMap<string, string>
  /** Arrival, epoch milliseconds. */
  readonly now: number
  /** The same on the provider's own clock. */
  readonly shown: number
  readonly exchange: Exchange
  /** The app of that `client_id`, at whichever provider. */
  readonly app: App | undefined
  /** Whom the refresh token is for, if it was issued here. */
  readonly held: Held | undefined
}

/** How one provider answers. */
export interface Authority {
  /** Notes what the client did wrong, whatever befalls the request. */
  readonly inspect: (call: Call) => void
  readonly decide: (call: Call) => Answer
}

export class TokenEndpoint {
  private readonly capacity: Capacity

  constructor(
    private readonly world: World,
    private readonly endpoint: Endpoint,
    private readonly counter: Counter,
    private readonly authority: Authority,
  ) {
    this.capacity = new Capacity(world.settings)
  }

  /** @param tenant as the path names it; empty where paths have none */
  async handle(request: Request, tenant: string, info: ConnectionInfo | undefined): Promise<Response> {
    const { delay, now, settings } = this.world
    const start = performance.now()
    this.counter.enter()
    const admitted = this.capacity.enter(now())
    const form = await readForm(request)
    const call = this.read(request, tenant, form, new Exchange(this.world.wire, info))
    this.count(call)
    const answer = this.dated(this.answer(call, admitted))
    const { exchange } = call
    const leave = (isCut: boolean) => {
      const left = now()
      if (admitted) this.capacity.leave()
      const wait = waitOf(settings, answer.headers, left)
      if (call.app !== undefined && wait !== undefined) this.world.pause(call.app.index).ask(left, wait)
      exchange.close(left, isCut)
      this.counter.leave(answer.status, left)
    }
    const fate: Fate = { settle: (sent) => leave(!sent), lost: () => exchange.lose(now()) }
    const latency = admitted || settings.throttleDelay === "latency" ? settings.latency : settings.throttleDelay
    const isWatched = answer.manner === undefined && exchange.carriesToken && settings.watchDelivery
    // Hot path: an answer that leaves at once needs no timer, and nobody to look out for a client that goes away.
    if (latency > 0 || isWatched || answer.manner !== undefined) exchange.watch(request.signal)

    if (isWatched) {
      const head = latency - Math.min(lead, latency / 2)
      if (head > 0) await delay.wait(start, head)
      const ready = async () => {
        await delay.wait(performance.now(), gap)
        if (performance.now() - start < latency) await delay.wait(start, latency)
      }
      return watched(answer, ready, fate)
    }
    if (answer.manner === "hang") await delay.hang(request.signal, settings.hangLimit)
    else if (latency > 0) await delay.wait(start, latency)
    if (answer.manner === "slow" || answer.manner === "drip") return unhurried(answer, delay, settings.hangLimit, fate)
    leave(answer.manner !== undefined)
    return toResponse(answer)
  }

  private count({ app, form }: Call): void {
    const client = app?.clientId ?? this.world.serviceAccounts.issuerOf(form.get("assertion") ?? "")
    if (client !== undefined) this.world.counters.asked(client, grantTypes.get(form.get("grant_type") ?? "") ?? "other")
  }

  private read(request: Request, tenant: string, form: ReadonlyMap<string, string>, exchange: Exchange): Call {
    const { grants, population, settings } = this.world
    const now = this.world.now()
    const token = form.get("refresh_token")
    const held = token === undefined ? undefined : grants.readRefreshToken(token)
    return {
      tenant,
      url: request.url,
      headers: request.headers,
      form,
      now,
      shown: now + settings.clockSkew,
      exchange,
      app: population.app(form.get("client_id") ?? ""),
      held: held === undefined ? undefined : { ...held, grant: grants.get(held.index) },
    }
  }

  private answer(call: Call, admitted: boolean): Answer {
    const { app, held, now } = call
    const { faults, settings } = this.world
    if (app !== undefined) this.checkPause(app, call)
    const refused = admitted ? undefined : faultAnswer(settings, this.endpoint, "throttled", now)
    if (typeof refused === "object") return refused
    this.authority.inspect(call)
    const fault = faults.next(this.endpoint, held?.index, held === undefined ? 0 : ++held.grant.attempts, now)
    return typeof fault === "object" ? fault : befall(this.authority.decide(call), fault)
  }

  private checkPause(app: App, { held, now }: Call): void {
    const pause = this.world.pause(app.index)
    if (!pause.isBroken(now)) return
    this.world.violations.add({
      kind: "before-retry-after",
      at: now,
      detail: `token endpoint, app ${app.clientId}`,
      after: pause.age(now),
      ...(held === undefined ? {} : { email: this.world.population.email(held.index) }),
    })
  }

  private dated(answer: Answer): Answer {
    const { clockSkew } = this.world.settings
    if (clockSkew === 0) return answer
    return { ...answer, headers: { ...answer.headers, date: new Date(this.world.now() + clockSkew).toUTCString() } }
  }
}

/** Grant types by the names that counters give them. */
const grantTypes = new Map([
  ["refresh_token", "refresh_token"],
  ["authorization_code", "authorization_code"],
  ["client_credentials", "client_credentials"],
  ["urn:ietf:params:oauth:grant-type:device_code", "device_code"],
  ["urn:ietf:params:oauth:grant-type:jwt-bearer", "jwt-bearer"],
])

const basic = /^[A-Za-z0-9+/]+={0,2}$/

/** The secret of an HTTP Basic header; both halves are form-encoded first (RFC 6749 §2.3.1). */
export const basicSecret = (headers: Headers): string | undefined => {
  const value = headers.get("authorization")?.slice(6) ?? ""
  if (!basic.test(value) || value.length % 4 !== 0) return undefined
  const secret = new URLSearchParams(`secret=${atob(value).split(":")[1] ?? ""}`)
  return secret.get("secret") ?? undefined
}
