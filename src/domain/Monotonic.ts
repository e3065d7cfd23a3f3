/** The clock for whatever is waited out or measured within a process: nobody sets it, so it neither jumps nor goes back. */
import { Clock, Effect } from "effect"

/** Milliseconds since some moment of this process's own. */
export const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(monotonicMillisUnsafe(clock))
)

/** The same, read from a clock. */
export const monotonicMillisUnsafe = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000
