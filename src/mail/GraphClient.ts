/** Requests to Microsoft Graph for one mailbox: signed in, paced, and repeated where that helps. */
import { Clock, Effect, Schema } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import type { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { type AccessToken, Tokens } from "../oauth/Tokens.ts"
import { MailboxLimiter } from "../pacing/MailboxLimiter.ts"
import { mailboxKey, Throttle } from "../pacing/Throttle.ts"
import { graphError, GraphRefusal, noAnswer, refusalOf, strangeAnswer } from "./GraphErrors.ts"
import type { MailAccount } from "./Mailbox.ts"
import { holdAccessToken, longestPause, pauses, requestTimeout, transientRetries, waitAtGate } from "./MailRequests.ts"

/** Messages in a page. Larger pages cost fewer requests; with bodies, this many come to a few megabytes. */
const pageSize = 100

/**
 * Wanted on every call: neither is baked into delta links (Microsoft Graph, immutable identifiers; delta query overview).
 * Default ids change when a message is moved, immutable ones do not.
 */
const prefer = `IdType="ImmutableId", odata.maxpagesize=${pageSize}`

export interface GraphServices {
  readonly http: HttpClient.HttpClient
  readonly tokens: Tokens["Service"]
  readonly throttle: Throttle["Service"]
  readonly limiter: MailboxLimiter["Service"]
  /** Without a slash at the end. */
  readonly graphUrl: string
}

export const graphServices: Effect.Effect<
  GraphServices,
  never,
  HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter
> = Effect.all({
  http: HttpClient.HttpClient,
  tokens: Tokens,
  throttle: Throttle,
  limiter: MailboxLimiter,
  graphUrl: Effect.map(Settings, ({ graphUrl }) => graphUrl),
})

export interface GraphClient {
  /** Reads a whole URL, which is used as it is: delta links are opaque. */
  readonly get: <S extends Schema.Codec<unknown, unknown>>(
    url: string,
    schema: S,
  ) => Effect.Effect<S["Type"], GraphRefusal | ProviderError>
}

/** Lives for one round: it keeps the access token that it was given. */
export const makeGraphClient = (
  { graphUrl, http, limiter, throttle, tokens }: GraphServices,
  account: Pick<MailAccount, "id" | "grantId" | "clientId">,
): GraphClient => {
  const origin = new URL(graphUrl).origin
  const key = mailboxKey(account.clientId, account.id)
  const accessToken = holdAccessToken(tokens, account.grantId, "graph")
  const gate = waitAtGate(
    throttle,
    key,
    (millis) => graphError("throttled", { retryAfterMillis: millis, notSent: true }),
  )

  const send = Effect.fnUntraced(
    function* (url: string, token: AccessToken) {
      const response = yield* http.execute(
        HttpClientRequest.get(url).pipe(
          HttpClientRequest.bearerToken(token.token),
          HttpClientRequest.setHeaders({ accept: "application/json", prefer }),
        ),
      )
      return { status: response.status, headers: response.headers, body: yield* response.text }
    },
    Effect.timeout(requestTimeout),
    Effect.mapError(() => noAnswer),
    // A redirect could carry the token elsewhere.
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
    Effect.provideService(HttpClient.TracerPropagationEnabled, false),
  )

  const attempt = Effect.fnUntraced(function* (url: string) {
    let token = yield* accessToken()
    let refreshed = false
    for (let paused = 0;;) {
      yield* gate
      const { body, headers, status } = yield* send(url, token)
      if (status >= 200 && status < 300) {
        yield* throttle.succeeded(key)
        return body
      }
      const refusal = refusalOf(
        {
          status,
          body,
          retryAfter: headers["retry-after"],
          date: headers.date,
          authenticate: headers["www-authenticate"],
        },
        yield* Clock.currentTimeMillis,
      )
      if (refusal.error.class === "throttled") {
        const millis = refusal.error.retryAfterMillis ?? (yield* throttle.backoff(key))
        yield* throttle.pause(key, millis)
        if (millis > longestPause || ++paused > pauses) {
          return yield* new GraphRefusal({ ...refusal, error: graphError("throttled", { retryAfterMillis: millis }) })
        }
      } else if (status === 401 && refusal.error.class === "unknown" && !refreshed) {
        token = yield* accessToken(token)
        refreshed = true
      } else {
        return yield* refusal
      }
    }
  })

  return {
    get: (url, schema) =>
      Effect.gen(function* () {
        if (!URL.canParse(url) || new URL(url).origin !== origin) return yield* strangeAnswer(0)
        const body = yield* limiter.limit(key)(attempt(url)).pipe(
          Effect.retry({
            ...transientRetries,
            while: (error) => error._tag === "GraphRefusal" && error.error.class === "transient",
          }),
        )
        return yield* Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(body).pipe(
          Effect.mapError(() => strangeAnswer(200)),
        )
      }),
  }
}
