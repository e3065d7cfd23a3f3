/** Requests to the Gmail API for one mailbox: signed in, paced, and repeated where that helps. */
import { Clock, Effect, Option, Random, Result, Schema, type Scope, Stream } from "effect"
import {
  FetchHttpClient,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse,
} from "effect/http"
import type { ProviderError } from "../../domain/ProviderError.ts"
import { Settings } from "../../domain/Settings.ts"
import { type AccessToken, Tokens } from "../../oauth/Tokens.ts"
import { MailboxLimiter } from "../../pacing/MailboxLimiter.ts"
import { MailboxUnits } from "../../pacing/MailboxUnits.ts"
import { mailboxKey, Throttle } from "../../pacing/Throttle.ts"
import { batchContentType, type BatchPart, decodeBatch, encodeBatch, mostInBatch } from "./GmailBatch.ts"
import { gmailError, GmailRefusal, noAnswer, refusalOf, strangeAnswer } from "./GmailErrors.ts"
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

export interface GmailServices {
  readonly http: HttpClient.HttpClient
  readonly tokens: Tokens["Service"]
  readonly throttle: Throttle["Service"]
  readonly limiter: MailboxLimiter["Service"]
  readonly units: MailboxUnits["Service"]
  /** Without a slash at the end. */
  readonly gmailUrl: string
  readonly batchUrl: string
}

export const gmailServices: Effect.Effect<
  GmailServices,
  never,
  HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter | MailboxUnits
> = Effect.gen(function* () {
  const { gmailBatchUrl, gmailUrl } = yield* Settings
  return {
    http: yield* HttpClient.HttpClient,
    tokens: yield* Tokens,
    throttle: yield* Throttle,
    limiter: yield* MailboxLimiter,
    units: yield* MailboxUnits,
    gmailUrl,
    batchUrl: Option.getOrElse(gmailBatchUrl, () => `${new URL(gmailUrl).origin}/batch/gmail/v1`),
  }
})

type Failure = GmailRefusal | ProviderError

type AnySchema = Schema.Codec<unknown, unknown>

/** Paths begin after `users/me`; `units` is what one request costs. */
export interface GmailClient {
  readonly get: <S extends AnySchema>(path: string, schema: S, units: number) => Effect.Effect<S["Type"], Failure>
  readonly post: <S extends AnySchema>(
    path: string,
    body: unknown,
    schema: S,
    units: number,
  ) => Effect.Effect<S["Type"], Failure>
  /** The answers in the order of the paths, each by itself; fails where the mailbox is the reason, not one of the paths. */
  readonly batch: <S extends AnySchema>(
    paths: ReadonlyArray<string>,
    schema: S,
    units: number,
  ) => Effect.Effect<ReadonlyArray<Result.Result<S["Type"], GmailRefusal>>, Failure>
  /** The body of an answer as it comes. */
  readonly stream: (
    path: string,
    units: number,
  ) => Effect.Effect<Stream.Stream<Uint8Array, ProviderError>, Failure, Scope.Scope>
  /** How many requests a batch holds if each costs `units`. */
  readonly batchSize: (units: number) => number
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** Lives for one round: it keeps the access token that it was given. */
export const makeGmailClient = (
  { batchUrl, gmailUrl, http, limiter, throttle, tokens, units: bucket }: GmailServices,
  account: Pick<MailAccount, "id" | "grantId" | "clientId">,
): GmailClient => {
  const key = mailboxKey(account.clientId, account.id)
  const base = `${gmailUrl}/users/me`
  const basePath = new URL(base).pathname
  const accessToken = holdAccessToken(tokens, account.grantId, "gmail")
  /** Waits while the mailbox is paused, by whichever of its requests. */
  const gate = waitAtGate(
    throttle.remaining(key),
    (millis) => gmailError("throttled", { retryAfterMillis: millis, notSent: true }),
  )
  let batchIsThere = true

  const signed = (request: HttpClientRequest.HttpClientRequest, token: AccessToken) =>
    request.pipe(HttpClientRequest.bearerToken(token.token), HttpClientRequest.setHeader("accept", "application/json"))

  const network = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    effect.pipe(
      Effect.timeout(requestTimeout),
      Effect.mapError(() => noAnswer),
      // A redirect could carry the token elsewhere.
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" }),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
    )

  const whole = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Answer, GmailRefusal> =>
    Effect.map(network(response.text), (body) => ({ status: response.status, headers: response.headers, body }))

  const refused = (answer: Answer) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) => refusalOf({ ...answer, retryAfter: answer.headers["retry-after"], date: answer.headers["date"] }, now),
    )

  /** Pauses the mailbox: as long as it was told to, else for a second, doubled with each refusal in a row, and a bit more. */
  const pause = Effect.fnUntraced(function* (refusal: GmailRefusal) {
    const millis = refusal.error.retryAfterMillis ??
      Math.ceil((yield* throttle.backoff(key)) * (yield* Random.nextBetween(1, 1.5)))
    yield* throttle.pause(key, millis)
    return millis
  })

  const tooLong = (refusal: GmailRefusal, millis: number) =>
    new GmailRefusal({
      ...refusal,
      error: gmailError("throttled", {
        ...(refusal.reason === "" ? {} : { providerCode: refusal.reason }),
        retryAfterMillis: millis,
      }),
    })

  /** Sends until there is an answer of 2xx, as far as waiting and a fresh token help. */
  const attempt = Effect.fnUntraced(function* <A, R>(
    request: HttpClientRequest.HttpClientRequest,
    cost: number,
    client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
    read: (response: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, GmailRefusal>,
  ) {
    let token = yield* accessToken()
    let refreshed = false
    for (let paused = 0;;) {
      yield* bucket.spend(key, cost)
      yield* gate
      const response = yield* network(client.execute(signed(request, token)))
      if (response.status >= 200 && response.status < 300) return yield* read(response)
      const refusal = yield* refused(yield* whole(response))
      if (refusal.error.class === "throttled") {
        const millis = yield* pause(refusal)
        if (millis > longestPause || ++paused > mostPauses) return yield* tooLong(refusal, millis)
      } else if (refusal.status === 401 && !refreshed) {
        token = yield* accessToken(token)
        refreshed = true
      } else {
        return yield* refusal
      }
    }
  })

  const isTransient = (error: Failure): boolean => error._tag === "GmailRefusal" && error.error.class === "transient"

  const request = (one: HttpClientRequest.HttpClientRequest, cost: number): Effect.Effect<Answer, Failure> =>
    limiter.limit(key)(attempt(one, cost, http, whole)).pipe(
      Effect.retry({ ...transientRetries, while: isTransient }),
    )

  /** Ends the row of refusals by which pauses grow. Whether a batch succeeded, only its parts tell. */
  const succeeded = throttle.succeeded(key)

  const decoded = <S extends AnySchema>(schema: S, body: string): Effect.Effect<S["Type"], GmailRefusal> =>
    decodeAnswer(schema, body, strangeAnswer(200))

  const get: GmailClient["get"] = (path, schema, cost) =>
    request(HttpClientRequest.get(base + path), cost).pipe(
      Effect.tap(succeeded),
      Effect.flatMap(({ body }) => decoded(schema, body)),
    )

  const post: GmailClient["post"] = (path, body, schema, cost) =>
    request(HttpClientRequest.post(base + path).pipe(HttpClientRequest.bodyJsonUnsafe(body)), cost).pipe(
      Effect.tap(succeeded),
      Effect.flatMap((answer) => decoded(schema, answer.body === "" ? "{}" : answer.body)),
    )

  /** One by one; what concerns one path alone is its own result. */
  const single = <S extends AnySchema>(path: string, schema: S, cost: number) =>
    get(path, schema, cost).pipe(
      Effect.map((value) => Result.succeed(value) as Result.Result<S["Type"], GmailRefusal>),
      Effect.catchIf(
        (error): error is GmailRefusal => error._tag === "GmailRefusal" && isOfPath(error),
        (error) => Effect.succeed(Result.fail(error)),
      ),
    )

  const sendBatch = (paths: ReadonlyArray<string>, cost: number) =>
    request(
      HttpClientRequest.post(batchUrl).pipe(
        HttpClientRequest.bodyText(encodeBatch(paths.map((path) => basePath + path)), batchContentType),
      ),
      cost * paths.length,
    ).pipe(
      Effect.map(({ body, headers }) => decodeBatch(headers["content-type"] ?? "", body)),
      Effect.catchIf(
        (error): error is GmailRefusal =>
          error._tag === "GmailRefusal" && (error.status === 404 || error.status === 405),
        () => Effect.as(Effect.sync(() => batchIsThere = false), undefined),
      ),
    )

  const chunk = Effect.fnUntraced(function* <S extends AnySchema>(
    paths: ReadonlyArray<string>,
    schema: S,
    cost: number,
  ) {
    const results = new Map<number, Result.Result<S["Type"], GmailRefusal>>()
    let open = paths.map((_, index) => index)
    let faults = 0
    let refreshed = false
    for (let paused = 0; open.length > 0;) {
      const sentWith = yield* accessToken()
      const parts: ReadonlyMap<number, BatchPart> | undefined = batchIsThere
        ? yield* sendBatch(open.map((index) => paths[index] ?? ""), cost)
        : undefined
      if (parts === undefined) {
        yield* Effect.forEach(
          open,
          (index) => Effect.map(single(paths[index] ?? "", schema, cost), (result) => results.set(index, result)),
          { concurrency: 4, discard: true },
        )
        break
      }
      const again: Array<number> = []
      let throttled: GmailRefusal | undefined
      let passing: GmailRefusal | undefined
      let denied: GmailRefusal | undefined
      for (const [position, index] of open.entries()) {
        const part = parts.get(position)
        if (part !== undefined && part.status >= 200 && part.status < 300) {
          results.set(index, yield* Effect.result(decoded(schema, part.body)))
          continue
        }
        const refusal = part === undefined ? noAnswer : refusalOf(part, yield* Clock.currentTimeMillis)
        if (refusal.error.class === "throttled") throttled = later(throttled, refusal)
        else if (refusal.status === 401) denied = refusal
        else if (refusal.error.class === "transient" && faults < transientRetries.times) passing = refusal
        else if (isOfPath(refusal)) {
          results.set(index, Result.fail(refusal))
          continue
        } else return yield* refusal
        again.push(index)
      }
      // A refusal counts as one in a row only if nothing at all came.
      if (again.length < open.length) paused = 0
      open = again
      if (throttled === undefined) yield* succeeded
      else {
        const millis = yield* pause(throttled)
        if (millis > longestPause || ++paused > mostPauses) return yield* tooLong(throttled, millis)
      }
      if (denied !== undefined) {
        if (refreshed) return yield* denied
        refreshed = true
        yield* accessToken(sentWith)
      }
      if (passing !== undefined) {
        yield* Effect.sleep(250 * 2 ** faults * (yield* Random.nextBetween(0.8, 1.2)))
        faults++
      }
    }
    return paths.map((_, index) => results.get(index) ?? Result.fail(noAnswer))
  })

  const batchSize = (cost: number): number => Math.max(1, Math.min(mostInBatch, Math.floor(bucket.most / cost)))

  return {
    get,
    post,
    batchSize,
    batch: (paths, schema, cost) =>
      Effect.gen(function* () {
        const size = batchSize(cost)
        const results = []
        for (let start = 0; start < paths.length; start += size) {
          const some = paths.slice(start, start + size)
          // A batch of one is only longer.
          results.push(
            ...(some.length === 1 ? [yield* single(some[0] ?? "", schema, cost)] : yield* chunk(some, schema, cost)),
          )
        }
        return results
      }),
    stream: (path, cost) =>
      Effect.andThen(
        limiter.take(key),
        attempt(
          HttpClientRequest.get(base + path),
          cost,
          HttpClient.withScope(http),
          ({ stream }) =>
            Effect.succeed(
              stream.pipe(
                Stream.timeoutOrElse({ duration: requestTimeout, orElse: () => Stream.fail(noAnswer.error) }),
                Stream.mapError(() => noAnswer.error),
              ),
            ),
        ).pipe(Effect.retry({ ...transientRetries, while: isTransient }), Effect.tap(succeeded)),
      ),
  }
}

/** Whether the refusal concerns what was asked for, and not the mailbox or whoever asks. */
const isOfPath = ({ error, status }: GmailRefusal): boolean =>
  status !== 401 && status !== 403 && (error.class === "unknown" || error.class === "transient")

/** The one that asks for the longer wait. */
const later = (one: GmailRefusal | undefined, other: GmailRefusal): GmailRefusal =>
  one === undefined || (one.error.retryAfterMillis ?? 0) < (other.error.retryAfterMillis ?? 0) ? other : one
