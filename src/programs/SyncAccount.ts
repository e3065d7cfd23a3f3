/** Bringing the mail of one account in step: one complete round over all of its folders. */
import { Cause, Context, Duration, Effect, Exit, Fiber, FiberMap, Layer, Option, Random, Schema } from "effect"
import { codeOf, type FailureClass } from "../domain/FailureClass.ts"
import { type AccountId, isId } from "../domain/Ids.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { Mailboxes } from "../mail/Mailboxes.ts"
import { Folders } from "../storage/Folders.ts"
import { LeaseLost, type SyncLease, SyncLeases, type SyncStanding } from "../storage/SyncLeases.ts"
import { MessageWriter } from "../storage/MessageWriter.ts"
import { syncFolders } from "./SyncFolders.ts"

/** The account was deleted. */
export class AccountGone extends Schema.TaggedError<AccountGone>()("AccountGone", { message: Schema.String }) {}

/** A third of the lease's life: two beats may be missed. */
const beat = "20 seconds"

/** How often a process looks whether another one has ended the round that it waits for. */
const glance = 500

const minute = 60_000
const day = 24 * 60 * minute

export class SyncAccount extends Context.Service<SyncAccount, {
  /**
   * Answers after a complete round over all folders with the number of entries that it wrote to the change log; outcome
   * and next due time are recorded on the account. At most one round of an account is under way over all processes: a
   * call that comes meanwhile joins it (and counts no changes where another process runs it). A caller that is
   * interrupted leaves the round running.
   */
  readonly sync: (accountId: AccountId) => Effect.Effect<{ readonly changes: number }, ProviderError | AccountGone>
}>()("mailfleet/programs/SyncAccount") {
  static readonly layer: Layer.Layer<
    SyncAccount,
    never,
    Settings | Mailboxes | SyncLeases | Folders | MessageWriter
  > = Layer.effect(
    SyncAccount,
    Effect.gen(function* () {
      const settings = yield* Settings
      const mailboxes = yield* Mailboxes
      const leases = yield* SyncLeases
      const folders = yield* Folders
      const writer = yield* MessageWriter
      const rounds = yield* FiberMap.make<AccountId, { readonly changes: number }, ProviderError | AccountGone>()

      /** The round itself, while the lease is kept. */
      const work = (lease: SyncLease) =>
        Effect.flatMap(
          mailboxes.open(lease.account, { ids: (folder) => folders.storedIds(lease, folder) }),
          (mailbox) => syncFolders({ mailbox, folders, writer }, lease),
        )
          .pipe(Effect.scoped, Effect.raceFirst(keep(lease)))

      /** Takes the lease, if it is free, and lets go of it whatever happens: a lease left behind bars the account for its life. */
      const attempt = (accountId: AccountId) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.flatMap(
            leases.acquire(accountId),
            Option.match({
              onNone: () => Effect.succeedNone,
              onSome: (lease) =>
                restore(work(lease)).pipe(Effect.onExit((exit) => record(lease, exit)), Effect.map(Option.some)),
            }),
          )
        )

      const keep = (lease: SyncLease): Effect.Effect<never, LeaseLost> =>
        Effect.forever(
          Effect.delay(
            Effect.flatMap(leases.keep(lease), (kept) => kept ? Effect.void : Effect.fail(new LeaseLost())),
            beat,
          ),
        )

      const record = Effect.fnUntraced(
        function* (lease: SyncLease, exit: Exit.Exit<unknown, ProviderError | LeaseLost>) {
          if (Exit.isSuccess(exit)) {
            return yield* leases.succeed(lease, (yield* jitter) * Duration.toMillis(settings.syncEvery))
          }
          const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
          if (error?._tag === "ProviderError") {
            const { code, message } = error
            const dueInMillis = yield* dueAfter(error, lease.failures)
            // Whoever took the account over in the meantime records its own outcome.
            return yield* Effect.ignore(leases.fail(lease, { code, message, dueInMillis }))
          }
          // Interrupted by shutdown, or ended by a fault of the database: no verdict, and whoever is next need not wait.
          if (error === undefined) yield* Effect.ignoreCause(leases.release(lease))
        },
      )

      /** Waits for the round of another process. None = it ended without a verdict, so the account is free to take. */
      const join = Effect.fn("SyncAccount.join")(function* (accountId: AccountId, first: SyncStanding) {
        let heldForMillis = first.heldForMillis
        while (true) {
          yield* Effect.sleep(Math.min(glance, Math.max(1, heldForMillis)))
          const now = yield* standing(accountId)
          if (now.syncedAt?.getTime() !== first.syncedAt?.getTime()) return Option.some({ changes: 0 })
          if (now.failedAt !== null && now.failedAt.getTime() !== first.failedAt?.getTime()) {
            return yield* failureOf(now)
          }
          if (now.heldForMillis <= 0) return Option.none()
          heldForMillis = now.heldForMillis
        }
      })

      const standing = (accountId: AccountId): Effect.Effect<SyncStanding, AccountGone> =>
        Effect.flatMap(
          leases.standing(accountId),
          Option.match({ onNone: () => Effect.fail(gone), onSome: Effect.succeed }),
        )

      const round = Effect.fn("SyncAccount.round")(function* (accountId: AccountId) {
        while (true) {
          // A round that was lost to a process that took us for dead is joined as any other of its.
          const own = yield* Effect.catchTag(attempt(accountId), "LeaseLost", () => Effect.succeedNone)
          if (Option.isSome(own)) return own.value
          const outcome = yield* join(accountId, yield* standing(accountId))
          if (Option.isSome(outcome)) return outcome.value
        }
      })

      const sync = Effect.fn("SyncAccount.sync")(function* (accountId: AccountId) {
        if (!isId(accountId)) return yield* gone
        const id = accountId.toLowerCase()
        yield* Effect.annotateCurrentSpan({ accountId: id })
        while (true) {
          const running = FiberMap.getUnsafe(rounds, id)
          if (Option.isSome(running)) return yield* Fiber.join(running.value)
          // Joined in the next turn of the loop, as by everybody else: `onlyIfMissing` hands out no fiber that is there.
          yield* FiberMap.run(rounds, id, round(id), { onlyIfMissing: true, startImmediately: false })
        }
      })

      return SyncAccount.of({ sync })
    }),
  )
}

const gone = new AccountGone({ message: "there is no such account" })

/** Between 0.9 and 1.1, so that a fleet that was synced at once does not stay in step. */
const jitter = Random.nextBetween(0.9, 1.1)

/** Milliseconds until the next try of background work. `failures` = failed rounds in a row before. */
const dueAfter = Effect.fnUntraced(function* (error: ProviderError, failures: number) {
  switch (error.class) {
    case "throttled":
      // Never sooner than the provider allows, and at most a tenth later.
      return (error.retryAfterMillis ?? minute) * (yield* Random.nextBetween(1, 1.1))
    case "transient":
      return Math.min(60, 2 ** failures) * minute * (yield* jitter)
    case "blocked":
    case "needs_user":
    case "scope":
      return day * (yield* jitter)
    default:
      return 15 * minute * (yield* jitter)
  }
})

const classes = new Map(Object.entries(codeOf).map(([failureClass, code]) => [code, failureClass as FailureClass]))

/** The failure that another process recorded. */
const failureOf = (standing: SyncStanding): ProviderError => {
  const code = standing.failureCode ?? codeOf.unknown
  return new ProviderError({ class: classes.get(code) ?? "unknown", code, message: standing.failureMessage ?? "" })
}
