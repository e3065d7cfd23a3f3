/** Faults on demand: answers that somebody scripted, and answers drawn by chance from the seed. */
import { aadsts } from "./Aadsts.ts"
import { type Answer, retryAfter } from "./Answer.ts"
import { graphError } from "./GraphErrors.ts"
import type { FaultKind, Settings } from "./Options.ts"
import { hash, share } from "./Random.ts"

export type Endpoint = "token" | "graph"

/** One scripted answer. The first of `fault`, `code` and `status` that is given decides what it is. */
export interface ScriptedAnswer {
  readonly fault?: FaultKind
  /** AADSTS code; token endpoint only. */
  readonly code?: number
  readonly suberror?: string
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is if a string, as JSON otherwise. */
  readonly body?: unknown
  /** How many requests are answered so; default 1. */
  readonly times?: number
}

/** What befalls a request; `lost` is carried out and then not delivered. */
export type Fault = Answer | "lost"

interface Scripted {
  readonly answer: ScriptedAnswer
  remaining: number
}

export class Faults {
  private readonly scripts = new Map<string, Array<Scripted>>()

  constructor(private readonly settings: Settings) {}

  /** Scripts the next answers of an endpoint: for one account, or for whoever asks. */
  script(endpoint: Endpoint, index: number | undefined, answers: ReadonlyArray<ScriptedAnswer>): void {
    const key = scriptKey(endpoint, index)
    const queue = this.scripts.get(key) ?? []
    this.scripts.set(key, queue.concat(answers.map((answer) => ({ answer, remaining: answer.times ?? 1 }))))
  }

  clear(): void {
    this.scripts.clear()
  }

  /** What befalls this request: the account's script first, then the endpoint's, then chance. */
  next(endpoint: Endpoint, index: number | undefined, attempt: number, now: number): Fault | undefined {
    if (this.scripts.size > 0) {
      const scripted = this.take(scriptKey(endpoint, index)) ?? this.take(scriptKey(endpoint, undefined))
      if (scripted !== undefined) return this.render(endpoint, scripted, now)
    }
    const { faultKinds, faultRate, seed } = this.settings
    if (faultRate <= 0 || faultKinds.length === 0) return undefined
    const salt = endpoint === "token" ? 0xfa01 : 0xfa02
    if (share(seed, salt, index ?? -1, attempt) >= faultRate) return undefined
    const kind = faultKinds[hash(seed, salt + 2, index ?? -1, attempt) % faultKinds.length]
    return kind === undefined ? undefined : this.renderKind(endpoint, kind, now)
  }

  private take(key: string): ScriptedAnswer | undefined {
    const queue = this.scripts.get(key)
    const first = queue?.[0]
    if (queue === undefined || first === undefined) return undefined
    if (--first.remaining <= 0) {
      queue.shift()
      if (queue.length === 0) this.scripts.delete(key)
    }
    return first.answer
  }

  private render(endpoint: Endpoint, scripted: ScriptedAnswer, now: number): Fault {
    if (scripted.fault !== undefined) return this.renderKind(endpoint, scripted.fault, now)
    if (scripted.code !== undefined) {
      const { suberror, status, headers } = scripted
      const answer = aadsts(scripted.code, now, {
        ...(suberror === undefined ? {} : { suberror }),
        ...(status === undefined ? {} : { status }),
      })
      return { ...answer, headers: { ...answer.headers, ...headers } }
    }
    const isText = typeof scripted.body === "string"
    return {
      status: scripted.status ?? 200,
      headers: { "content-type": isText ? "text/plain" : "application/json; charset=utf-8", ...scripted.headers },
      body: isText ? String(scripted.body) : scripted.body === undefined ? "" : JSON.stringify(scripted.body),
    }
  }

  private renderKind(endpoint: Endpoint, kind: FaultKind, now: number): Fault {
    const token = endpoint === "token"
    switch (kind) {
      case "throttled":
      case "throttled-bare": {
        const headers: Record<string, string> = kind === "throttled"
          ? { "retry-after": retryAfter(this.settings.retryAfter) }
          : {}
        return token
          ? { status: 429, headers: { "content-type": "text/plain", ...headers }, body: "Too many requests" }
          : graphError(429, "TooManyRequests", "Too many requests.", now, headers)
      }
      case "unavailable":
        return token
          ? aadsts(90033, now)
          : graphError(503, "serviceNotAvailable", "The service is temporarily unavailable.", now, {
            "retry-after": retryAfter(this.settings.retryAfter),
          })
      case "error":
        return token ? aadsts(50000, now) : graphError(500, "ErrorInternalServerError", "An internal error.", now)
      case "gateway":
        return { status: 502, headers: { "content-type": "text/html" }, body: "<html><h1>502 Bad Gateway</h1></html>" }
      case "timeout":
        return { status: 0, headers: {}, body: "", manner: "hang" }
      case "reset":
        return { status: -1, headers: {}, body: "", manner: "reset" }
      case "lost":
        return "lost"
    }
  }
}

const scriptKey = (endpoint: Endpoint, index: number | undefined): string => `${endpoint} ${index ?? "any"}`
