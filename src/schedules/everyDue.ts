import { Effect } from "effect"

/** How long a schedule that found less than it can work on waits before it looks again. One probe of an index. */
const interval = "250 millis"

/**
 * Claims due work, waiting until there is some. A database that fails is asked again.
 *
 * @param limit the most that `claim` answers with; with less, there was no more
 */
export const everyDue = <Item, R>(
  limit: number,
  claim: Effect.Effect<ReadonlyArray<Item>, never, R>,
): Effect.Effect<ReadonlyArray<Item>, never, R> => {
  let drained = false
  return Effect.gen(function* () {
    while (true) {
      if (drained) yield* Effect.sleep(interval)
      const items = yield* claim.pipe(
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logError("due work cannot be claimed; tried again", cause),
            Effect.as(Effect.sleep("5 seconds"), []),
          )
        ),
      )
      drained = items.length < limit
      if (items.length > 0) return items
    }
  })
}
