import { Duration, Effect } from "effect"

/** How long a schedule that found less than it can work on waits before it looks again. */
const whereThereWasSome = Duration.millis(100)
const whereThereWasNone = Duration.millis(250)
/**
 * With thousands of apps a look takes long: so looking takes up at most a tenth of one connection. The shortest of the last ones
 * says how long it takes: what holds a few up (a checkpoint of the database, a busy processor) would make the next late as well.
 */
const timesAsLong = 10
const looksBack = 8
const atMost = Duration.seconds(5)

/**
 * Claims due work, waiting until there is some. A database that fails is asked again.
 *
 * @param enough with less than that, there was no more
 * @param sooner ends a wait before its time
 */
export const everyDue = <Item, R>(
  enough: number,
  claim: Effect.Effect<ReadonlyArray<Item>, never, R>,
  sooner: Effect.Effect<void> = Effect.never,
): Effect.Effect<ReadonlyArray<Item>, never, R> => {
  let wait: Duration.Duration | undefined
  const lastTook = new Array<Duration.Duration>(looksBack).fill(Duration.zero)
  return Effect.gen(function* () {
    while (true) {
      if (wait !== undefined) yield* Effect.raceFirst(Effect.sleep(wait), sooner)
      const [took, items] = yield* Effect.timed(claim).pipe(
        Effect.catchCause((cause) =>
          Effect.andThen(
            Effect.logError("due work cannot be claimed; tried again", cause),
            Effect.as(Effect.sleep(atMost), [Duration.zero, []] as const),
          )
        ),
      )
      const least = items.length === 0 ? whereThereWasNone : whereThereWasSome
      lastTook.shift()
      lastTook.push(took)
      wait = items.length < enough
        ? Duration.max(least, Duration.min(Duration.times(lastTook.reduce(Duration.min), timesAsLong), atMost))
        : undefined
      if (items.length > 0) return items
    }
  })
}
