/**
 * How a receiver as a whole is doing. A single account's deliveries may fail by themselves; where nothing arrives at all, the
 * receiver is down, and is asked by one delivery now and then, until one arrives.
 */
import { Duration } from "effect"

/** Lanes that fail in a row, and nothing arrives in between: so many, and the receiver counts as down. */
const downAfter = 5

const longestWait = Duration.hours(1)

/** Full jitter would let a wait be nothing at all: a fifth more or less spreads enough. */
const jitter = 0.2

/** Milliseconds to wait after so many failures: `first`, twice as long each time, an hour at most; a fifth more or less. */
export const backoffMillis = (failures: number, first: Duration.Duration, random: number): number =>
  Math.min(Duration.toMillis(first) * 2 ** Math.min(failures - 1, 40), Duration.toMillis(longestWait)) *
  (1 - jitter + 2 * jitter * random)

export class ReceiverHealth {
  #failures: number
  /** Of the last failures in a row, as many as it takes. Few lanes that fail by themselves are no receiver that is down. */
  readonly #failing = new Set<string>()
  /** Since something arrived. */
  #pauses = 0
  #pausedAt = 0
  #pausedUntil: number
  readonly #first: Duration.Duration

  /** As it was when it was last stored. */
  constructor(state: { readonly failures: number; readonly pausedUntil: number }, first: Duration.Duration) {
    this.#failures = state.failures
    this.#pausedUntil = state.pausedUntil
    this.#first = first
  }

  /** Attempts in a row that failed. */
  get failures(): number {
    return this.#failures
  }

  get isDown(): boolean {
    return this.#failing.size >= downAfter
  }

  pausedMillis(now: number): number {
    return Math.max(0, this.#pausedUntil - now)
  }

  /** How many deliveries may be on their way at once. */
  allowed(concurrency: number, now: number): number {
    return this.pausedMillis(now) > 0 ? 0 : this.isDown ? 1 : concurrency
  }

  /** True where it was down: what was tried in vain is worth another try at once. */
  succeeded(): boolean {
    const recovered = this.isDown
    this.#failures = 0
    this.#failing.clear()
    this.#pauses = 0
    if (recovered) this.#pausedUntil = 0
    return recovered
  }

  /**
   * @param began when the attempt began: one from before the last pause is no reason for a longer one
   * @param retryAfter milliseconds that the receiver asked for; 0 = it did not
   */
  failed(lane: string, began: number, now: number, random: number, retryAfter: number): void {
    this.#failures++
    if (!this.isDown) this.#failing.add(lane)
    if (this.isDown && began >= this.#pausedAt) this.#pause(now, backoffMillis(++this.#pauses, this.#first, random))
    if (retryAfter > 0) this.#pause(now, retryAfter)
  }

  #pause(now: number, millis: number): void {
    this.#pausedAt = now
    this.#pausedUntil = Math.max(this.#pausedUntil, now + millis)
  }
}
