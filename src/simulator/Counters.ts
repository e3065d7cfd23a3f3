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

/** The answers of one second. */
export interface Second {
  /** Epoch seconds. */
  readonly at: number
  readonly statuses: Readonly<Record<string, number>>
}

/** Only the newest seconds are kept. */
const keptSeconds = 3600

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
  private seconds: Array<{ readonly at: number; readonly statuses: Map<number, number> }> = []

  enter(): void {
    this.requests++
    if (++this.inFlight > this.peak) this.peak = this.inFlight
  }

  /** @param now epoch milliseconds */
  leave(status: number, now: number): void {
    this.inFlight--
    this.answered(status)
    const at = Math.floor(now / 1000)
    let second = this.seconds.at(-1)
    if (second === undefined || second.at !== at) {
      this.seconds.push(second = { at, statuses: new Map() })
      if (this.seconds.length > keptSeconds) this.seconds.shift()
    }
    second.statuses.set(status, (second.statuses.get(status) ?? 0) + 1)
  }

  /** Answers of each second in which there were any, oldest first. */
  perSecond(): Array<Second> {
    return this.seconds.map(({ at, statuses }) => ({ at, statuses: Object.fromEntries(statuses) }))
  }

  count(): Count {
    return { ...this.tally(), inFlight: this.inFlight, peak: this.peak }
  }

  /** Forgets what was; what is in flight stays in flight. */
  override reset(): void {
    super.reset()
    this.peak = this.inFlight
    this.seconds = []
  }
}

export class Counters {
  /** Microsoft's token endpoint. */
  readonly token = new Counter()
  readonly googleToken = new Counter()
  readonly graph = new Counter()
  readonly gmail = new Counter()
  /** Redemptions that issued tokens, of both token endpoints. */
  redemptions = 0
  private readonly endpoints = new Map<string, Tallying>()
  private readonly clients = new Map<string, Map<string, number>>()

  /** @param since start of the counts, epoch milliseconds */
  constructor(private since: number) {}

  /** Counts one answer of an endpoint; the parts of a batch count one by one. */
  answered(endpoint: string, status: number): void {
    let tally = this.endpoints.get(endpoint)
    if (tally === undefined) this.endpoints.set(endpoint, tally = new Tallying())
    tally.add(status)
  }

  /** Counts a token request of an app or a service account that there is. */
  asked(client: string, grantType: string): void {
    let byType = this.clients.get(client)
    if (byType === undefined) this.clients.set(client, byType = new Map())
    byType.set(grantType, (byType.get(grantType) ?? 0) + 1)
  }

  snapshot() {
    const endpoints: Record<string, Tally> = {}
    for (const [name, tally] of this.endpoints) endpoints[name] = tally.tally()
    return {
      since: this.since,
      token: this.token.count(),
      googleToken: this.googleToken.count(),
      graph: this.graph.count(),
      gmail: this.gmail.count(),
      redemptions: this.redemptions,
      /** Token requests by client id, or e-mail address of a service account, and grant type. */
      tokenRequests: Object.fromEntries([...this.clients].map(([id, byType]) => [id, Object.fromEntries(byType)])),
      endpoints,
    }
  }

  /** @param now epoch milliseconds */
  reset(now: number): void {
    this.since = now
    this.token.reset()
    this.googleToken.reset()
    this.graph.reset()
    this.gmail.reset()
    this.endpoints.clear()
    this.clients.clear()
    this.redemptions = 0
  }
}
