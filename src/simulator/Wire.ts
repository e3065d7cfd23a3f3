/**
 * Which rotated refresh tokens reached the client.
 *
 * A server sees that an answer was lost only if the connection breaks before it has sent the answer. Once the bytes are
 * with the operating system it cannot know whether the client wrote them down before it died. So three things are
 * told: answers that were certainly lost; answers on the wire at a given moment, with some slack after they left; and
 * per account whether the newest token was ever presented, which proves that it had been stored.
 */
import type { Delivery, Grant, Grants } from "./Grants.ts"
import type { Population } from "./Population.ts"

/** How one web server tells about the fate of a response; Deno's `ServeHandlerInfo` is one such. */
export interface ConnectionInfo {
  /** Resolves when the response was written, rejects when it could not be. */
  readonly completed?: Promise<unknown>
}

/** A redemption whose new token certainly did not arrive. */
export interface LostAnswer {
  readonly email: string
  readonly generation: number
  /** Epoch milliseconds. */
  readonly at: number
}

/** The newest redemption of one account. */
export interface WireEntry {
  readonly email: string
  readonly generation: number
  /** Epoch milliseconds. */
  readonly arrivedAt: number
  /** Epoch milliseconds; `null` while the answer has not left. */
  readonly answeredAt: number | null
  readonly delivery: Delivery
  /** Whether the newest refresh token was presented since, or a newer answer proves it stored. */
  readonly confirmed: boolean
}

/** One token request under way, from arrival to answer. */
export class Exchange {
  private grant: Grant | undefined
  private index = -1
  private generation = -1
  private gone = false
  private answered = false
  private wasLost = false

  constructor(private readonly wire: Wire, private readonly info: ConnectionInfo | undefined) {}

  /** Looks out for a client that goes away; needless where the answer leaves at once. */
  watch(signal: AbortSignal): void {
    // Reading `signal.aborted` later is not enough: Deno notices a client that went away only if somebody listens, and
    // after the answer its (legacy) signal aborts in any case, so news after the answer is ignored.
    this.gone = signal.aborted
    signal.addEventListener("abort", () => {
      if (!this.answered) this.gone = true
    })
  }

  /** Whether a new refresh token goes out with this answer. */
  get carriesToken(): boolean {
    return this.grant !== undefined
  }

  /** A new refresh token was made for this request. */
  issued(grant: Grant, index: number, now: number): void {
    this.grant = grant
    this.index = index
    this.generation = grant.generation
    grant.arrivedAt = now
    grant.answeredAt = 0
    grant.delivery = "pending"
  }

  /** The answer leaves, or cannot. */
  close(now: number, cut: boolean): void {
    this.answered = true
    const grant = this.grant
    if (grant === undefined) return
    if (grant.generation === this.generation) grant.answeredAt = now
    if (this.gone || cut) return this.lose(now)
    this.settle("delivered")
    this.info?.completed?.catch(() => this.lose(now))
  }

  /** It turned out later that the answer did not arrive. */
  lose(now: number): void {
    if (this.wasLost || this.grant === undefined) return
    this.wasLost = true
    this.settle("lost")
    this.wire.lose(this.index, this.generation, now)
  }

  private settle(delivery: Delivery): void {
    // A later redemption may have overtaken this one: its state counts then.
    if (this.grant !== undefined && this.grant.generation === this.generation) this.grant.delivery = delivery
  }
}

export class Wire {
  private lost: Array<LostAnswer> = []

  constructor(private readonly grants: Grants, private readonly population: Population) {}

  lose(index: number, generation: number, at: number): void {
    this.lost.push({ email: this.population.email(index), generation, at })
  }

  /** Answers with a new refresh token that could not be delivered since the last reset. */
  get lostAnswers(): ReadonlyArray<LostAnswer> {
    return this.lost
  }

  reset(): void {
    this.lost = []
  }

  /**
   * Accounts whose newest answer was on the wire at a moment: it had arrived as a request, and had not left, or had
   * left at most `slack` milliseconds before. A client killed at that moment may have lost these and no others, as long
   * as it stores what it receives within the slack.
   *
   * @param at epoch milliseconds
   */
  at(at: number, slack: number): Array<WireEntry> {
    const entries: Array<WireEntry> = []
    for (const [index, grant] of this.grants.touched) {
      if (grant.delivery === "none" || grant.arrivedAt > at) continue
      if (grant.answeredAt === 0 || grant.answeredAt + slack >= at) entries.push(this.entry(index, grant))
    }
    return entries
  }

  entry(index: number, grant: Grant): WireEntry {
    return {
      email: this.population.email(index),
      generation: grant.generation,
      arrivedAt: grant.arrivedAt,
      answeredAt: grant.answeredAt === 0 ? null : grant.answeredAt,
      delivery: grant.delivery,
      confirmed: grant.presented === grant.generation,
    }
  }
}
