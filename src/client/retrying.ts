/** Asks again where that is safe and may help. */
import { Duration, Effect } from "effect"
import { HttpClient, type HttpClientError, type HttpClientRequest, type HttpClientResponse } from "effect/http"

/** A wait that the server asks for and that is longer than this is the caller's to decide on. */
const longestWait = Duration.seconds(30)

const firstWait = Duration.millis(200)

/** Answers that pass: too many requests, a proxy without its server, a server that is busy or starts. */
const passing: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** Whether it does no harm that the server gets it twice: the first one's answer may have been lost on the way. */
const isRepeatable = ({ body, headers, method }: HttpClientRequest.HttpClientRequest): boolean =>
  body._tag !== "Stream" && (/^(?:GET|HEAD|PUT|DELETE)$/.test(method) || "idempotency-key" in headers)

/** How long to wait before the next attempt; undefined = the answer stands. */
const waitAfter = (response: HttpClientResponse.HttpClientResponse, attempt: number): Duration.Duration | undefined => {
  if (!passing.has(response.status)) return undefined
  const asked = Duration.seconds(Number(response.headers["retry-after"]) || 0)
  return Duration.isGreaterThan(asked, longestWait) ? undefined : Duration.max(asked, backoff(attempt))
}

const backoff = (attempt: number): Duration.Duration => Duration.times(firstWait, 2 ** attempt)

/** At most `times` further attempts, after 0.2 s, 0.4 s and so on, or what `Retry-After` says where that is longer. */
export const retrying = (times: number) => (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.transform(client, (once, request) => {
    if (!isRepeatable(request)) return once
    const attempt = (made: number): typeof once =>
      made === times ? once : Effect.matchEffect(once, {
        onFailure: (error: HttpClientError.HttpClientError) =>
          error.reason._tag === "TransportError" ? Effect.delay(attempt(made + 1), backoff(made)) : Effect.fail(error),
        onSuccess: (response) => {
          const wait = waitAfter(response, made)
          return wait === undefined ? Effect.succeed(response) : Effect.delay(attempt(made + 1), wait)
        },
      })
    return attempt(0)
  })
