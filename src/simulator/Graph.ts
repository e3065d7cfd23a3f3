/** Microsoft Graph at the door: who asks, for which mailbox, and whether the limits allow it. */
import { type Answer, toResponse } from "./Answer.ts"
import { befall } from "./FaultAnswers.ts"
import { readBatch, runBatch } from "./GraphBatch.ts"
import { type GraphCall, type GraphRequest, readPath, readPrefer } from "./GraphCall.ts"
import { accessDenied, graphError, invalidToken } from "./GraphErrors.ts"
import { routeMail } from "./GraphMail.ts"
import { type AccessToken, tenantOfApp } from "./Grants.ts"
import { userList } from "./GraphUsers.ts"
import { mailboxConcurrency, type MailboxUse } from "./Limits.ts"
import { unhurried } from "./Pieces.ts"
import { retryAfter, waitOf } from "./RetryAfter.ts"
import { graphRead, graphWrite, profileRead, sharedRead, sharedWrite } from "./Scopes.ts"
import type { World } from "./World.ts"

/** What was decided about a request, and how long it occupies which mailbox. */
interface Decision {
  readonly answer: Answer
  readonly use: MailboxUse | undefined
  readonly slots: number
}

export class Graph {
  private subscriptionRequests = 0

  constructor(private readonly world: World) {}

  /** @param target path and query after `/v1.0` */
  async handle(request: Request, origin: string, target: string): Promise<Response> {
    const { counters, delay, now, settings } = this.world
    const start = performance.now()
    counters.graph.enter()
    let decision: Decision = { answer: { status: 400, headers: {}, body: "" }, use: undefined, slots: 0 }
    try {
      const body = request.method === "GET" || request.method === "DELETE" ? undefined : await readJson(request)
      const base = `${origin}/v1.0`
      decision = target.startsWith("/$batch")
        ? this.batch(request, base, body)
        : target.startsWith("/subscriptions")
        ? await this.subscription(request, base, target, body)
        : this.single(request, base, {
          method: request.method,
          url: target,
          prefer: request.headers.get("prefer"),
          body,
        })
      if (decision.answer.manner === "hang") await delay.hang(request.signal, settings.hangLimit)
      else if (settings.latency > 0) await delay.wait(start, settings.latency)
    } finally {
      decision.use?.leave(decision.slots)
      counters.graph.leave(decision.answer.status, now())
    }
    const { answer } = decision
    const wait = waitOf(settings, answer.headers, now())
    if (wait !== undefined) decision.use?.pause.ask(now(), wait)
    const clientRequestId = request.headers.get("client-request-id")
    if (clientRequestId !== null) answer.headers["client-request-id"] = clientRequestId
    if (settings.clockSkew !== 0) answer.headers["date"] = new Date(now() + settings.clockSkew).toUTCString()
    return answer.manner === "slow" || answer.manner === "drip"
      ? unhurried(answer, delay, settings.hangLimit, { settle: () => {}, lost: () => {} })
      : toResponse(answer)
  }

  private single(request: Request, base: string, asked: GraphRequest): Decision {
    const now = this.world.now()
    const token = this.authenticate(request, now)
    if ("status" in token) return { answer: token, use: undefined, slots: 0 }
    const call = this.resolve(token, base, asked, now)
    if ("status" in call) return { answer: call, use: undefined, slots: 0 }
    const use = this.world.uses.get(call.mailbox.index, token.app)
    use.enter(1)
    const refused = this.admit(use, call, now, use.inFlight > mailboxConcurrency)
    return { answer: refused ?? this.perform(use, call), use, slots: 1 }
  }

  /** Subscriptions are no part of a mailbox: its limits do not hold for them. */
  private async subscription(request: Request, base: string, target: string, body: unknown): Promise<Decision> {
    const { counters, faults, subscriptions } = this.world
    const now = this.world.now()
    const decided = (answer: Answer): Decision => ({ answer, use: undefined, slots: 0 })
    const token = this.authenticate(request, now)
    if ("status" in token) return decided(token)
    if ((token.mask & graphRead) === 0) return decided(accessDenied(now))
    const fault = faults.next("graph", token.index < 0 ? undefined : token.index, this.subscriptionRequests++, now)
    const path = (readPath(target.replace(/\?.*$/, "")) ?? []).slice(1)
    const answer = typeof fault === "object"
      ? fault
      : befall(await subscriptions.handle(token, base, request.method, path, body), fault)
    counters.answered(`${request.method} subscriptions${path.length === 0 ? "" : "/id"}`, answer.status)
    return decided(answer)
  }

  /** A batch takes up to 4 places of its mailbox; what finds none is throttled one by one. */
  private batch(request: Request, base: string, body: unknown): Decision {
    const { settings, uses, violations } = this.world
    const now = this.world.now()
    const token = this.authenticate(request, now)
    if ("status" in token) return { answer: token, use: undefined, slots: 0 }
    const parts = readBatch(body)
    if (typeof parts === "string") {
      if (parts === "too-large") violations.add({ kind: "batch-too-large", at: now })
      return {
        answer: graphError(400, "BadRequest", `Invalid batch payload: ${parts}.`, now),
        use: undefined,
        slots: 0,
      }
    }
    const use = uses.get(token.index, token.app)
    const slots = Math.min(mailboxConcurrency, parts.length)
    use.enter(slots)
    const free = mailboxConcurrency - (use.inFlight - slots)
    const answer = runBatch(parts, settings.seed, use.attempts, now, (part, position) => {
      const call = this.resolve(token, base, part, now)
      if ("status" in call) return call
      const own = call.mailbox.index !== token.index ? uses.get(call.mailbox.index, token.app) : use
      const throttled = this.admit(own, call, now, position % slots >= free)
      const wait = throttled === undefined ? undefined : waitOf(settings, throttled.headers, now)
      if (wait !== undefined) own.pause.ask(now + settings.latency, wait)
      return throttled ?? this.perform(own, call)
    })
    return { answer, use, slots }
  }

  /** OpenID Connect's userinfo endpoint, which is Graph's too. */
  userinfo(request: Request): Response {
    const { grants, now, population } = this.world
    const token = this.authenticate(request, now())
    if ("status" in token) return toResponse(token)
    if (token.index < 0) return toResponse(accessDenied(now()))
    const email = population.email(token.index)
    return Response.json({ sub: grants.subject(token.index, token.app), name: `Sim ${token.index + 1}`, email })
  }

  /** The token as the resource sees it: unknown, foreign, expired and withdrawn ones are all 401. */
  private authenticate(request: Request, now: number): AccessToken | Answer {
    const header = request.headers.get("authorization") ?? ""
    if (!header.startsWith("Bearer ")) return invalidToken(now, "Access token is empty.")
    const token = this.world.grants.readAccessToken(header.slice(7))
    if (token === undefined) return invalidToken(now, "CompactToken parsing failed.")
    if (token.resource !== "graph") return invalidToken(now, "Access token validation failure. Invalid audience.")
    if (token.expiresAt <= now) return invalidToken(now, "Lifetime validation failed, the token is expired.")
    if (token.index >= 0 && token.issuedAt < this.world.grants.get(token.index).accessNotBefore) {
      return invalidToken(now, "Continuous access evaluation resulted in challenge.")
    }
    return token
  }

  private resolve(token: AccessToken, base: string, asked: GraphRequest, now: number): GraphCall | Answer {
    const question = asked.url.indexOf("?")
    const path = question < 0 ? asked.url : asked.url.slice(0, question)
    const all = readPath(path)
    if (all === undefined) return graphError(400, "BadRequest", "The URL is malformed.", now)
    const [first = "", second = ""] = all
    const isMe = first.toLowerCase() === "me"
    if (!isMe && first.toLowerCase() !== "users") {
      return graphError(400, "BadRequest", `Resource not found for the segment '${first}'.`, now)
    }
    if (isMe && token.index < 0) {
      return graphError(400, "BadRequest", "/me request is only valid with delegated authentication flow.", now)
    }
    const query = new URLSearchParams(question < 0 ? "" : asked.url.slice(question + 1))
    if (!isMe && second === "") {
      return token.index < 0 ? userList(this.world, tenantOfApp(token.index), base, query) : accessDenied(now)
    }
    const index = isMe ? token.index : this.world.population.indexOf(second)
    const { population } = this.world
    const isElsewhere = token.index < 0 &&
      population.tenantOf(index) !== population.workTenants[tenantOfApp(token.index)]
    if (index < 0 || isElsewhere) {
      return graphError(404, "ErrorInvalidUser", `The requested user '${second}' is invalid.`, now)
    }
    const segments = all.slice(isMe ? 1 : 2)
    const mailbox = this.world.mailboxes.get(index)
    const isForeign = token.index >= 0 && index !== token.index
    const needed = isForeign ? sharedRead : segments.length === 0 ? profileRead : graphRead
    const isWithheld = isForeign && !mailbox.sharedWith.has(token.index)
    if ((token.mask & needed) === 0 || isWithheld) return accessDenied(now)
    return {
      mailbox,
      method: asked.method,
      segments,
      owner: isMe ? "me" : `users('${second}')`,
      query,
      prefer: readPrefer(asked.prefer),
      target: `/v1.0${asked.url}`,
      base,
      body: asked.body,
      mayWrite: (token.mask & (isForeign ? sharedWrite : graphWrite)) !== 0,
      now,
    }
  }

  /** Limits of the mailbox; they are recorded always, and enforced if the options say so. */
  private admit(use: MailboxUse, call: GraphCall, now: number, crowded: boolean): Answer | undefined {
    const { settings, violations } = this.world
    const { email } = call.mailbox
    use.attempts++
    if (use.pause.isBroken(now)) {
      const after = use.pause.age(now)
      violations.add({ kind: "before-retry-after", at: now, email, detail: "Graph mailbox", after })
    }
    const remaining = use.count(now)
    if (crowded) violations.add({ kind: "mailbox-concurrency", at: now, email, detail: `${use.inFlight} at once` })
    if (remaining !== undefined) violations.add({ kind: "mailbox-rate", at: now, email })
    if (settings.limits === "none" || (!crowded && remaining === undefined)) return undefined
    const message = `Application is over its ${crowded ? "MailboxConcurrency" : "request"} limit.`
    return graphError(429, "ApplicationThrottled", message, now, {
      "retry-after": retryAfter(settings, remaining ?? settings.retryAfter, now),
    })
  }

  private perform(use: MailboxUse, call: GraphCall): Answer {
    const { counters, faults } = this.world
    const fault = faults.next("graph", call.mailbox.index, use.attempts, call.now)
    if (typeof fault === "object") {
      counters.answered(`${call.method} fault`, fault.status)
      return fault
    }
    const { refusal } = call.mailbox
    const { answer, endpoint } = refusal === undefined ? routeMail(this.world, call) : {
      endpoint: "refused",
      answer: graphError(refusal.status, refusal.code, "The mailbox is not available.", call.now),
    }
    counters.answered(endpoint, answer.status)
    return befall(answer, fault)
  }
}

const readJson = (request: Request): Promise<unknown> => request.json().catch(() => undefined)
