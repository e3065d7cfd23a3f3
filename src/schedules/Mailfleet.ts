/**
 * Mailfleet inside another program: on that program's own Postgres client, in a schema of its own.
 *
 * Reads, and requests for refreshes and syncs, take part in a transaction that the caller has open on the same client: a
 * run that is asked for in a transaction exists if that transaction commits. Whatever talks to a provider or reads a
 * stream stays outside of it: `import`, `accounts.add` and `accessToken` are durable whatever becomes of the caller's
 * transaction, and need a second connection while it is open.
 */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Option, Schema, type Scope, Stream } from "effect"
import { FetchHttpClient, type HttpClient } from "effect/http"
import type { Account, Channel, Provider } from "../domain/Account.ts"
import type { AccountId } from "../domain/Ids.ts"
import type { ImportFormat } from "../domain/ImportFile.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import type { OnDuplicate, Run } from "../domain/Run.ts"
import type { Settings, SettingsError } from "../domain/Settings.ts"
import type { AccessToken } from "../oauth/Tokens.ts"
import {
  type AccessTokenOptions,
  AccessTokens,
  type AccountNotFound,
  type WrongResource,
} from "../programs/AccessTokens.ts"
import { AppRequests } from "../programs/AppRequests.ts"
import { Connect } from "../programs/Connect.ts"
import { ReconnectLinks } from "../programs/ReconnectLinks.ts"
import { GrantRequests } from "../programs/GrantRequests.ts"
import { type DuplicateAccount, type ImportRefused, type NewAccount, RunRequests } from "../programs/RunRequests.ts"
import { WebhookRequests } from "../programs/webhooks/WebhookRequests.ts"
import { type AccountFilter, Accounts, type Selection } from "../storage/Accounts.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { Audit } from "../storage/Audit.ts"
import { Changes } from "../storage/mail/Changes.ts"
import { Database, type DatabaseError } from "../storage/Database.ts"
import { Erasures } from "../storage/Erasures.ts"
import { Events } from "../storage/Events.ts"
import { GrantCatalog } from "../storage/grants/GrantCatalog.ts"
import { Folders } from "../storage/mail/Folders.ts"
import { Messages } from "../storage/mail/Messages.ts"
import { Policies } from "../storage/grants/Policies.ts"
import { type IdempotencyConflict, Runs } from "../storage/runs/Runs.ts"
import { type FleetStats, Stats } from "../storage/Stats.ts"
import { Webhooks } from "../storage/webhooks/Webhooks.ts"
import { type Engine, layerEngine, layerSchedules } from "./Engine.ts"
import { inOptions, layerOptions, type MailfleetOptions } from "./MailfleetOptions.ts"

/** A `ReadableStream` that was to be imported broke off. Nothing of it was stored. */
export class ImportFileBroken extends Schema.TaggedError<ImportFileBroken>()("ImportFileBroken", {
  cause: Schema.Defect(),
}) {}

/** There is no run with this id, or its transaction has not been committed. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", { runId: Schema.String }) {}

/** Accounts to work on. Disabled accounts are left out, or skipped where named by id. */
export type AccountSelection =
  | { readonly accountIds: ReadonlyArray<AccountId> }
  | { readonly filter: AccountFilter }
  | { readonly all: true }

/** A file of accounts: its text, its bytes, or a stream of them. A stream is read once, in constant memory. */
export type ImportFile<E = never> = string | Uint8Array | ReadableStream<Uint8Array> | Stream.Stream<Uint8Array, E>

/** How a file of accounts is taken in. */
export interface ImportFileOptions {
  /** Default `csv`: with a header that names `email,client_id,refresh_token[,tenant,provider,channel,tags]`. */
  readonly format?: ImportFormat | undefined
  /** What happens to a row whose account exists. Default `skip`. */
  readonly onDuplicate?: OnDuplicate | undefined
  /** Check the file only. Default false. */
  readonly dryRun?: boolean | undefined
  /** Redeem each refresh token once. Default true. */
  readonly verify?: boolean | undefined
  /** For rows that name none. */
  readonly provider?: Provider | undefined
  /** For rows that name none. Default: what was granted decides. */
  readonly channel?: Channel | undefined
  /** For every row. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** The same key with the same file and options answers with the same run. */
  readonly idempotencyKey?: string | undefined
}

/** How a run is asked for. */
export interface RunOptions {
  /** The same key with the same selection answers with the same run. */
  readonly idempotencyKey?: string | undefined
}

/** The library: imports, refreshes, syncs, access tokens and stored mail. */
export class Mailfleet extends Context.Service<Mailfleet, {
  /** Takes in a file of accounts. Answers with its run once all of the file is durable; `runs.ended` waits for the rest. */
  readonly import: <E = never>(
    file: ImportFile<E>,
    options?: ImportFileOptions,
  ) => Effect.Effect<Run, E | ImportRefused | IdempotencyConflict | ImportFileBroken>
  /** Asks for a run that redeems the refresh token of each account. */
  readonly refresh: (accounts: AccountSelection, options?: RunOptions) => Effect.Effect<Run, IdempotencyConflict>
  /** Asks for a run that brings the stored mail of each account in step. */
  readonly sync: (accounts: AccountSelection, options?: RunOptions) => Effect.Effect<Run, IdempotencyConflict>
  /** A valid access token of an account, from the cache or by a refresh. Every call is in the audit log. */
  readonly accessToken: (
    id: AccountId,
    options?: AccessTokenOptions,
  ) => Effect.Effect<AccessToken, AccountNotFound | WrongResource | ProviderError>
  readonly accounts: Pick<Accounts["Service"], "get" | "list" | "patch" | "remove"> & {
    /** Stores one account and redeems its token; the account's status says what came of it. */
    readonly add: (account: NewAccount) => Effect.Effect<Account, DuplicateAccount | ImportRefused>
  }
  /** OAuth clients. Secrets go in and never come out. */
  readonly apps: Pick<Apps["Service"], "get" | "list"> & AppRequests["Service"]
  /**
   * Links by which people sign in. They lead to a `mailfleet serve` on the same database and with the same encryption keys,
   * which `publicUrl` of the options names.
   */
  readonly connect: Pick<Connect["Service"], "create" | "get"> & {
    /** The lasting link where the user of an account signs in again. */
    readonly reconnectUrl: (id: AccountId) => Effect.Effect<string>
  }
  /** Grants; those without a refresh token are made here, and mailboxes are added to them. */
  readonly grants: GrantCatalog["Service"] & GrantRequests["Service"]
  /** The refresh policies of tags. That of an account is set by `accounts.patch`. */
  readonly policies: Pick<Policies["Service"], "list" | "set" | "unset">
  readonly runs: Pick<Runs["Service"], "get" | "list" | "items"> & Pick<RunRequests["Service"], "cancel"> & {
    /** The run once it has ended, however it ended. */
    readonly ended: (run: Pick<Run, "id">) => Effect.Effect<Run, RunNotFound>
    /** A new run over the failed items that have an account. None = there are none. */
    readonly retry: (run: Run, options?: RunOptions) => Effect.Effect<Option.Option<Run>, IdempotencyConflict>
  }
  readonly folders: Pick<Folders["Service"], "list">
  readonly messages: Messages["Service"]
  readonly changes: Changes["Service"]
  /** What operators are told of the fleet as a whole. */
  readonly events: Pick<Events["Service"], "list">
  /**
   * Where what happens is sent to. The schedules send; secrets are shown once. `create`, `update` and `test` look up the target,
   * and stay outside of the caller's transaction.
   */
  readonly webhooks: WebhookRequests["Service"] & Omit<Webhooks["Service"], "create" | "update" | "target">
  /** What became of accounts that were removed. */
  readonly erasures: Pick<Erasures["Service"], "get" | "list">
  /** Who was given which access token, and who signed in; of the HTTP API also who read and changed what. */
  readonly audit: Pick<Audit["Service"], "list">
  /** The fleet at a glance. */
  readonly stats: Effect.Effect<FleetStats>
  /** Refreshes and syncs whatever is due, and tidies up, until the scope closes. */
  readonly schedules: Effect.Effect<void, never, Scope.Scope>
}>()("mailfleet/schedules/Mailfleet") {
  /**
   * Mail is read over the `HttpClient` of the caller, as are the pages of a sign-in. Tokens are redeemed by the `fetch` that
   * stands in the reference `FetchHttpClient.Fetch` where the layer is built: the runtime's, unless the caller puts another there.
   */
  static readonly layerNoDeps = (
    options: MailfleetOptions,
  ): Layer.Layer<Mailfleet, SettingsError | DatabaseError, PgClient.PgClient | HttpClient.HttpClient> =>
    Layer.effect(
      Mailfleet,
      // Fresh: layers are shared by identity, and two of us in one program have databases and settings of their own.
      Effect.map(Layer.build(Layer.fresh(layerService(options))), Context.get(Mailfleet)),
    )

  /**
   * Works on runs from the moment it is built. Schema and tables are made, or brought up to date, in the database of the
   * caller's client; everything else in that database is left alone.
   */
  static readonly layer = (
    options: MailfleetOptions,
  ): Layer.Layer<Mailfleet, SettingsError | DatabaseError, PgClient.PgClient> =>
    Layer.provide(Mailfleet.layerNoDeps(options), FetchHttpClient.layer)

  /** Runs the schedules as long as it lives. Any number of processes may: each piece of due work is done by one. */
  static readonly layerSchedules: Layer.Layer<never, never, Mailfleet> = Layer.effectDiscard(
    Effect.flatMap(Mailfleet, ({ schedules }) => schedules),
  )
}

const make = Effect.gen(function* () {
  const { sql } = yield* Database
  const accounts = yield* Accounts
  const apps = yield* Apps
  const appRequests = yield* AppRequests
  const audit = yield* Audit
  const erasures = yield* Erasures
  const events = yield* Events
  const changes = yield* Changes
  const connect = yield* Connect
  const reconnectLinks = yield* ReconnectLinks
  const folders = yield* Folders
  const grants = yield* GrantCatalog
  const grantRequests = yield* GrantRequests
  const messages = yield* Messages
  const policies = yield* Policies
  const requests = yield* RunRequests
  const runs = yield* Runs
  const stats = yield* Stats
  const tokens = yield* AccessTokens
  const { target: _, ...webhooks } = yield* Webhooks
  const webhookRequests = yield* WebhookRequests
  const engine = yield* Effect.context<Engine | Settings>()

  // A redemption that only the caller's commit would keep could lose the rotated token for good.
  const outside = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.updateContext(effect, (context: Context.Context<never>) => Context.omit(sql.transactionService)(context))

  return Mailfleet.of({
    import: (file, { format = "csv", onDuplicate = "skip", dryRun = false, verify = true, ...rest } = {}) => {
      const { provider, channel, tags = [], idempotencyKey } = rest
      return outside(requests.import(
        bytesOf(file),
        { format, onDuplicate, dryRun, verify, provider, channel, tags },
        requested({ idempotencyKey }),
      ))
    },
    refresh: (selection, options) => requests.refresh(selectionOf(selection), requested(options)),
    sync: (selection, options) => requests.sync(selectionOf(selection), requested(options)),
    accessToken: (id, options) => outside(tokens.issue("library", id, options)),
    accounts: {
      get: accounts.get,
      list: accounts.list,
      patch: accounts.patch,
      remove: accounts.remove,
      add: (account) => outside(requests.addAccount(account)),
    },
    apps: { get: apps.get, list: apps.list, add: appRequests.add, patch: appRequests.patch },
    connect: { create: connect.create, get: connect.get, reconnectUrl: reconnectLinks.urlOf },
    grants: {
      get: grants.get,
      list: grants.list,
      remove: grants.remove,
      create: grantRequests.create,
      mailboxes: (id, options) => outside(grantRequests.mailboxes(id, options)),
      addAccounts: (id, selection) => outside(grantRequests.addAccounts(id, selection)),
    },
    policies: { list: policies.list, set: policies.set, unset: policies.unset },
    runs: {
      get: runs.get,
      list: runs.list,
      items: runs.items,
      cancel: requests.cancel,
      ended: Effect.fn("Mailfleet.runs.ended")(function* ({ id }) {
        while (true) {
          const run = Option.getOrUndefined(yield* runs.get(id))
          if (run === undefined) return yield* new RunNotFound({ runId: id })
          if (run.state !== "queued" && run.state !== "running") return run
          yield* Effect.sleep("100 millis")
        }
      }, outside),
      retry: (run, options) => requests.retry(run, { ...requested(options), trigger: "retry" }),
    },
    folders: { list: folders.list },
    messages,
    changes,
    events: { list: events.list },
    webhooks: {
      ...webhooks,
      create: (webhook) => outside(webhookRequests.create(webhook)),
      update: (id, patch) => outside(webhookRequests.update(id, patch)),
      test: (id) => outside(webhookRequests.test(id)),
    },
    erasures: { get: erasures.get, list: erasures.list },
    audit: { list: audit.list },
    stats: stats.fleet,
    schedules: Effect.asVoid(Layer.build(Layer.fresh(layerSchedules))).pipe(Effect.provideContext(engine)),
  })
})

const layerService = (options: MailfleetOptions) =>
  Layer.effect(Mailfleet, make).pipe(
    Layer.provide(layerEngine),
    Layer.provide(Database.layerClient),
    Layer.provide(layerClient),
    Layer.catchTag("SettingsError", (error) => Layer.effectContext(Effect.fail(inOptions(error)))),
    Layer.provide(layerOptions(options)),
  )

/** The caller's client as our statements need it: the caller may have column names rewritten, we read them as they are. */
const layerClient: Layer.Layer<PgClient.PgClient, never, PgClient.PgClient> = Layer.effect(
  PgClient.PgClient,
  Effect.gen(function* () {
    const client = yield* PgClient.PgClient
    if (client.config.multiplex === true) {
      yield* Effect.logWarning(
        "the PgClient has multiplex on: queries that share a connection with an interrupted one can hang",
      )
    }
    return client.withoutTransforms()
  }),
)

const requested = (options: RunOptions | undefined) => ({
  trigger: "library",
  idempotencyKey: options?.idempotencyKey,
})

const selectionOf = (selection: AccountSelection): Selection =>
  "accountIds" in selection
    ? { _tag: "Ids", ids: selection.accountIds }
    : { _tag: "Filter", filter: "filter" in selection ? selection.filter : {} }

const bytesOf = <E>(file: ImportFile<E>): Stream.Stream<Uint8Array, E | ImportFileBroken> => {
  if (typeof file === "string") return Stream.make(new TextEncoder().encode(file))
  if (file instanceof Uint8Array) return Stream.make(file)
  if (Stream.isStream(file)) return file
  return Stream.fromReadableStream({
    evaluate: () => file,
    onError: (cause) => new ImportFileBroken({ cause }),
  })
}
