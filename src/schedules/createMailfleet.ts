/** Mailfleet inside a program that does not use Effect. */
import { PgClient } from "@effect/sql-pg"
import { Layer, Logger, ManagedRuntime, Redacted, References } from "effect"
import { FetchHttpClient } from "effect/http"
import { all, type Promised, promised } from "../promises/Promised.ts"
import type { Plain } from "../promises/Plain.ts"
import type { Change } from "../domain/Mail.ts"
import { Mailfleet } from "./Mailfleet.ts"
import type { MailfleetOptions } from "./MailfleetOptions.ts"

/** The settings of the library, and what a program with a client of its own would have decided itself. */
export interface CreateOptions extends MailfleetOptions {
  /** `postgres://user:password@host:port/database`, Postgres 15 or newer. */
  readonly databaseUrl: string
  /** Most connections to it. Default 10, at least 2. */
  readonly databaseConnections?: number | undefined
  /** Whether this process refreshes and syncs what is due by itself. Default true. */
  readonly schedules?: boolean | undefined
  /** Takes warnings and errors, one line each. Default: standard error. */
  readonly log?: ((line: string) => void) | undefined
}

/** What the library does, each by a promise. */
export type MailfleetMethods = Promised<Omit<Mailfleet["Service"], "schedules" | "import">>
type Listed = { readonly items: ReadonlyArray<unknown>; readonly nextCursor: string | null }
/** What a list is of. */
export type ItemOf<L> = L extends (options: infer _O) => Promise<{ readonly items: ReadonlyArray<infer A> }> ? A : never
/** What a list can be filtered by. */
export type OptionsOf<L> = L extends (options: infer O) => Promise<unknown> ? Omit<O, "limit" | "cursor"> : never

/** The groups whose `list` gives pages, and which therefore have `all`. */
export type ListName =
  | "accounts"
  | "apps"
  | "grants"
  | "policies"
  | "runs"
  | "messages"
  | "erasures"
  | "events"
  | "audit"
  | "webhooks"
const lists: ReadonlyArray<ListName> = [
  "accounts",
  "apps",
  "grants",
  "policies",
  "runs",
  "messages",
  "erasures",
  "events",
  "audit",
  "webhooks",
]

/** Every item of the list, page after page, as they are taken. */
export type WithAll<G> = G extends { readonly list: infer L } ? G & {
    readonly all: (options?: OptionsOf<L>) => AsyncIterable<ItemOf<L>>
  }
  : G

/** The library with promises and plain values: the names of {@link Mailfleet}, times as `Date`, secrets as texts, none as `undefined`. */
export type MailfleetPromises =
  & { readonly [N in keyof MailfleetMethods]: N extends ListName ? WithAll<MailfleetMethods[N]> : MailfleetMethods[N] }
  & {
    /** Takes in a file of accounts. Answers with its run once all of the file is durable; `runs.ended` waits for the rest. */
    readonly import: (
      file: string | Uint8Array | ReadableStream<Uint8Array>,
      options?: Parameters<Mailfleet["Service"]["import"]>[1],
    ) => ReturnType<MailfleetMethods["refresh"]>
    /**
     * Every change after a position, or from the oldest that is kept, and each new one as it comes, for ever; after `latest` only
     * these. Throws `PositionExpired` where the next changes are deleted by now: list the messages anew.
     */
    readonly followChanges: (options?: { readonly after?: string | undefined }) => AsyncIterable<Plain<Change>>
    /** Hands back what is under way and closes the connections. */
    readonly close: () => Promise<void>
    readonly [Symbol.asyncDispose]: () => Promise<void>
  }

/**
 * Starts Mailfleet in this process, in a schema of its own of the Postgres that `databaseUrl` names. Rejected with a
 * `SettingsError` where an option cannot be, and with a `DatabaseError` where the database cannot be used.
 *
 * @example
 * ```ts
 * import { createMailfleet } from "@mailfleet/mailfleet"
 *
 * await using mailfleet = await createMailfleet({ databaseUrl: "postgres://…", encryptionKeys: "k1:…" })
 * await mailfleet.runs.ended(await mailfleet.import("email,client_id,refresh_token\n…"))
 * for await (const account of mailfleet.accounts.all({ status: "active" })) console.log(account.email)
 * ```
 */
export const createMailfleet = async (options: CreateOptions): Promise<MailfleetPromises> => {
  const { databaseConnections = 10, databaseUrl, log = (line) => console.error(line), schedules = true } = options
  const database = PgClient.layer({
    url: Redacted.make(databaseUrl),
    applicationName: "mailfleet",
    maxConnections: databaseConnections,
  })
  const fleet = Mailfleet.layer(options)
  const runtime = ManagedRuntime.make(
    (schedules ? Layer.provideMerge(Mailfleet.layerSchedules, fleet) : fleet).pipe(
      Layer.provide([database, FetchHttpClient.layer]),
      Layer.provideMerge(Logger.layer([Logger.map(Logger.formatLogFmt, log)])),
      Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Warn")),
    ),
  )
  const { schedules: _, ...service } = await runtime.runPromise(Mailfleet)
  const run = <A, E>(effect: Parameters<typeof runtime.runPromise<A, E>>[0]) => runtime.runPromise(effect)
  const methods = promised(service, run)
  // What `withAll` and the promises of a service are by name, the compiler does not follow: the examples of docs/embedding.md do.
  return {
    ...methods,
    ...withAll(methods),
    followChanges: (after?: { readonly after?: string | undefined }) => later(() => methods.changes.follow(after)),
    close: () => runtime.dispose(),
    [Symbol.asyncDispose]: () => runtime.dispose(),
  } as unknown as MailfleetPromises
}

const later = async function* <A>(start: () => Promise<AsyncIterable<A>>): AsyncGenerator<A, void, undefined> {
  yield* await start()
}

type Pages = { readonly list: (options: object) => Promise<Listed> }

const withAll = (methods: Record<ListName, unknown>) =>
  Object.fromEntries(lists.map((name) => {
    const group = methods[name] as Pages
    return [name, { ...group, all: (options?: object) => all((page) => group.list({ ...options, ...page })) }]
  }))
