/** Keeps every grant alive, for ever: claims those that are due and redeems them. The table is the queue. */
import { Effect, Layer } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { GrantStore } from "../oauth/GrantStore.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { Throttle } from "../pacing/Throttle.ts"
import { Concurrency } from "../programs/Concurrency.ts"
import { lanes } from "../programs/Lanes.ts"
import { type Claim, claimedIfMore, type DueGrant, DueGrants } from "../storage/grants/DueGrants.ts"
import { always } from "./always.ts"
import { everyDue } from "./everyDue.ts"
import { ClaimsInHand } from "./InHand.ts"

/**
 * For how long claimed work is hidden from other processes: much longer than it usually waits for its lane here, and short
 * enough for what a killed process had claimed to be done by another within a minute.
 */
const claimSeconds = 40
const mostClaimed = 200

interface Claimed extends DueGrant {
  readonly claimedAt: number
}

export const layer: Layer.Layer<
  never,
  never,
  AppBreaker | Concurrency | DueGrants | GrantStore | Throttle | Tokens
> = Layer.effectDiscard(
  Effect.gen(function* () {
    const grants = yield* DueGrants
    const breaker = yield* AppBreaker
    const store = yield* GrantStore
    const throttle = yield* Throttle
    const tokens = yield* Tokens
    const { backgroundRefresh } = yield* Concurrency
    const limit = Math.min(mostClaimed, backgroundRefresh.concurrency * 2)
    const inHand = new ClaimsInHand()
    // Claimed and not worked on: handed back with the next claim, when the database answers.
    const dropped: Array<Claim> = []

    const claim = Effect.gen(function* () {
      yield* grants.unclaim(dropped.splice(0))
      const claimedAt = yield* monotonicMillis
      // The circuit of one resource does not stop grants that are read through another.
      const faulted = (yield* breaker.open).filter(({ resource }) => resource === undefined)
      const closed = [...(yield* throttle.pausedApps), ...faulted]
      const held = inHand.ofClients(yield* backgroundRefresh.limits)
      const due = yield* grants.claim(limit, claimSeconds, closed, held)
      const claimed = due.map((grant): Claimed => ({ ...grant, claimedAt }))
      inHand.add(claimed)
      return claimed
      // What an interrupted claim took would be nobody's until the claim ends.
    }).pipe(Effect.uninterruptible)

    const redeem = (grant: Claimed) =>
      Effect.flatMap(monotonicMillis, (now) =>
        // It has waited so long for its lane that somebody else may have claimed it.
        now - grant.claimedAt > claimSeconds * 1_000
          ? Effect.void
          : Effect.asVoid(tokens.refresh(grant.grantId, grant.resource, grant.app)))

    const work = lanes({
      concurrency: backgroundRefresh.concurrency,
      keyOf: ({ app }) => `${app.provider}:${app.clientId}`,
      next: everyDue(claimedIfMore(limit), claim, inHand.room),
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
            dropped.push(grant)
            return Effect.logError("a scheduled refresh stopped unexpectedly; it comes again", cause)
          }),
          Effect.andThen(Effect.sync(() => inHand.done(grant))),
        ),
      done: () => Effect.void,
    })

    // What it has in hand when it stops, for whatever reason, is handed back.
    const toBeHandedBack = Effect.sync(() => void dropped.push(...inHand.takeAll()))

    yield* Effect.addFinalizer(() => grants.unclaim(dropped))
    yield* Effect.forkScoped(always("background refresh", Effect.ensuring(work, toBeHandedBack)))
  }),
)
