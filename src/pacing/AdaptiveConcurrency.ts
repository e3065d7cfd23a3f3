/** `auto` concurrency: for each key as many at once as its provider is found to bear, in the order of asking. */
import { Cause, Clock, Context, Effect, Exit, Layer, RcMap, Semaphore } from "effect"
import { monotonicMillisUnsafe } from "../domain/Monotonic.ts"
import { Settings } from "../domain/Settings.ts"
import { type AdaptiveLimit, type Feedback, makeAdaptiveLimit } from "./AdaptiveLimit.ts"

export type { Feedback }

/** As long as a key without requests keeps its limit. */
const idleTimeToLive = "10 minutes"

export class AdaptiveConcurrency extends Context.Service<AdaptiveConcurrency, {
  /**
   * Waits for a place under `key`, runs `effect`, and learns from its exit. `feedbackOf` says `throttled` where the provider
   * refused, and `ignored` where the exit tells nothing about the load (nothing was sent, a fault); an interruption is
   * always ignored. While the key is paused, let `effect` fail at once as `ignored`: the place is free again at once, and
   * after the pause requests are spread over a round trip.
   */
  readonly admit: (
    key: string,
    feedbackOf: (exit: Exit.Exit<unknown, unknown>) => Feedback,
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The present limit of each key, and how many are under way. Keys without requests for 10 minutes are forgotten. */
  readonly limits: Effect.Effect<ReadonlyMap<string, { readonly limit: number; readonly inFlight: number }>>
}>()("mailfleet/pacing/AdaptiveConcurrency") {
  static readonly layer: Layer.Layer<AdaptiveConcurrency, never, Settings> = Layer.effect(
    AdaptiveConcurrency,
    Effect.gen(function* () {
      const { concurrencyCeiling } = yield* Settings
      const clock = yield* Clock.Clock
      const current = new Map<string, AdaptiveLimit>()
      const gates = yield* RcMap.make({
        lookup: (key: string) =>
          Effect.acquireRelease(
            Effect.gen(function* () {
              const limit = makeAdaptiveLimit({ floor: 1, ceiling: concurrencyCeiling })
              const places = yield* Semaphore.make(limit.limit)
              const turns = yield* Semaphore.make(1)
              current.set(key, limit)
              return { limit, places, turns }
            }),
            () => Effect.sync(() => current.delete(key)),
          ),
        idleTimeToLive,
      })

      /** Waits for its turn, of which there are some per round trip after a pause. One waits; the others stand behind it. */
      const turn = (limit: AdaptiveLimit): Effect.Effect<void> =>
        Effect.suspend(() => {
          const wait = limit.takeTurn(monotonicMillisUnsafe(clock))
          return wait === 0 ? Effect.void : Effect.andThen(Effect.sleep(Math.ceil(wait)), turn(limit))
        })

      return AdaptiveConcurrency.of({
        admit: (key, feedbackOf) => (effect) =>
          Effect.scoped(Effect.flatMap(RcMap.get(gates, key), ({ limit, places, turns }) => {
            const run = Effect.acquireUseRelease(
              Effect.sync(() => limit.onStart(monotonicMillisUnsafe(clock))),
              () => effect,
              (ticket, exit) =>
                Effect.suspend(() => {
                  const before = limit.limit
                  const feedback = Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
                    ? "ignored"
                    : feedbackOf(exit)
                  limit.onEnd(ticket, monotonicMillisUnsafe(clock), feedback)
                  return limit.limit === before ? Effect.void : places.resize(limit.limit)
                }),
            )
            return places.withPermit(
              Effect.suspend(() =>
                limit.isPaced(monotonicMillisUnsafe(clock)) ? Effect.andThen(turns.withPermit(turn(limit)), run) : run
              ),
            )
          })),
        limits: Effect.sync(() =>
          new Map(Array.from(current, ([key, { inFlight, limit }]) => [key, { limit, inFlight }]))
        ),
      })
    }),
  )
}
