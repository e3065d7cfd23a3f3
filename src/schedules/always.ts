import { Effect } from "effect"

/** Runs what must never end. Where a fault of ours ends it, that is logged, and it begins again. */
export const always = <R>(name: string, work: Effect.Effect<unknown, never, R>): Effect.Effect<never, never, R> =>
  work.pipe(
    Effect.catchCause((cause) => Effect.logError(`${name} stopped unexpectedly; it begins again`, cause)),
    Effect.andThen(Effect.sleep("1 second")),
    Effect.forever,
  )
