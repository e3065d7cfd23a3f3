/** Group commit: redemptions that finish together are stored together, by one fiber. */
import { Cause, Effect, Metric, Schedule, type Scope } from "effect"
import { makeBatches } from "../pacing/Batches.ts"
import type { GrantStore, Settled, Settlement } from "./GrantStore.ts"

const perCommit = Metric.histogram("mailfleet_settlements_per_commit", {
  description: "Redemptions stored in one transaction",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256],
})

/**
 * `commit` answers once the settlement is durable. A rotated token exists nowhere else meanwhile, so a store that fails is
 * tried again until it takes it: a second redemption with the old token may be refused (RFC 9700 §4.14.2). Often, so that a
 * database which was away is told before the lease ends.
 */
export const makeWriter = (
  store: GrantStore["Service"],
): Effect.Effect<(settlement: Settlement) => Effect.Effect<Settled>, never, Scope.Scope> =>
  makeBatches(
    (batch: ReadonlyArray<Settlement>) => Effect.andThen(Metric.update(perCommit, batch.length), store.settle(batch)),
    // One by one after a failure, each by itself: a single bad row holds up neither the others nor what comes after them.
    (settlement) =>
      Effect.suspend(() => store.settle([settlement])).pipe(
        Effect.map(([settled]) => settled!),
        Effect.tapCause((cause) =>
          Effect.logError("a redemption could not be stored yet; it is tried again", Cause.squash(cause))
        ),
        Effect.sandbox,
        Effect.retry(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")])),
        Effect.orDie,
      ),
  )
