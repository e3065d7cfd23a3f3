/** The typed client as an Effect service. */
import { Context, Duration, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Authorization } from "../api/Authorization.ts"
import type { importMediaTypes } from "../api/Imports.ts"
import type { Change } from "../domain/Mail.ts"
import type { Run } from "../domain/Run.ts"
import type { ImportOptions } from "./Client.ts"
import { retrying } from "./retrying.ts"

/** Where the server is, and how it is talked to. */
export interface ClientOptions {
  /** Where the server listens, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string
  /** The admin key, or an API key. */
  readonly apiKey: string | Redacted.Redacted
  /**
   * How often a request that failed in passing (no connection, 429, 502, 503, 504) is made again, where that is safe: a read, or a POST
   * with an idempotency key. Default 3. `Retry-After` is waited out where it is at most 30 seconds.
   */
  readonly retries?: number | undefined
}

type ApiClient = HttpApiClient.ForApi<typeof Api>
type RunCall = ReturnType<ApiClient["runs"]["get"]>
type ChangeStreamCall = ReturnType<ApiClient["mail"]["changeStream"]>
type StreamError = Effect.Error<ChangeStreamCall> | Stream.Error<Effect.Success<ChangeStreamCall>>

/** How a file of accounts is taken in. */
export interface ImportUpload {
  /** What the file is. */
  readonly contentType: typeof importMediaTypes[number]
  /** The parameters of the call. */
  readonly query?: Omit<ImportOptions, "format" | "idempotencyKey"> | undefined
  /** The same key with the same file answers with the same run. */
  readonly idempotencyKey?: string | undefined
}

const hasEnded = ({ state }: Run): boolean => state !== "queued" && state !== "running"

const decodeImport = HttpApiClient.decodeResponse(Api, { group: "imports", endpoint: "create" })

const make = Effect.fnUntraced(function* (options: ClientOptions) {
  const { baseUrl } = options
  const apiKey = Redacted.isRedacted(options.apiKey) ? options.apiKey : Redacted.make(options.apiKey)
  const http = retrying(options.retries ?? 3)(yield* HttpClient.HttpClient)
  const api = yield* HttpApiClient.makeWith(Api, { baseUrl, httpClient: http }).pipe(
    Effect.provide(
      HttpApiMiddleware.layerClient(
        Authorization,
        ({ next, request }) => next(HttpClientRequest.bearerToken(request, apiKey)),
      ),
    ),
  )
  const urls = HttpApiClient.urlBuilder(Api, { baseUrl })

  // Not by the derived method: it sends the first of the media types, and a file has one of its own.
  const importFile = Effect.fn("MailfleetClient.importFile")(
    function* <E>(body: Stream.Stream<Uint8Array, E>, upload: ImportUpload) {
      const request = HttpClientRequest.post(urls.imports.create({ query: upload.query ?? {} })).pipe(
        HttpClientRequest.bearerToken(apiKey),
        HttpClientRequest.setBody(HttpBody.stream(body, upload.contentType)),
        upload.idempotencyKey === undefined
          ? (unchanged) => unchanged
          : HttpClientRequest.setHeader("idempotency-key", upload.idempotencyKey),
      )
      const { body: run } = yield* decodeImport(yield* http.execute(request))
      return run
    },
  )

  const poll = (id: string, every: Duration.Input) =>
    Stream.fromEffectSchedule(api.runs.get({ params: { id } }), Schedule.spaced(every))

  const watch = (id: string) => Stream.unwrap(api.runs.events({ params: { id } })).pipe(Stream.map(({ data }) => data))

  const follow = (after: string | undefined) =>
    Stream.unwrap(api.mail.changeStream({ query: after === undefined ? {} : { after }, headers: {} })).pipe(
      Stream.map(({ data }) => data),
    )

  /** Goes on after the last change that arrived, for as long as the connection can be had again. */
  const followChanges = (after: string | undefined): ReturnType<typeof follow> =>
    Stream.suspend(() => {
      let last = after
      const seen = Stream.tap(follow(after), ({ position }) => Effect.sync(() => last = position))
      return Stream.concat(
        Stream.catch(seen, (error) => last === after ? Stream.fail(error) : Stream.empty),
        Stream.unwrap(Effect.delay(Effect.sync(() => followChanges(last)), Duration.seconds(1))),
      )
    })

  return MailfleetClient.of({
    api,
    followChanges: (options) => followChanges(options?.after),
    importFile,
    pollRun: (id, options) => Stream.takeUntil(poll(id, options?.every ?? Duration.millis(250)), hasEnded),
    watchRun: (id) =>
      // A stream that ends early is a server that restarts or a proxy that lost patience: the run goes on, so ask again.
      // Whatever it failed with, the next call says what holds.
      watch(id).pipe(
        Stream.catch(() => Stream.empty),
        Stream.concat(poll(id, Duration.seconds(1))),
        Stream.takeUntil(hasEnded),
      ),
  })
})

/** The API with effects. */
export class MailfleetClient extends Context.Service<MailfleetClient, {
  readonly api: ApiClient
  /** Uploads a file as it is read, with backpressure. Answers with the run once the server has stored all of it. */
  readonly importFile: <E>(
    body: Stream.Stream<Uint8Array, E>,
    upload: ImportUpload,
  ) => Effect.Effect<Run, Effect.Error<ReturnType<typeof decodeImport>>>
  /** The run every `every` (250 ms), until it has ended. */
  readonly pollRun: (
    id: string,
    options?: { readonly every?: Duration.Input | undefined },
  ) => Stream.Stream<Run, Effect.Error<RunCall>>
  /**
   * Every change after a position, or from the oldest that is kept, and each new one as it comes; after `latest` only these. A
   * connection that breaks is made again; fails where that brings nothing, or where the next changes are deleted by now.
   */
  readonly followChanges: (options?: { readonly after?: string | undefined }) => Stream.Stream<
    Change,
    StreamError
  >
  /** The run each time it changed, pushed by the server, until it has ended. Falls back to asking each second. */
  readonly watchRun: (id: string) => Stream.Stream<Run, Effect.Error<RunCall>>
}>()("mailfleet/client/MailfleetClient") {
  /** Over the `HttpClient` in the context. */
  static readonly make: (
    options: ClientOptions,
  ) => Effect.Effect<MailfleetClient["Service"], never, HttpClient.HttpClient> = make

  /** Over the `HttpClient` of the caller, such as `FetchHttpClient.layer`. */
  static readonly layer = (options: ClientOptions): Layer.Layer<MailfleetClient, never, HttpClient.HttpClient> =>
    Layer.effect(MailfleetClient, make(options))
}
