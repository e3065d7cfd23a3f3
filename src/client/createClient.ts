/** The typed client for programs that do not use Effect. */
import { Duration, Effect, Layer, ManagedRuntime, Option, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as Problems from "../api/Problems.ts"
import { parseDuration } from "../domain/Settings.ts"
import { given, type Plain, plain } from "../promises/Plain.ts"
import { all } from "../promises/Promised.ts"
import type { Client, ImportOptions, List, MessageFilter, Page, PageOptions, RunOptions } from "./Client.ts"
import { MailfleetClient } from "./MailfleetClient.ts"

/** Where the server is, and how it is talked to. */
export interface CreateClientOptions {
  /** Where the server listens, such as `http://127.0.0.1:8080`. */
  readonly url: string
  /** The admin key, or an API key. */
  readonly apiKey: string
  /** How often a request that failed in passing is made again, where that is safe. Default 3. */
  readonly retries?: number | undefined
  /** Default: the runtime's. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

const mediaTypes = {
  csv: "text/csv",
  ndjson: "application/x-ndjson",
  json: "application/json",
  lines: "text/plain",
} as const satisfies Record<NonNullable<ImportOptions["format"]>, string>

/** What the API calls not found is `undefined` here, as in the library. */
const orUndefined = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> =>
  Effect.catchIf(effect, (error) => error instanceof Problems.NotFound, () => Effect.succeed(undefined))

const removed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<boolean, E, R> =>
  Effect.map(orUndefined(Effect.as(effect, true)), (found) => found === true)

const listOf = <A, F>(list: (options?: F & PageOptions) => Promise<Page<A>>): List<A, F> => ({
  list,
  all: (options?: F) => all<A>((at) => list({ ...options as F, ...at })),
})

const streamOf = (file: string | Uint8Array | ReadableStream<Uint8Array>): Stream.Stream<Uint8Array, unknown> =>
  typeof file === "string"
    ? Stream.make(new TextEncoder().encode(file))
    : file instanceof Uint8Array
    ? Stream.make(file)
    : Stream.fromReadableStream({ evaluate: () => file, onError: (cause) => cause })

const keyOf = (options: RunOptions | undefined) => ({
  headers: { "idempotency-key": options?.idempotencyKey ?? crypto.randomUUID() },
})

/**
 * A client of the server at `url`. Nothing is sent before the first call.
 *
 * @example
 * ```ts
 * import { createClient } from "@mailfleet/mailfleet/client"
 *
 * await using client = createClient({ url: "http://127.0.0.1:8080", apiKey: "…" })
 * const run = await client.runs.ended(await client.import("email,client_id,refresh_token\n…", { tags: ["first"] }))
 * for await (const account of client.accounts.all({ tag: "first", status: "active" })) console.log(account.email)
 * console.log(run.succeeded, run.failed)
 * ```
 */
export const createClient = ({ apiKey, fetch, retries, url }: CreateClientOptions): Client => {
  const runtime = ManagedRuntime.make(
    MailfleetClient.layer({ baseUrl: url, apiKey, retries }).pipe(
      Layer.provide(FetchHttpClient.layer),
      Layer.provideMerge(fetch === undefined ? Layer.empty : Layer.succeed(FetchHttpClient.Fetch, fetch)),
    ),
  )
  type Service = MailfleetClient["Service"]
  type Api = Service["api"]

  const call = <A, E>(use: (api: Api) => Effect.Effect<A, E>): Promise<Plain<A>> =>
    runtime.runPromise(Effect.flatMap(MailfleetClient, ({ api }) => use(api))).then(plain)
  const iterate = async function* <A, E>(
    use: (client: Service) => Stream.Stream<A, E>,
  ): AsyncGenerator<Plain<A>, void> {
    const context = await runtime.context()
    const stream = Stream.unwrap(Effect.map(MailfleetClient, use))
    for await (const value of Stream.toAsyncIterableWith(stream, context)) yield plain(value)
  }
  /** A parameter in plain terms, as the call takes it. */
  const as = <A>(value: unknown): A => given(value) as A
  const query = <Q>(options: object | undefined) => ({ query: as<Q>({ ...options }) })

  const messages = (options: (MessageFilter & PageOptions) | undefined) => {
    const { accountId, folder, threadId, ...filter } = options ?? {}
    if (accountId === undefined) return call((api) => api.mail.messages(query(filter)))
    const own = {
      ...filter,
      ...(folder === undefined ? {} : { folder }),
      ...(threadId === undefined ? {} : { threadId }),
    }
    return call((api) => api.mail.accountMessages({ params: { id: accountId }, ...query(own) }))
  }

  return {
    import: (file, { format = "csv", idempotencyKey = crypto.randomUUID(), ...options } = {}) =>
      runtime.runPromise(Effect.flatMap(
        MailfleetClient,
        ({ importFile }) =>
          importFile(streamOf(file), { contentType: mediaTypes[format], query: options, idempotencyKey }),
      )).then(plain),
    refresh: (selection, options) =>
      call((api) => Effect.map(api.work.refresh({ payload: as(selection), ...keyOf(options) }), ({ body }) => body)),
    sync: (selection, options) =>
      call((api) => Effect.map(api.work.sync({ payload: as(selection), ...keyOf(options) }), ({ body }) => body)),
    accessToken: (id, { minValidity, resource } = {}) =>
      call((api) =>
        api.accounts.accessToken({
          params: { id },
          query: {
            ...(resource === undefined ? {} : { resource }),
            ...(minValidity === undefined ? {} : {
              minValidity: Option.getOrElse(parseDuration(minValidity), () => Duration.infinity),
            }),
          },
        })
      ),
    accounts: {
      ...listOf((options) => call((api) => api.accounts.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.accounts.get({ params: { id } }))),
      add: (account) => call((api) => Effect.map(api.accounts.create({ payload: as(account) }), ({ body }) => body)),
      patch: (id, patch) => call((api) => orUndefined(api.accounts.update({ params: { id }, payload: as(patch) }))),
      remove: (id) => call((api) => removed(api.accounts.remove({ params: { id } }))),
    },
    runs: {
      ...listOf((options) => call((api) => api.runs.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.runs.get({ params: { id } }))),
      items: (id, options) => call((api) => api.runs.items({ params: { id }, ...query(options) })),
      ended: ({ id }) =>
        runtime.runPromise(Effect.flatMap(
          MailfleetClient,
          ({ api, watchRun }) => Effect.andThen(Stream.runDrain(watchRun(id)), api.runs.get({ params: { id } })),
        )).then(plain),
      watch: ({ id }) => iterate(({ watchRun }) => watchRun(id)),
      cancel: (id) => call((api) => api.runs.cancel({ params: { id } })),
      retry: ({ id }, options) =>
        call((api) =>
          api.runs.retry({ params: { id }, ...keyOf(options) }).pipe(
            Effect.map(({ body }) => body),
            Effect.catchIf((error) => error instanceof Problems.NothingToRetry, () => Effect.succeed(undefined)),
          )
        ),
    },
    messages: {
      ...listOf(messages),
      get: (id) => call((api) => orUndefined(api.mail.message({ params: { id } }))),
      threads: (id, options) => call((api) => api.mail.threads({ params: { id }, ...query(options) })),
      attachment: (id, attachmentId) =>
        iterate(({ api }) => Stream.unwrap(api.mail.attachment({ params: { id, attachmentId } }))),
    },
    folders: {
      list: (id) => Array.fromAsync(all((at) => call((api) => api.mail.folders({ params: { id }, query: at })))),
    },
    changes: { list: (options) => call((api) => api.mail.changes(query(options))) },
    followChanges: (options) => iterate(({ followChanges }) => followChanges(options)),
    apps: {
      ...listOf((options) => call((api) => api.apps.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.apps.get({ params: { id } }))),
      add: (app) => call((api) => Effect.map(api.apps.create({ payload: as(app) }), ({ body }) => body)),
      patch: (id, patch) => call((api) => orUndefined(api.apps.update({ params: { id }, payload: as(patch) }))),
    },
    grants: {
      ...listOf((options) => call((api) => api.grants.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.grants.get({ params: { id } }))),
      create: (grant) => call((api) => Effect.map(api.grants.create({ payload: as(grant) }), ({ body }) => body)),
      remove: (id) => call((api) => removed(api.grants.remove({ params: { id } }))),
    },
    connect: {
      create: (session) =>
        call((api) => Effect.map(api.connectSessions.create({ payload: as(session) }), ({ body }) => body)),
      get: (id) => call((api) => orUndefined(api.connectSessions.get({ params: { id } }))),
    },
    policies: {
      ...listOf((options) => call((api) => api.policies.list(query(options)))),
      set: (tag, policy) => call((api) => api.policies.set({ params: { tag }, payload: { policy } })),
      unset: (tag) => call((api) => removed(api.policies.unset({ params: { tag } }))),
    },
    webhooks: {
      ...listOf((options) => call((api) => api.webhooks.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.webhooks.get({ params: { id } }))),
      create: (webhook) => call((api) => Effect.map(api.webhooks.create({ payload: webhook }), ({ body }) => body)),
      patch: (id, patch) => call((api) => orUndefined(api.webhooks.update({ params: { id }, payload: patch }))),
      remove: (id) => call((api) => removed(api.webhooks.remove({ params: { id } }))),
      rotateSecret: (id) => call((api) => orUndefined(api.webhooks.rotateSecret({ params: { id } }))),
      test: (id) => call((api) => orUndefined(api.webhooks.test({ params: { id } }))),
      replay: (id, after) => call((api) => orUndefined(api.webhooks.replay({ params: { id }, payload: { after } }))),
      deliveries: (id, options) => call((api) => api.webhooks.deliveries({ params: { id }, ...query(options) })),
    },
    erasures: {
      ...listOf((options) => call((api) => api.erasures.list(query(options)))),
      get: (id) => call((api) => orUndefined(api.erasures.get({ params: { id } }))),
    },
    events: listOf((options) => call((api) => api.events.list(query(options)))),
    audit: listOf((options) => call((api) => api.audit.list(query(options)))),
    stats: () => call((api) => api.operations.stats()),
    close: () => runtime.dispose(),
    [Symbol.asyncDispose]: () => runtime.dispose(),
  }
}
