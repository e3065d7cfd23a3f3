/** A clock of two hands: what people set, and what nobody sets. */
import { type Clock, Duration, Effect } from "effect"

/** As `Clock`, where `TestClock` cannot tell the time that people set from the one that nobody sets. Sleeps are noted, not slept. */
export class Hands implements Clock.Clock {
  wall = 1_000_000
  steady = 0
  readonly currentTimeMillis = Effect.sync(() => this.wall)
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  readonly currentTimeMillisUnsafe = () => this.wall
  readonly currentTimeNanosUnsafe = () => BigInt(this.wall) * 1_000_000n
  readonly monotonicTimeNanosUnsafe = () => BigInt(this.steady) * 1_000_000n
  readonly sleeps: Array<number> = []
  readonly sleep = (duration: Duration.Duration) =>
    Effect.sync(() => void this.sleeps.push(Duration.toMillis(duration)))

  pass(millis: number): void {
    this.wall += millis
    this.steady += millis
  }
}
