import { Effect } from "effect"

/** How often an idle schedule looks for due work. One probe of an index. */
const poll = "250 millis"

/** Claims due work, waiting until there is some. A database that fails is asked again. */
export const everyDue = <Item, R>(
  claim: Effect.Effect<ReadonlyArray<Item>, never, R>,
): Effect.Effect<ReadonlyArray<Item>, never, R> =>
  Effect.gen(function* () {
    while (true) {
      const items = yield* claim.pipe(
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logError("due work cannot be claimed; tried again", cause),
            Effect.as(Effect.sleep("5 seconds"), []),
          )
        ),
      )
      if (items.length > 0) return items
      yield* Effect.sleep(poll)
    }
  })
