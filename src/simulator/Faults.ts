/** Faults on demand: answers that somebody scripted, and answers drawn by chance from the seed. */
import { aadsts } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { type AnswerFault, type Endpoint, faultAnswer } from "./FaultAnswers.ts"
import { type GoogleError, googleError } from "./GoogleErrors.ts"
import type { FaultKind, Settings } from "./Options.ts"
import { hash, share } from "./Random.ts"

/** One scripted answer. The first of `fault`, `code`, `error` and `status` that is given decides what it is. */
export interface ScriptedAnswer {
  readonly fault?: FaultKind
  /** AADSTS code; Microsoft's token endpoint only. */
  readonly code?: number
  /** Google's token endpoint only. */
  readonly error?: GoogleError
  /** Google's `error_subtype` too. */
  readonly suberror?: string
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is if a string, as JSON otherwise. */
  readonly body?: unknown
  /** How many requests are answered so; default 1. */
  readonly times?: number
}

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
  next(endpoint: Endpoint, index: number | undefined, attempt: number, now: number): Answer | AnswerFault | undefined {
    if (this.scripts.size > 0) {
      const scripted = this.take(scriptKey(endpoint, index)) ?? this.take(scriptKey(endpoint, undefined))
      if (scripted !== undefined) return this.render(endpoint, scripted, now)
    }
    const { faultKinds, faultRate, seed } = this.settings
    if (faultRate <= 0 || faultKinds.length === 0) return undefined
    const salt = endpoint === "graph" || endpoint === "gmail" ? 0xfa02 : 0xfa01
    if (share(seed, salt, index ?? -1, attempt) >= faultRate) return undefined
    const kind = faultKinds[hash(seed, salt + 2, index ?? -1, attempt) % faultKinds.length]
    return kind === undefined ? undefined : faultAnswer(this.settings, endpoint, kind, now)
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

  private render(endpoint: Endpoint, scripted: ScriptedAnswer, now: number): Answer | AnswerFault {
    const { error, headers, status, suberror } = scripted
    if (scripted.fault !== undefined) return faultAnswer(this.settings, endpoint, scripted.fault, now)
    if (scripted.code !== undefined) {
      const answer = aadsts(scripted.code, now + this.settings.clockSkew, {
        ...(suberror === undefined ? {} : { suberror }),
        ...(status === undefined ? {} : { status }),
      })
      return { ...answer, headers: { ...answer.headers, ...headers } }
    }
    if (error !== undefined) {
      return googleError(error, {
        ...(suberror === undefined ? {} : { subtype: suberror }),
        ...(status === undefined ? {} : { status }),
        ...(headers === undefined ? {} : { headers }),
      })
    }
    const isText = typeof scripted.body === "string"
    return {
      status: scripted.status ?? 200,
      headers: { "content-type": isText ? "text/plain" : "application/json; charset=utf-8", ...scripted.headers },
      body: isText ? String(scripted.body) : scripted.body === undefined ? "" : JSON.stringify(scripted.body),
    }
  }
}

const scriptKey = (endpoint: Endpoint, index: number | undefined): string => `${endpoint} ${index ?? "any"}`
