/** Group commit: redemptions that finish together are stored together, by one fiber. */
import { Cause, Deferred, Effect, Metric, Queue, Schedule, type Scope } from "effect"
import type { GrantStore, Settled, Settlement } from "./GrantStore.ts"

interface Entry {
  readonly settlement: Settlement
  readonly answer: Deferred.Deferred<Settled>
}

const batchSize = Metric.histogram("mailfleet_settlements_per_commit", {
  description: "Redemptions stored in one transaction",
  boundaries: [1, 2, 4, 8, 16, 32, 64, 128, 256],
})

const mostPerCommit = 256

/**
 * `commit` answers once the settlement is durable. A rotated token exists nowhere else meanwhile, so a store that fails is
 * tried again until it takes it: a second redemption with the old token may be refused (RFC 9700 §4.14.2).
 */
export const makeWriter = (
  store: GrantStore["Service"],
): Effect.Effect<(settlement: Settlement) => Effect.Effect<Settled>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<Entry>()

    const store1 = (batch: ReadonlyArray<Entry>) =>
      Effect.gen(function* () {
        const settled = yield* store.settle(batch.map(({ settlement }) => settlement))
        yield* Effect.forEach(batch, ({ answer }, index) => Deferred.succeed(answer, settled[index]!), {
          discard: true,
        })
      })

    const untilStored = (entry: Entry) =>
      store1([entry]).pipe(
        Effect.tapCause((cause) =>
          Effect.logError("a redemption could not be stored yet; it is tried again", Cause.squash(cause))
        ),
        Effect.sandbox,
        Effect.retry(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])),
        Effect.orDie,
      )

    yield* Effect.gen(function* () {
      const batch = yield* Queue.takeBetween(queue, 1, mostPerCommit)
      yield* Metric.update(batchSize, batch.length)
      // One by one after a failure, each by itself: a single bad row holds up neither the others nor what comes after them.
      // Detached, for a scope that is closing starts no fiber; it waits for the redemptions, and these for their answers.
      yield* Effect.uninterruptible(
        store1(batch).pipe(
          Effect.catchCause(() =>
            Effect.forEach(batch, (entry) => Effect.forkDetach(untilStored(entry)), { discard: true })
          ),
        ),
      )
    }).pipe(Effect.forever, Effect.forkScoped)

    return (settlement) =>
      Effect.gen(function* () {
        const answer = yield* Deferred.make<Settled>()
        yield* Queue.offer(queue, { settlement, answer })
        return yield* Deferred.await(answer)
      })
  })
