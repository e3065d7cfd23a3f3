/** Requests to Microsoft Graph for one mailbox: signed in, paced, and repeated where that helps. */
import { Clock, Effect, Schema, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import type { ProviderError } from "../../domain/ProviderError.ts"
import { Settings } from "../../domain/Settings.ts"
import { type AccessToken, Tokens } from "../../oauth/Tokens.ts"
import { MailboxLimiter, type MailLane } from "../../pacing/MailboxLimiter.ts"
import { mailboxKey, Throttle } from "../../pacing/Throttle.ts"
import { graphError, GraphRefusal, noAnswer, refusalOf, strangeAnswer } from "./GraphErrors.ts"
import type { MailAccount } from "../Mailbox.ts"
import {
  decodeAnswer,
  holdAccessToken,
  longestPause,
  mostPauses,
  requestTimeout,
  transientRetries,
  waitAtGate,
} from "../MailRequests.ts"

/** Messages in a page. Larger pages cost fewer requests; with bodies, this many come to a few megabytes. */
const pageSize = 200

/**
 * Wanted on every call whose answer holds ids, those inside of a batch included. It is not baked into delta links
 * (Microsoft Graph, immutable identifiers). Default ids change when a message is moved, immutable ones do not.
 */
export const immutableIds = 'IdType="ImmutableId"'

const withPageSize = (size: number): string => `${immutableIds}, odata.maxpagesize=${size}`

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

export interface GraphCall {
  readonly url: string
  /** Default `GET`. */
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE" | undefined
  /** Sent as JSON. */
  readonly body?: unknown
  /** Default `fresh`. */
  readonly lane?: MailLane | undefined
  /** Items that a page should have. Default 100. */
  readonly pageSize?: number | undefined
  /** Of a batch: how many parts it has, each of which counts as a request. */
  readonly requests?: number | undefined
  /** Whether it may be sent again where it is not known if it was carried out. Default true. */
  readonly repeatable?: boolean | undefined
}

export interface GraphAnswer {
  readonly status: number
  readonly body: string
  /** The `Date` header. */
  readonly date: string | undefined
}

export interface GraphClient {
  /** Without a slash at the end. */
  readonly graphUrl: string
  /** True for a URL at the host that access tokens may be sent to. */
  readonly isOurs: (url: string) => boolean
  /** Reads a whole URL, which is used as it is: delta links are opaque. */
  readonly get: <S extends Schema.Codec<unknown, unknown>>(
    url: string,
    schema: S,
    options?: Pick<GraphCall, "lane" | "pageSize">,
  ) => Effect.Effect<S["Type"], GraphRefusal | ProviderError>
  /** An answer with a status from 200 to 299; any other is a refusal. */
  readonly call: (call: GraphCall) => Effect.Effect<GraphAnswer, GraphRefusal | ProviderError>
  /** The body of an answer in pieces, as they come. */
  readonly stream: (url: string) => Stream.Stream<Uint8Array, GraphRefusal | ProviderError>
  /** Pauses the mailbox for a throttled answer; answers for how many milliseconds. */
  readonly throttled: (retryAfterMillis: number | undefined) => Effect.Effect<number>
  /** Ends the row of throttled answers by which pauses grow that no answer names. */
  readonly succeeded: Effect.Effect<void>
}

/** Lives for one round: it keeps the access token that it was given. */
export const makeGraphClient = (
  { graphUrl, http, limiter, throttle, tokens }: GraphServices,
  account: Pick<MailAccount, "id" | "grantId" | "clientId">,
): GraphClient => {
  const origin = new URL(graphUrl).origin
  const key = mailboxKey(account.clientId, account.id)
  const accessToken = holdAccessToken(tokens, account.grantId, "graph")

  /** Waits while the mailbox is paused, by whichever of its requests, or has had as many as it bears. */
  const gate = (requests: number) =>
    waitAtGate(
      Effect.flatMap(
        throttle.remaining(key),
        (paused) => paused > 0 ? Effect.succeed(paused) : limiter.spend(key, requests),
      ),
      (millis) => graphError("throttled", { retryAfterMillis: millis, notSent: true }),
    )

  const throttled = (retryAfterMillis: number | undefined) =>
    Effect.gen(function* () {
      const millis = retryAfterMillis ?? (yield* throttle.backoff(key))
      yield* throttle.pause(key, millis)
      return millis
    })

  const requestOf = ({ body, method = "GET", pageSize: size = pageSize, url }: GraphCall, token: AccessToken) =>
    HttpClientRequest.make(method)(url).pipe(
      HttpClientRequest.bearerToken(token.token),
      HttpClientRequest.setHeaders({ accept: "application/json", prefer: withPageSize(size) }),
      body === undefined ? (request) => request : HttpClientRequest.setBody(HttpBody.jsonUnsafe(body)),
    )

  const send = <A>(
    call: GraphCall,
    token: AccessToken,
    take: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, unknown>,
  ): Effect.Effect<A, GraphRefusal> =>
    Effect.flatMap(http.execute(requestOf(call, token)), take).pipe(
      Effect.timeout(requestTimeout),
      Effect.mapError(() => noAnswer),
      // A redirect could carry the token elsewhere.
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    )

  const isOurs = (url: string): boolean => URL.canParse(url) && new URL(url).origin === origin

  const isGood = (status: number): boolean => status >= 200 && status < 300

  /** Until there is an answer to take, or a refusal that neither a pause nor another token helps against. */
  const attempt = Effect.fnUntraced(function* <A>(
    call: GraphCall,
    take: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, unknown>,
  ) {
    if (!isOurs(call.url)) return yield* strangeAnswer(0)
    let token = yield* accessToken()
    let refreshed = false
    for (let paused = 0;;) {
      yield* gate(call.requests ?? 1)
      const answer = yield* send(
        call,
        token,
        (response): Effect.Effect<{ readonly taken: A } | { readonly refusal: GraphRefusal }, unknown> =>
          isGood(response.status)
            ? Effect.map(take(response), (taken) => ({ taken }))
            : Effect.map(refused(response), (refusal) => ({ refusal })),
      )
      if ("taken" in answer) return answer.taken
      const { refusal } = answer
      if (refusal.error.class === "throttled") {
        const millis = yield* throttled(refusal.error.retryAfterMillis)
        if (millis > longestPause || ++paused > mostPauses) {
          return yield* new GraphRefusal({ ...refusal, error: graphError("throttled", { retryAfterMillis: millis }) })
        }
      } else if (refusal.status === 401 && refusal.error.class === "unknown" && !refreshed) {
        token = yield* accessToken(token)
        refreshed = true
      } else {
        return yield* refusal
      }
    }
  })

  const succeeded = throttle.succeeded(key)

  const call = (asked: GraphCall) => {
    const { lane, repeatable = true, requests } = asked
    const once = attempt(asked, (response) =>
      Effect.map(response.text, (body): GraphAnswer => ({
        status: response.status,
        body,
        date: response.headers["date"],
      })))
    return limiter.limit(key, { lane, places: Math.min(4, requests ?? 1) })(once).pipe(
      // Whether the parts of a batch succeeded, only who sent it can tell.
      Effect.tap(() => requests === undefined ? succeeded : Effect.void),
      Effect.retry({
        ...transientRetries,
        ...(repeatable ? {} : { times: 0 }),
        while: (error) => error._tag === "GraphRefusal" && error.error.class === "transient",
      }),
    )
  }

  return {
    graphUrl,
    isOurs,
    call,
    get: (url, schema, options) =>
      Effect.flatMap(call({ url, ...options }), ({ body }) => decodeAnswer(schema, body, strangeAnswer(200))),
    stream: (url) =>
      Stream.unwrap(
        Effect.gen(function* () {
          yield* limiter.take(key)
          const response = yield* attempt({ url }, Effect.succeed)
          yield* succeeded
          return response.stream.pipe(
            Stream.timeoutOrElse({ duration: requestTimeout, orElse: () => Stream.fail(noAnswer) }),
            Stream.mapError(() => noAnswer),
          )
        }),
      ),
    throttled,
    succeeded,
  }
}

/** The refusal that an answer stands for. */
const refused = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  return refusalOf(
    {
      status: response.status,
      body: yield* response.text,
      retryAfter: response.headers["retry-after"],
      date: response.headers["date"],
      authenticate: response.headers["www-authenticate"],
    },
    yield* Clock.currentTimeMillis,
  )
})
