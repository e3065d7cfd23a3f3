/** The documented limits of Graph mail per app and mailbox, and the memory of waits that were asked for. */

/** Concurrent requests per app and mailbox (Microsoft Graph, Outlook service limits). */
export const mailboxConcurrency = 4
/** Requests per app and mailbox within {@link mailboxWindow}. */
export const mailboxRequests = 10_000
/** Milliseconds. */
export const mailboxWindow = 600_000
/** Identical token requests within {@link loopWindow} that make a loop (AADSTS50196). */
export const loopLength = 15
/** Milliseconds. */
export const loopWindow = 300_000

/** A wait that was asked for by `Retry-After`. */
export class Pause {
  private from = 0
  private until = 0

  /** Remembers that an answer leaving at `now` asks to wait `millis`. */
  ask(now: number, millis: number): void {
    this.from = now
    this.until = Math.max(this.until, now + millis)
  }

  /**
   * Whether a request that arrives now disregards the wait. What was under way when the answer left is no offence: the
   * first 100 ms are not looked at.
   */
  isBroken(now: number): boolean {
    return now > this.from + 100 && now < this.until - 5
  }

  /** Milliseconds since a wait was asked for last. */
  age(now: number): number {
    return now - this.from
  }
}

/** Use of one mailbox by one app. */
export class MailboxUse {
  inFlight = 0
  /** Most requests offered at one time, refused ones included. */
  peak = 0
  /** Requests seen so far, which injected faults are drawn by. */
  attempts = 0
  private windowStart = 0
  private inWindow = 0
  readonly pause = new Pause()

  constructor(readonly index: number, readonly app: number) {}

  enter(slots: number): void {
    this.inFlight += slots
    if (this.inFlight > this.peak) this.peak = this.inFlight
  }

  leave(slots: number): void {
    this.inFlight -= slots
  }

  /** Counts one request; answers the milliseconds until the window ends if the limit is exceeded. */
  count(now: number): number | undefined {
    this.spend(1, now)
    return this.inWindow > mailboxRequests ? this.windowStart + mailboxWindow - now : undefined
  }

  /** Counts requests; tests that cannot send thousands of them pretend so. */
  spend(requests: number, now: number): void {
    if (now - this.windowStart >= mailboxWindow) {
      this.windowStart = now
      this.inWindow = 0
    }
    this.inWindow += requests
  }
}

/** More than there ever are; registrations come while the simulator runs. */
const appsAtMost = 1_000_000

export class MailboxUses {
  private readonly uses = new Map<number, MailboxUse>()

  get(index: number, app: number): MailboxUse {
    const key = index * appsAtMost + app
    let use = this.uses.get(key)
    if (use === undefined) this.uses.set(key, use = new MailboxUse(index, app))
    return use
  }

  /** The mailboxes with the most requests at one time, highest first. */
  busiest(limit: number): Array<MailboxUse> {
    return [...this.uses.values()].sort((a, b) => b.peak - a.peak).slice(0, limit)
  }

  get touched(): number {
    return this.uses.size
  }

  reset(): void {
    for (const use of this.uses.values()) use.peak = use.inFlight
  }
}
