/** Measurements of the fleet that cost little however large the fleet is and however often they are asked for. */
import { Cache, Duration, Effect, Exit, Option } from "effect"
import { bySettableClock, bySteadyClock } from "../domain/Monotonic.ts"
import type { Database } from "./Database.ts"

/** What is measured faster than this is measured anew for each caller. */
const quick = Duration.millis(200)
/** A slower one is kept for so many times as long: so it takes up at most a tenth of one connection. */
const keptTimes = 10
const keptAtMost = Duration.seconds(30)

export const keptFor = (took: Duration.Duration): Duration.Duration =>
  Duration.isLessThan(took, quick) ? Duration.zero : Duration.min(Duration.times(took, keptTimes), keptAtMost)

/**
 * Callers at one time share one measurement, and later ones its result for as long as {@link keptFor} says. A caller within a
 * transaction of its own measures for itself: nobody else may see what it has not committed.
 */
export const shared = <A, E>(
  { sql }: Database["Service"],
  measure: Effect.Effect<A, E>,
): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.gen(function* () {
    const cache = yield* Cache.makeWith((_: "now") => bySettableClock(Effect.timed(measure)), {
      capacity: 1,
      timeToLive: (exit) => Exit.isSuccess(exit) ? keptFor(exit.value[0]) : Duration.zero,
    })
    const latest = Effect.map(bySteadyClock(Cache.get(cache, "now")), ([, value]) => value)
    return Effect.flatMap(
      Effect.serviceOption(sql.transactionService),
      Option.match({ onNone: () => latest, onSome: () => measure }),
    )
  })
