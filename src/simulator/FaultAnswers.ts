/** What injected faults look like at each endpoint. */
import { aadsts } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { gmailError } from "./GmailErrors.ts"
import { googleError } from "./GoogleErrors.ts"
import { graphError } from "./GraphErrors.ts"
import type { FaultKind, Settings } from "./Options.ts"
import { retryAfter } from "./RetryAfter.ts"

/** `token` is Microsoft's token endpoint. */
export type Endpoint = "token" | "google-token" | "graph" | "gmail"

/** Faults of a request that is carried out: they befall its answer. */
export type AnswerFault = "lost" | "drip" | "slow" | "truncated"

interface Manners {
  readonly throttled: (headers: Record<string, string>, now: number) => Answer
  readonly unavailable: (wait: string, now: number) => Answer
  readonly error: (now: number) => Answer
}

const manners: Readonly<Record<Endpoint, Manners>> = {
  token: {
    // With a plain-text body, as clients of Microsoft's have met it.
    throttled: (headers) => ({
      status: 429,
      headers: { "content-type": "text/plain", ...headers },
      body: "Too many requests",
    }),
    unavailable: (_, now) => aadsts(90033, now),
    error: (now) => aadsts(50000, now),
  },
  "google-token": {
    throttled: (headers) => googleError("temporarily_unavailable", { status: 429, headers }),
    unavailable: () => googleError("temporarily_unavailable"),
    error: () => googleError("internal_failure"),
  },
  graph: {
    throttled: (headers, now) => graphError(429, "TooManyRequests", "Too many requests.", now, headers),
    unavailable: (wait, now) =>
      graphError(503, "serviceNotAvailable", "The service is temporarily unavailable.", now, { "retry-after": wait }),
    error: (now) => graphError(500, "ErrorInternalServerError", "An internal error.", now),
  },
  gmail: {
    throttled: (headers) => gmailError(429, "rateLimitExceeded", "Quota exceeded.", headers),
    unavailable: () => gmailError(503, "backendError", "The service is currently unavailable."),
    error: () => gmailError(500, "backendError", "Backend Error"),
  },
}

const html =
  "<!doctype html><html><head><title>Sign in to the network</title></head><body><h1>Welcome</h1></body></html>"

/** The answer that stands in for the one asked for, or what befalls that one. */
export const faultAnswer = (
  settings: Settings,
  endpoint: Endpoint,
  kind: FaultKind,
  now: number,
): Answer | AnswerFault => {
  const shown = now + settings.clockSkew
  const manner = manners[endpoint]
  switch (kind) {
    case "throttled":
      return manner.throttled({ "retry-after": retryAfter(settings, settings.retryAfter, now) }, shown)
    case "throttled-bare":
      return manner.throttled({}, shown)
    case "unavailable":
      return manner.unavailable(retryAfter(settings, settings.retryAfter, now), shown)
    case "error":
      return manner.error(shown)
    case "error-200":
      return { ...manner.error(shown), status: 200 }
    case "gateway":
      return { status: 502, headers: { "content-type": "text/html" }, body: "<html><h1>502 Bad Gateway</h1></html>" }
    case "html":
      return { status: 200, headers: { "content-type": "text/html; charset=utf-8" }, body: html }
    case "plain":
      return { status: 400, headers: { "content-type": "text/plain" }, body: "Bad Request" }
    case "timeout":
      return { status: 0, headers: {}, body: "", manner: "hang" }
    case "reset":
      return { status: -1, headers: {}, body: "", manner: "reset" }
    case "lost":
    case "drip":
    case "slow":
    case "truncated":
      return kind
  }
}

/** The answer to a request that was carried out, with what befalls it. */
export const befall = (answer: Answer, fault: AnswerFault | undefined): Answer =>
  fault === undefined
    ? answer
    : fault === "lost"
    ? { ...answer, status: -1, manner: "reset" }
    : { ...answer, manner: fault }
