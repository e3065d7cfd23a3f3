/** How much a token endpoint bears: so many requests at once, and so many per second. */
import type { Settings } from "./Options.ts"

export class Capacity {
  private busy = 0
  /** Requests that may come at once under `tokenRateLimit`: a second's worth at most, refilled evenly. */
  private allowance = Infinity
  private refilledAt = 0

  constructor(private readonly settings: Settings) {}

  /** Whether a request is let in; if it is, {@link leave} is owed. */
  enter(now: number): boolean {
    const { tokenConcurrencyLimit, tokenRateLimit } = this.settings
    if (this.busy >= tokenConcurrencyLimit) return false
    if (tokenRateLimit !== Infinity && !this.spend(tokenRateLimit, now)) return false
    this.busy++
    return true
  }

  leave(): void {
    this.busy--
  }

  private spend(rate: number, now: number): boolean {
    this.allowance = Math.min(Math.max(1, rate), this.allowance + (now - this.refilledAt) / 1000 * rate)
    this.refilledAt = now
    if (this.allowance < 1) return false
    this.allowance--
    return true
  }
}
