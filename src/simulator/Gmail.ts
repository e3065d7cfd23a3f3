/** The Gmail API at the door: who asks, for which mailbox, and whether the quotas allow it. */
import { type Answer, toResponse } from "./Answer.ts"
import { befall } from "./FaultAnswers.ts"
import { batchMaximum, readGmailBatch, runGmailBatch } from "./GmailBatch.ts"
import { gmailError, invalidArgument, notFound, overQuota, tooManyAtOnce, unauthorized } from "./GmailErrors.ts"
import { type GmailCall, routeGmail } from "./GmailMail.ts"
import { costOf, formOf, gmailConcurrency } from "./GmailQuota.ts"
import type { AccessToken } from "./Grants.ts"
import type { MailboxUse } from "./Limits.ts"
import { unhurried } from "./Pieces.ts"
import { hash } from "./Random.ts"
import { waitOf } from "./RetryAfter.ts"
import type { World } from "./World.ts"

export const gmailBase = "/gmail/v1"
export const gmailBatchPath = "/batch/gmail/v1"

interface Asked {
  readonly method: string
  /** Path and query after the origin. */
  readonly url: string
  readonly body: string
}

export class Gmail {
  constructor(private readonly world: World) {}

  /** @param target path and query */
  async handle(request: Request, target: string): Promise<Response> {
    const { counters, delay, now, settings, uses } = this.world
    const start = performance.now()
    counters.gmail.enter()
    let answer: Answer = { status: 400, headers: {}, body: "" }
    let use: MailboxUse | undefined
    try {
      const body = request.method === "GET" || request.method === "DELETE" ? "" : await request.text()
      const token = this.authenticate(request, now())
      if ("status" in token) answer = token
      else {
        use = uses.get(token.index, token.app)
        use.enter(1)
        answer = target.startsWith(gmailBatchPath)
          ? this.batch(request, token, use, body)
          : this.single(token, use, { method: request.method, url: target, body })
      }
      if (answer.manner === "hang") await delay.hang(request.signal, settings.hangLimit)
      else if (settings.latency > 0) await delay.wait(start, settings.latency)
    } finally {
      use?.leave(1)
      counters.gmail.leave(answer.status, now())
    }
    const wait = waitOf(settings, answer.headers, now())
    if (wait !== undefined) use?.pause.ask(now(), wait)
    if (settings.clockSkew !== 0) answer.headers["date"] = new Date(now() + settings.clockSkew).toUTCString()
    return answer.manner === "slow" || answer.manner === "drip"
      ? unhurried(answer, delay, settings.hangLimit, { settle: () => {}, lost: () => {} })
      : toResponse(answer)
  }

  private batch(request: Request, token: AccessToken, use: MailboxUse, body: string): Answer {
    const { now, settings, violations } = this.world
    const parts = readGmailBatch(request.headers.get("content-type") ?? "", body)
    if ("status" in parts) return parts
    if (parts.length > batchMaximum) {
      violations.add({ kind: "batch-too-large", at: now() })
      return invalidArgument(`The batch request exceeds the maximum of ${batchMaximum} calls.`)
    }
    return runGmailBatch(parts, settings.seed, use.attempts, (part) => this.single(token, use, part))
  }

  private single(token: AccessToken, use: MailboxUse, asked: Asked): Answer {
    const now = this.world.now()
    const call = this.resolve(token, asked, now)
    if ("status" in call) return call
    const endpoint = `${call.method} ${formOf(call.segments)}`
    const answer = this.refused(token, use, call, endpoint) ?? this.perform(use, call)
    this.world.counters.answered(`gmail ${endpoint}`, answer.status)
    return answer
  }

  /** Quotas of the user; they are recorded always, and enforced if the options say so. */
  private refused(token: AccessToken, use: MailboxUse, call: GmailCall, endpoint: string): Answer | undefined {
    const { quotas, settings, violations } = this.world
    const { mailbox: { email }, now } = call
    use.attempts++
    if (use.pause.isBroken(now)) {
      violations.add({ kind: "before-retry-after", at: now, email, detail: "Gmail mailbox", after: use.pause.age(now) })
    }
    const isCrowded = use.inFlight > gmailConcurrency
    const isSpent = !quotas.get(token.index, token.app).spend(costOf(endpoint), settings.gmailUnits, now)
    if (isCrowded) violations.add({ kind: "mailbox-concurrency", at: now, email, detail: `${use.inFlight} at once` })
    if (isSpent) violations.add({ kind: "mailbox-rate", at: now, email, detail: endpoint })
    if (settings.limits === "none") return undefined
    if (isCrowded) return tooManyAtOnce()
    return isSpent ? overQuota(hash(settings.seed, 0x403, use.attempts) % 2 === 0 ? 403 : 429) : undefined
  }

  private perform(use: MailboxUse, call: GmailCall): Answer {
    const fault = this.world.faults.next("gmail", call.mailbox.index, use.attempts, call.now)
    if (typeof fault === "object") return fault
    const { refusal } = call.mailbox
    const answer = refusal === undefined
      ? routeGmail(this.world, call)
      : gmailError(refusal.status, refusal.code, "The mailbox is not available.")
    return befall(answer, fault)
  }

  private resolve(token: AccessToken, { body, method, url }: Asked, now: number): GmailCall | Answer {
    const question = url.indexOf("?")
    const path = question < 0 ? url : url.slice(0, question)
    const match = /^\/gmail\/v1\/users\/([^/]+)\/(.+)$/.exec(path)
    const user = decode(match?.[1] ?? "")
    const segments = (match?.[2] ?? "").split("/").map(decode)
    if (match === null || user === undefined) return notFound()
    const mailbox = this.world.gmailboxes.get(token.index)
    if (user !== "me" && user.toLowerCase() !== mailbox.email) {
      return gmailError(403, "delegationDenied", `Delegation denied for ${mailbox.email}`)
    }
    return {
      mailbox,
      method,
      segments: segments.map((segment) => segment ?? ""),
      query: new URLSearchParams(question < 0 ? "" : url.slice(question + 1)),
      body: parse(body),
      mask: token.mask,
      now,
    }
  }

  private authenticate(request: Request, now: number): AccessToken | Answer {
    const { grants } = this.world
    const header = request.headers.get("authorization") ?? ""
    const token = header.startsWith("Bearer ") ? grants.readAccessToken(header.slice(7)) : undefined
    const isValid = token?.resource === "gmail" && token.expiresAt > now &&
      token.issuedAt >= (grants.peek(token.index)?.accessNotBefore ?? 0)
    if (!isValid) return unauthorized()
    // A service account that speaks for itself has no mailbox.
    return token.index < 0 ? gmailError(400, "failedPrecondition", "Mail service not enabled") : token
  }
}

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const parse = (text: string): unknown => {
  try {
    return text === "" ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}
