/** The clock for whatever is waited out or measured within a process: nobody sets it, so it neither jumps nor goes back. */
import { Clock, type Duration, Effect } from "effect"

/** Milliseconds since some moment of this process's own. */
export const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(monotonicMillisUnsafe(clock))
)

/** The same, read from a clock. */
export const monotonicMillisUnsafe = (clock: Clock.Clock): number =>
  Number(clock.monotonicTimeNanosUnsafe() / 1_000n) / 1_000

/** A clock that nobody sets, in the place of another one. */
class SteadyClock implements Clock.Clock {
  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos: Effect.Effect<bigint>
  readonly monotonicTimeNanos: Effect.Effect<bigint>

  constructor(readonly settable: Clock.Clock) {
    this.currentTimeNanos = this.monotonicTimeNanos = settable.monotonicTimeNanos
  }

  currentTimeMillisUnsafe(): number {
    return monotonicMillisUnsafe(this.settable)
  }
  currentTimeNanosUnsafe(): bigint {
    return this.settable.monotonicTimeNanosUnsafe()
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.settable.monotonicTimeNanosUnsafe()
  }
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return this.settable.sleep(duration)
  }
}

/**
 * Runs what the library keeps or counts for a time, such as a cache. It takes the time from the clock that people set: once that is
 * set back by an hour, what was to be kept for a second is kept for an hour.
 */
export const bySteadyClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Clock.clockWith((clock) => Effect.provideService(effect, Clock.Clock, new SteadyClock(clock)))

/** For what is run within {@link bySteadyClock} and wants to know what time it is. */
export const bySettableClock = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Clock.clockWith((clock) =>
    clock instanceof SteadyClock ? Effect.provideService(effect, Clock.Clock, clock.settable) : effect
  )

/** `Effect.cachedWithTTL`, by {@link bySteadyClock}. */
export const cachedFor = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  timeToLive: Duration.Input,
): Effect.Effect<Effect.Effect<A, E, R>> =>
  Effect.map(Effect.cachedWithTTL(bySettableClock(effect), timeToLive), bySteadyClock)
