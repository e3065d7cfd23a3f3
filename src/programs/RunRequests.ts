/** What somebody asks for becomes a run: stored first, worked on by the next free process. */
import { Context, Effect, Layer, Option, Redacted, Schema, type Stream } from "effect"
import { type Account, type Channel, type Provider, resourceOf } from "../domain/Account.ts"
import { checkRow } from "../domain/import/Row.ts"
import type { Run } from "../domain/Run.ts"
import type { RunId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { Accounts, type Selection } from "../storage/Accounts.ts"
import { defaultTenant, ImportStaging } from "../storage/runs/ImportStaging.ts"
import { type IdempotencyConflict, type NewRun, Runs } from "../storage/runs/Runs.ts"
import { stage } from "./Import.ts"
import { type ImportOptions, ImportRefused, type Requested } from "./ImportRequest.ts"
import { RunWorker } from "./RunWorker.ts"

export { type ImportOptions, ImportRefused, type Requested } from "./ImportRequest.ts"

/** One account given by itself rather than in a file. */
export interface NewAccount {
  /** The address of the mailbox. */
  readonly email: string
  /** The OAuth client that its user signed in to. */
  readonly clientId: string
  /** What the sign-in gave. */
  readonly refreshToken: Redacted.Redacted
  /** Microsoft only. Default: that of the settings. */
  readonly tenant?: string | undefined
  /** Default `microsoft`. */
  readonly provider?: Provider | undefined
  /** Default: what was granted decides. */
  readonly channel?: Channel | undefined
  /** Groups that the account belongs to. */
  readonly tags?: ReadonlyArray<string> | undefined
}

/** An account with this address is there already. */
export class DuplicateAccount extends Schema.TaggedError<DuplicateAccount>()("DuplicateAccount", {
  accountId: Schema.String,
}) {}

export class RunRequests extends Context.Service<RunRequests, {
  /** Stages the body and answers once all of it is durable. A body that breaks off leaves no run, and fails with its error. */
  readonly import: <E>(
    body: Stream.Stream<Uint8Array, E>,
    options: ImportOptions,
    request: Requested,
  ) => Effect.Effect<Run, E | ImportRefused | IdempotencyConflict>
  readonly refresh: (selection: Selection, request: Requested) => Effect.Effect<Run, IdempotencyConflict>
  readonly sync: (selection: Selection, request: Requested) => Effect.Effect<Run, IdempotencyConflict>
  /** A new run over the failed items that have an account. None = there are none. */
  readonly retry: (run: Run, request: Requested) => Effect.Effect<Option.Option<Run>, IdempotencyConflict>
  readonly cancel: (id: RunId) => Effect.Effect<boolean>
  /** Stores one account and redeems its token; the account's status says what came of it. */
  readonly addAccount: (account: NewAccount) => Effect.Effect<Account, DuplicateAccount | ImportRefused>
}>()("mailfleet/programs/RunRequests") {
  static readonly layer: Layer.Layer<
    RunRequests,
    never,
    Accounts | ImportStaging | Runs | RunWorker | Settings | Tokens
  > = Layer.effect(
    RunRequests,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const staging = yield* ImportStaging
      const runs = yield* Runs
      const settings = yield* Settings
      const tokens = yield* Tokens
      const worker = yield* RunWorker

      const startOver = (kind: "refresh" | "sync") =>
        Effect.fn(`RunRequests.${kind}`)(function* (selection: Selection, request: Requested) {
          const run = yield* runs.createOver(newRun(kind, request, selection), selection)
          yield* worker.wake(kind)
          return run
        })

      return RunRequests.of({
        import: (body, options, request) =>
          Effect.tap(
            stage(body, options, request).pipe(Effect.provideService(ImportStaging, staging)),
            worker.wake("import"),
          ),
        refresh: startOver("refresh"),
        sync: startOver("sync"),
        retry: Effect.fn("RunRequests.retry")(function* (run: Run, request: Requested) {
          const again = yield* runs.createRetry(run.id, newRun(run.kind, request, run.id))
          yield* worker.wake(run.kind)
          return again
        }),
        cancel: runs.cancel,
        addAccount: Effect.fn("RunRequests.addAccount")(function* (account: NewAccount) {
          const row = checkRow({ ...account, refreshToken: Redacted.value(account.refreshToken) }, 1, {})
          if (row._tag === "BadRow") {
            const { code, field, message } = row
            return yield* new ImportRefused({ code, message, ...(field === undefined ? {} : { field }) })
          }
          const stored = yield* staging.storeOne({
            ...row,
            tenant: row.tenant ?? defaultTenant(settings, row.provider),
          })
          if (stored._tag === "Settled" || stored.accountId === undefined) {
            return yield* new DuplicateAccount({ accountId: stored.accountId ?? "" })
          }
          const target = Option.getOrThrow(yield* accounts.target(stored.accountId))
          // What came of it is on the account.
          yield* Effect.ignore(tokens.refresh(target.grantId, resourceOf(row.provider, row.channel)))
          return Option.getOrThrow(yield* accounts.get(stored.accountId))
        }),
      })
    }),
  )
}

const newRun = (kind: NewRun["kind"], { trigger, idempotencyKey }: Requested, asked: unknown): NewRun => ({
  kind,
  trigger,
  idempotencyKey,
  params: kind === "import" ? { onDuplicate: "skip", dryRun: false, verify: true } : {},
  requestHash: JSON.stringify([kind, asked]),
})
