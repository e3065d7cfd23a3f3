/**
 * A typed client of the HTTP API.
 *
 * `api` has a method for every call, derived from the definition that the server is built from; errors arrive as the
 * problem classes of `api/Problems.ts`. Beside it stand the few things that take more than one call.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { MailfleetClient } from "@mailfleet/mailfleet/client"
 *
 * const program = Effect.gen(function* () {
 *   const { api } = yield* MailfleetClient
 *   const { items } = yield* api.accounts.list({ query: { limit: 10 } })
 *   return items.map((account) => account.email)
 * }).pipe(
 *   Effect.provide(MailfleetClient.layer({ baseUrl: "http://127.0.0.1:8080", apiKey: "…" })),
 *   Effect.provide(FetchHttpClient.layer)
 * )
 * ```
 */
import { Context, Duration, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { HttpBody, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { Api } from "./api/Api.ts"
import { Authorization } from "./api/Authorization.ts"
import type { importMediaTypes } from "./api/Imports.ts"
import type { Change } from "./domain/Mail.ts"
import type { Run } from "./domain/Run.ts"

export { Api } from "./api/Api.ts"
export * as Problems from "./api/Problems.ts"

export interface ClientOptions {
  /** Where the server listens, such as `http://127.0.0.1:8080`. */
  readonly baseUrl: string
  /** The admin key. */
  readonly apiKey: string | Redacted.Redacted
}

type ApiClient = HttpApiClient.ForApi<typeof Api>
type ImportCall = Parameters<ApiClient["imports"]["create"]>[0]
type RunCall = ReturnType<ApiClient["runs"]["get"]>
type ChangeStreamCall = ReturnType<ApiClient["mail"]["changeStream"]>
type StreamError = Effect.Error<ChangeStreamCall> | Stream.Error<Effect.Success<ChangeStreamCall>>

export interface ImportUpload {
  readonly contentType: typeof importMediaTypes[number]
  readonly query?: ImportCall["query"] | undefined
  readonly idempotencyKey?: string | undefined
}

const hasEnded = ({ state }: Run): boolean => state !== "queued" && state !== "running"

const decodeImport = HttpApiClient.decodeResponse(Api, { group: "imports", endpoint: "create" })

const make = Effect.fnUntraced(function* (options: ClientOptions) {
  const { baseUrl } = options
  const apiKey = Redacted.isRedacted(options.apiKey) ? options.apiKey : Redacted.make(options.apiKey)
  const http = yield* HttpClient.HttpClient
  const api = yield* HttpApiClient.make(Api, { baseUrl }).pipe(
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
   * Every change after a position, or from the beginning, and each new one as it comes. A connection that breaks is made again;
   * fails where that brings nothing.
   */
  readonly followChanges: (options?: { readonly after?: string | undefined }) => Stream.Stream<
    Change,
    StreamError
  >
  /** The run each time it changed, pushed by the server, until it has ended. Falls back to asking each second. */
  readonly watchRun: (id: string) => Stream.Stream<Run, Effect.Error<RunCall>>
}>()("mailfleet/client/MailfleetClient") {
  static readonly make: (
    options: ClientOptions,
  ) => Effect.Effect<MailfleetClient["Service"], never, HttpClient.HttpClient> = make

  /** Over the `HttpClient` of the caller, such as `FetchHttpClient.layer`. */
  static readonly layer = (options: ClientOptions): Layer.Layer<MailfleetClient, never, HttpClient.HttpClient> =>
    Layer.effect(MailfleetClient, make(options))
}
