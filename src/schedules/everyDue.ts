import { type Duration, Effect } from "effect"

/** How long a schedule that found less than it can work on waits before it looks again, which is one probe of an index. */
const whereThereWasSome = "100 millis"
const whereThereWasNone = "250 millis"

/**
 * Claims due work, waiting until there is some. A database that fails is asked again.
 *
 * @param limit the most that `claim` answers with; with less, there was no more
 */
export const everyDue = <Item, R>(
  limit: number,
  claim: Effect.Effect<ReadonlyArray<Item>, never, R>,
): Effect.Effect<ReadonlyArray<Item>, never, R> => {
  let wait: Duration.Input | undefined
  return Effect.gen(function* () {
    while (true) {
      if (wait !== undefined) yield* Effect.sleep(wait)
      const items = yield* claim.pipe(
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logError("due work cannot be claimed; tried again", cause),
            Effect.as(Effect.sleep("5 seconds"), []),
          )
        ),
      )
      wait = items.length === 0 ? whereThereWasNone : items.length < limit ? whereThereWasSome : undefined
      if (items.length > 0) return items
    }
  })
}
