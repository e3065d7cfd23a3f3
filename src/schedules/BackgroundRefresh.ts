/** Keeps every grant alive, for ever: claims those that are due and redeems them. The table is the queue. */
import { Duration, Effect, Layer, Schedule } from "effect"
import { Settings } from "../domain/Settings.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { GrantStore } from "../oauth/GrantStore.ts"
import { Concurrency } from "../programs/Concurrency.ts"
import { lanes } from "../programs/Lanes.ts"
import { Accounts } from "../storage/Accounts.ts"
import { everyDue } from "./everyDue.ts"

/** Seconds for which claimed work is hidden from other processes: longer than it waits for its lane here. */
const claimSeconds = 120

export const layer: Layer.Layer<never, never, Accounts | Concurrency | GrantStore | Settings | Tokens> = Layer
  .effectDiscard(
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const tokens = yield* Tokens
      const store = yield* GrantStore
      const { backgroundRefresh } = yield* Concurrency

      yield* lanes({
        concurrency: backgroundRefresh.concurrency,
        permits: backgroundRefresh.permits,
        next: everyDue(accounts.claimRefreshDue(backgroundRefresh.concurrency * 2, claimSeconds)),
        one: ({ grantId, resource }) =>
          tokens.refresh(grantId, resource).pipe(
            Effect.asVoid,
            // Class and next attempt are on the grant already, except where nothing was sent.
            Effect.catch((error) =>
              error.notSent === true
                ? store.postpone(grantId, Math.max(1, (error.retryAfterMillis ?? 60_000) / 1_000))
                : Effect.void
            ),
            Effect.catchCause((cause) =>
              Effect.logError("a scheduled refresh stopped unexpectedly; it comes again", cause)
            ),
          ),
        done: () => Effect.void,
      }).pipe(Effect.retry(Schedule.spaced(Duration.seconds(1))), Effect.forkScoped)
    }),
  )
