/** Calls that are made at the same time and answered together, by one fiber: one statement, and one commit, for all of them. */
import { type Cause, Deferred, Effect, Queue, type Scope } from "effect"

const mostAtOnce = 256

/**
 * @param run does the work of a batch; answers in its order
 * @param recover what becomes of each one of a batch that failed
 */
export const makeBatches = <In, Out>(
  run: (batch: ReadonlyArray<In>) => Effect.Effect<ReadonlyArray<Out>>,
  recover: (one: In, cause: Cause.Cause<never>) => Effect.Effect<Out>,
): Effect.Effect<(one: In) => Effect.Effect<Out>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<{ readonly one: In; readonly answer: Deferred.Deferred<Out> }>()

    yield* Queue.takeBetween(queue, 1, mostAtOnce).pipe(
      Effect.flatMap((batch) =>
        run(batch.map(({ one }) => one)).pipe(
          Effect.map((results) =>
            batch.forEach(({ answer }, at) => Deferred.doneUnsafe(answer, Effect.succeed(results[at]!)))
          ),
          // Detached, for a scope that is closing starts no fiber; it waits for those who wait for the answers.
          Effect.catchCause((cause) =>
            Effect.forEach(
              batch,
              ({ one, answer }) => Effect.forkDetach(Deferred.into(recover(one, cause), answer)),
              { discard: true },
            )
          ),
          Effect.uninterruptible,
        )
      ),
      Effect.forever,
      Effect.forkScoped,
    )

    return (one) =>
      Effect.suspend(() => {
        const answer = Deferred.makeUnsafe<Out>()
        Queue.offerUnsafe(queue, { one, answer })
        return Deferred.await(answer)
      })
  })
