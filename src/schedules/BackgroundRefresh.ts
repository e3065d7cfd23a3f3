/** Keeps every grant alive, for ever: claims those that are due and redeems them. The table is the queue. */
import { Clock, Duration, Effect, Layer, Schedule } from "effect"
import type { GrantId } from "../domain/Ids.ts"
import { GrantStore } from "../oauth/GrantStore.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { Throttle } from "../pacing/Throttle.ts"
import { Concurrency } from "../programs/Concurrency.ts"
import { lanes } from "../programs/Lanes.ts"
import { Accounts, type DueGrant } from "../storage/Accounts.ts"
import { everyDue } from "./everyDue.ts"

/** For how long claimed work is hidden from other processes: much longer than it usually waits for its lane here. */
const claimSeconds = 60
const mostClaimed = 200

interface Claimed extends DueGrant {
  readonly claimedAt: number
}

export const layer: Layer.Layer<
  never,
  never,
  Accounts | AppBreaker | Concurrency | GrantStore | Throttle | Tokens
> = Layer.effectDiscard(
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const breaker = yield* AppBreaker
    const store = yield* GrantStore
    const throttle = yield* Throttle
    const tokens = yield* Tokens
    const { backgroundRefresh } = yield* Concurrency
    const limit = Math.min(mostClaimed, backgroundRefresh.concurrency * 2)
    const mine = new Set<GrantId>()
    // Claimed, and not worked on because the database failed: handed back once it answers.
    const dropped: Array<GrantId> = []

    const claim = Effect.gen(function* () {
      yield* accounts.unclaimRefresh(dropped.splice(0))
      const claimedAt = yield* Clock.currentTimeMillis
      const closed = [...(yield* throttle.pausedApps), ...(yield* breaker.open)]
      const due = yield* accounts.claimRefreshDue(limit, claimSeconds, closed)
      for (const { grantId } of due) mine.add(grantId)
      return due.map((grant): Claimed => ({ ...grant, claimedAt }))
    })

    const redeem = (grant: Claimed) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        // It has waited so long for its lane that somebody else may have claimed it.
        now - grant.claimedAt > claimSeconds * 1_000
          ? Effect.void
          : Effect.asVoid(tokens.refresh(grant.grantId, grant.resource, grant.app)))

    yield* Effect.addFinalizer(() => accounts.unclaimRefresh([...mine]))
    yield* lanes({
      concurrency: backgroundRefresh.concurrency,
      next: everyDue(limit, claim),
      one: (grant) =>
        redeem(grant).pipe(
          backgroundRefresh.admit(grant.app),
          // Class and next attempt are on the grant already, except where nothing was sent.
          Effect.catch((error) =>
            error.notSent === true
              ? store.postpone(grant.grantId, Math.max(1, (error.retryAfterMillis ?? 60_000) / 1_000))
              : Effect.void
          ),
          Effect.catchCause((cause) => {
            dropped.push(grant.grantId)
            return Effect.logError("a scheduled refresh stopped unexpectedly; it comes again", cause)
          }),
          Effect.andThen(Effect.sync(() => void mine.delete(grant.grantId))),
        ),
      done: () => Effect.void,
    }).pipe(Effect.retry(Schedule.spaced(Duration.seconds(1))), Effect.forkScoped)
  }),
)
