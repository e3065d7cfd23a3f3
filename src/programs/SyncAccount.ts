/** Bringing the mail of one account in step: turns of bounded work, until a round over all of its folders is complete. */
import {
  Cause,
  Context,
  DateTime,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberMap,
  Layer,
  Metric,
  Option,
  Random,
  Schedule,
  Schema,
  type Scope,
} from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { resourceOf } from "../domain/Account.ts"
import { codeOf, type FailureClass } from "../domain/FailureClass.ts"
import { type AccountId, type FolderId, isId } from "../domain/Ids.ts"
import { horizonDays } from "../domain/MailChoice.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { Mailboxes } from "../mail/Mailboxes.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { SyncPace } from "../pacing/SyncPace.ts"
import { Folders } from "../storage/mail/Folders.ts"
import { IdleWatches } from "../storage/mail/IdleWatches.ts"
import { LeaseLost, leaseSeconds, type SyncLease, SyncLeases, type SyncStanding } from "../storage/mail/SyncLeases.ts"
import { MessageWriter } from "../storage/mail/MessageWriter.ts"
import { SyncCounts } from "../storage/mail/SyncCounts.ts"
import { SyncTurns } from "../storage/mail/SyncTurns.ts"
import { type BacklogPlaces, serveBodies } from "./SyncBodies.ts"
import { syncFolders } from "./SyncFolders.ts"
import { reconcile } from "./SyncReconcile.ts"
import { type TurnLimits, turnLimits } from "./SyncTurn.ts"
import { unexpectedAsError } from "./Unexpected.ts"

/** The account was deleted. */
export class AccountGone extends Schema.TaggedError<AccountGone>()("AccountGone", { message: Schema.String }) {}

/** A third of the lease's life: two beats may be missed. */
const beat = "15 seconds"

/** How often a process looks whether another one has ended the round that it waits for. */
const glance = 500

const minute = 60_000
const day = 24 * 60 * minute

const turnsTotal = Metric.counter("mailfleet_sync_turns_total", {
  description: "Turns of syncs, by channel and by what came of them",
  incremental: true,
})

/** What came of a turn. */
export interface Turned {
  /** Entries of the change log; 0 where another process took the turn. */
  readonly changes: number
  /** False where the round goes on: the account is to be taken up again. */
  readonly complete: boolean
}

/** The same, with what its record needs. */
interface Ended extends Turned {
  readonly time: string
  readonly asked: ReadonlyArray<FolderId>
  /** Something is waiting that should not wait for the next round. */
  readonly soon: boolean
}

export class SyncAccount extends Context.Service<SyncAccount, {
  /**
   * A turn of bounded work (see SyncTurn); outcome and next due time are recorded on the account. At most one turn of an
   * account is under way over all processes: a call that comes meanwhile joins it. A caller that is interrupted leaves it
   * running.
   */
  readonly turn: (accountId: AccountId) => Effect.Effect<Turned, ProviderError | AccountGone>
  /** Turns, one after another, until a round over all folders is complete. Answers with the changes of all of them. */
  readonly sync: (accountId: AccountId) => Effect.Effect<{ readonly changes: number }, ProviderError | AccountGone>
}>()("mailfleet/programs/SyncAccount") {
  static readonly layerWith = (limits: TurnLimits): Layer.Layer<
    SyncAccount,
    never,
    | Settings
    | IdleWatches
    | Mailboxes
    | SyncCounts
    | SyncLeases
    | SyncPace
    | SyncTurns
    | Folders
    | MessageWriter
    | Tokens
  > =>
    Layer.effect(
      SyncAccount,
      Effect.gen(function* () {
        const settings = yield* Settings
        const mailboxes = yield* Mailboxes
        const leases = yield* SyncLeases
        const turns = yield* SyncTurns
        const counts = yield* SyncCounts
        const pace = yield* SyncPace
        const tokens = yield* Tokens
        const watches = yield* IdleWatches
        const folders = yield* Folders
        const writer = yield* MessageWriter
        const scope = yield* Effect.scope
        const backlogs: BacklogPlaces = new Map()
        const running = yield* FiberMap.make<AccountId, Turned, ProviderError | AccountGone>()

        const work = Effect.fnUntraced(function* (lease: SyncLease): Effect.fn.Return<
          Ended,
          ProviderError | LeaseLost,
          Scope.Scope
        > {
          const start = yield* turns.begin(lease)
          const { account } = lease
          if (start.channelOpen) {
            // The answer decides on the channel, and the next turn reads through it.
            yield* tokens.refresh(account.grantId, resourceOf(account.provider, account.channel))
            if ((yield* turns.begin(lease)).channelOpen) return yield* undecided
            return { changes: 0, complete: false, time: start.time, asked: [], soon: false }
          }
          const mailbox = yield* mailboxes.open(yield* wantedOf(lease), {
            ids: (folder) => folders.storedIds(lease, folder),
          })
          const services = { mailbox, folders, writer }
          const turn = yield* syncFolders(services, lease, start, limits)
          if (turn.changes > 0 && account.channel === "imap") yield* watches.active(lease)
          if (!turn.complete) return { ...turn, time: start.time, soon: false }
          const isDifferent = start.countsDue && (yield* reconcile({ mailbox, folders, counts, settings }, lease).pipe(
            Effect.catchTag(
              "ProviderError",
              ({ code }) => Effect.as(Effect.logDebug("counts cannot be compared now", { code }), false),
            ),
          ))
          const hasBacklog = yield* serveBodies(services, lease, backlogs)
          return { ...turn, time: start.time, soon: turn.isLate || isDifferent || hasBacklog }
        })

        /** Takes the lease, if it is free, and lets go of it whatever happens: a lease left behind bars the account for its life. */
        const attempt = (accountId: AccountId) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(
              leases.acquire(accountId),
              Option.match({
                onNone: () => Effect.succeedNone,
                onSome: (lease) =>
                  restore(
                    measured(lease, work(lease).pipe(Effect.scoped, unexpectedAsError, Effect.raceFirst(keep(lease)))),
                  ).pipe(
                    Effect.onExit((exit) =>
                      Effect.tapCause(record(lease, exit), (cause) => Cause.hasDies(cause) ? letGo(lease) : Effect.void)
                    ),
                    Effect.map(Option.some),
                  ),
              }),
            )
          )

        const measured = (lease: SyncLease, turn: Effect.Effect<Ended, ProviderError | LeaseLost>) =>
          Effect.gen(function* () {
            const began = yield* monotonicMillis
            const exit = yield* Effect.exit(turn)
            yield* pace.took((yield* monotonicMillis) - began)
            const outcome = outcomeOf(exit)
            if (outcome !== undefined) {
              yield* Metric.update(
                Metric.withAttributes(turnsTotal, { channel: lease.account.channel, outcome }),
                1,
              )
            }
            return yield* exit
          })

        const keep = (lease: SyncLease): Effect.Effect<never, LeaseLost> =>
          Effect.forever(
            Effect.delay(
              Effect.flatMap(leases.keep(lease), (kept) => kept ? Effect.void : Effect.fail(new LeaseLost())),
              beat,
            ),
          )

        const record = Effect.fnUntraced(
          function* (lease: SyncLease, exit: Exit.Exit<Ended, ProviderError | LeaseLost>) {
            if (Exit.isSuccess(exit)) {
              const { asked, complete, soon } = exit.value
              if (!complete) return yield* turns.unfinished(lease, exit.value, asked)
              const usual = (yield* jitter) * Duration.toMillis(settings.syncEvery)
              return yield* leases.succeed(lease, soon ? 0 : usual)
            }
            const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
            if (error?._tag === "ProviderError") {
              const { code, message } = error
              const dueInMillis = yield* dueAfter(error, lease.failures)
              // Whoever took the account over in the meantime records its own outcome.
              return yield* Effect.ignore(leases.fail(lease, { code, message, dueInMillis }))
            }
            // No verdict, and whoever is next need not wait.
            if (Cause.hasInterruptsOnly(exit.cause)) yield* Effect.ignoreCause(leases.release(lease))
            else if (error === undefined) yield* letGo(lease)
          },
        )

        /** After a fault of the database, as soon as it is over; nobody waits for that. */
        const letGo = (lease: SyncLease) =>
          Effect.suspend(() => leases.release(lease)).pipe(
            Effect.sandbox,
            Effect.retry({ schedule: Schedule.spaced("1 second"), times: leaseSeconds }),
            Effect.ignoreCause,
            Effect.forkIn(scope),
          )

        /** Waits for the turn of another process. None = it ended without a verdict, so the account is free to take. */
        const join = Effect.fn("SyncAccount.join")(function* (accountId: AccountId, first: SyncStanding) {
          let heldForMillis = first.heldForMillis
          while (true) {
            yield* Effect.sleep(Math.min(glance, Math.max(1, heldForMillis)))
            const now = yield* standing(accountId)
            if (now.syncedAt?.getTime() !== first.syncedAt?.getTime()) {
              return Option.some({ changes: 0, complete: true })
            }
            if (now.failedAt !== null && now.failedAt.getTime() !== first.failedAt?.getTime()) {
              return yield* failureOf(now)
            }
            if (now.heldForMillis <= 0) return Option.none()
            // The next turn is under way already.
            if (now.fence !== first.fence) return Option.some({ changes: 0, complete: false })
            heldForMillis = now.heldForMillis
          }
        })

        const standing = (accountId: AccountId): Effect.Effect<SyncStanding, AccountGone> =>
          Effect.flatMap(
            leases.standing(accountId),
            Option.match({ onNone: () => Effect.fail(gone), onSome: Effect.succeed }),
          )

        const turnOf = Effect.fn("SyncAccount.turn")(function* (accountId: AccountId) {
          yield* Effect.annotateCurrentSpan({ accountId })
          while (true) {
            // A turn that was lost to a process that took us for dead is joined as any other of its.
            const own = yield* Effect.catchTag(attempt(accountId), "LeaseLost", () => Effect.succeedNone)
            if (Option.isSome(own)) return { changes: own.value.changes, complete: own.value.complete }
            const outcome = yield* join(accountId, yield* standing(accountId))
            if (Option.isSome(outcome)) return outcome.value
          }
        })

        const turn = Effect.fnUntraced(function* (accountId: AccountId) {
          if (!isId(accountId)) return yield* gone
          const id = accountId.toLowerCase()
          while (true) {
            const found = FiberMap.getUnsafe(running, id)
            if (Option.isSome(found)) return yield* Fiber.join(found.value)
            // Joined in the next turn of the loop, as by everybody else: `onlyIfMissing` hands out no fiber that is there.
            yield* FiberMap.run(running, id, Effect.annotateLogs(turnOf(id), { accountId: id }), {
              onlyIfMissing: true,
              startImmediately: false,
            })
          }
        })

        const sync = Effect.fn("SyncAccount.sync")(function* (accountId: AccountId) {
          let changes = 0
          while (true) {
            const turned = yield* turn(accountId)
            changes += turned.changes
            if (turned.complete) return { changes }
          }
        })

        return SyncAccount.of({ turn, sync })
      }),
    )

  static readonly layer = SyncAccount.layerWith(turnLimits)
}

/** The account with what its channel need not bring. */
const wantedOf = ({ account, mail }: SyncLease) =>
  Effect.map(DateTime.now, (now) => {
    const daysAgo = (days: number) => DateTime.subtract(now, { days })
    const window = horizonDays(mail)
    return {
      ...account,
      ...(window === null ? {} : { since: daysAgo(window) }),
      ...(mail.bodyDays === null ? {} : { bodiesSince: mail.bodyDays === 0 ? null : daysAgo(mail.bodyDays) }),
    }
  })

/** `complete`, `unfinished` or the class of the failure; undefined = nothing that tells of the provider. */
const outcomeOf = (exit: Exit.Exit<Turned, ProviderError | LeaseLost>): string | undefined => {
  if (Exit.isSuccess(exit)) return exit.value.complete ? "complete" : "unfinished"
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return error?._tag === "ProviderError" ? error.class : undefined
}

/** The other channel did not answer: it is not asked again at once. */
const undecided = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "through which channel the account can be read is not known yet; it is tried again by itself",
})

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
