/** How much was asked, how much at once, and what was answered. */

/** Counts of one endpoint. */
export interface Count {
  readonly requests: number
  /** Requests being answered now. */
  readonly inFlight: number
  /** Most requests that were in flight at one time. */
  readonly peak: number
  /** Answers by HTTP status. A hang that ended counts as 0, a broken connection as -1. */
  readonly statuses: Readonly<Record<string, number>>
}

/** What was asked and answered, without time. */
export interface Tally {
  readonly requests: number
  readonly statuses: Readonly<Record<string, number>>
}

class Tallying {
  protected requests = 0
  protected statuses = new Map<number, number>()

  add(status: number): void {
    this.requests++
    this.answered(status)
  }

  tally(): Tally {
    return { requests: this.requests, statuses: Object.fromEntries(this.statuses) }
  }

  reset(): void {
    this.requests = 0
    this.statuses = new Map()
  }

  protected answered(status: number): void {
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
  }
}

export class Counter extends Tallying {
  private inFlight = 0
  private peak = 0

  enter(): void {
    this.requests++
    if (++this.inFlight > this.peak) this.peak = this.inFlight
  }

  leave(status: number): void {
    this.inFlight--
    this.answered(status)
  }

  count(): Count {
    return { ...this.tally(), inFlight: this.inFlight, peak: this.peak }
  }

  /** Forgets what was; what is in flight stays in flight. */
  override reset(): void {
    super.reset()
    this.peak = this.inFlight
  }
}

export class Counters {
  readonly token = new Counter()
  readonly graph = new Counter()
  /** Redemptions that issued tokens. */
  redemptions = 0
  private readonly endpoints = new Map<string, Tallying>()

  /** Counts one answer of an endpoint; the parts of a batch count one by one. */
  answered(endpoint: string, status: number): void {
    let tally = this.endpoints.get(endpoint)
    if (tally === undefined) this.endpoints.set(endpoint, tally = new Tallying())
    tally.add(status)
  }

  snapshot() {
    const endpoints: Record<string, Tally> = {}
    for (const [name, tally] of this.endpoints) endpoints[name] = tally.tally()
    return { token: this.token.count(), graph: this.graph.count(), redemptions: this.redemptions, endpoints }
  }

  reset(): void {
    this.token.reset()
    this.graph.reset()
    this.endpoints.clear()
    this.redemptions = 0
  }
}
