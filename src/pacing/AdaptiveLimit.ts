/**
 * How many requests at once a provider bears, found by trying: slow start, then a plateau below the known bound with rare
 * probes above it. No clock and no effects of its own. Why it is so, and measured against others: docs/decisions/0011.
 */

/** What an answer says: `ignored` (a fault, or nothing was sent) says nothing about how many the provider bears. */
export type Feedback = "ok" | "throttled" | "ignored"

/** One request under way. */
export interface Ticket {
  /** Its place in the order of sending. */
  readonly number: number
  /** Milliseconds. */
  readonly sentAt: number
  /** Requests under way once it was sent, itself among them. */
  readonly inFlight: number
}

export interface AdaptiveLimit {
  /** Requests allowed at once; a whole number from floor to ceiling. */
  readonly limit: number
  readonly inFlight: number
  /** True while requests are spread over a round trip instead of being sent as soon as there is room. */
  readonly isPaced: (now: number) => boolean
  /** Milliseconds until the next paced request may be sent; 0 = now, and the turn is taken. */
  readonly takeTurn: (now: number) => number
  readonly onStart: (now: number) => Ticket
  readonly onEnd: (ticket: Ticket, now: number, feedback: Feedback) => void
}

export interface AdaptiveLimitOptions {
  readonly floor: number
  readonly ceiling: number
}

/** TCP starts with 10 segments (RFC 6928). */
const initialLimit = 8
/** Up to here a round trip doubles the limit, from here it adds a quarter: what is above the capacity comes back refused. */
const doublesUpTo = 100
const growthAbove = 1.25
/** A probe above the bound adds 1, 2, 4 … a round trip, but no more than this part of the limit. */
const mostStep = 0.1
/**
 * No growth within so long of the last one, however short the round trip: a limit on the rate refuses only when its bucket
 * is empty, some tenths of a second after the limit has become too high.
 */
const leastRoundMillis = 500
/** What remains after a decrease (CUBIC keeps 0.7 and AIMD 0.5, but lose packets; our bound is measured, RFC 9438 §4.6). */
const decrease = 0.9
/** No single episode takes more, whatever it seems to say: a limit on the rate looks like no capacity at all for a moment. */
const mostDecrease = 0.5
/** How long the limit stays below a bound found by growing: at least 16 s, and 8 times what the pause cost. */
const hold = { least: 16_000, most: 60_000, pauses: 8 }
/** The same after a decrease that came unprovoked: the bound has moved, or the answer was a stray one. */
const shortHold = 4_000
/** Latency that counts as risen: half above the baseline (Gradient2's tolerance), and beyond what a busy machine adds. */
const risen = { factor: 1.5, slackMillis: 50 }
/** How fast the baseline follows, per window: slowly up, or a queue of our own making would soon be what is usual. */
const drift = { up: 0.002, down: 0.2 }
/**
 * In a row: one window of risen latency may be a stall of this machine, the next ones take a tenth off each. If that does not
 * help, the provider has become slower for good, which is not our doing.
 */
const risenWindows = { ignored: 1, most: 4 }
/** Latency never takes the limit further below the bound than its tenths in a row do. */
const mostDecreaseByLatency = decrease ** (risenWindows.most - risenWindows.ignored)
const fewestLatencies = 10

export const makeAdaptiveLimit = ({ ceiling, floor }: AdaptiveLimitOptions): AdaptiveLimit => {
  const within = (limit: number) => Math.max(floor, Math.min(ceiling, limit))

  let limit = within(initialLimit)
  let inFlight = 0
  let sent = 0

  let phase: "slow start" | "hold" | "probe" = "slow start"
  /** Most requests at once that the provider is believed to bear. */
  let bound = ceiling
  let step = 1
  let holdUntil = 0
  /** A round ends with the first good answer to a request that was sent in it with the limit used up. */
  let round = { from: 0, startedAt: -Infinity }

  /** The last decrease by throttling: requests up to this number belong to it, and its refused ones tell the capacity. */
  let episode = { upTo: 0, at: 0, limitBefore: limit, refused: new Array<Ticket>() }

  let latency = 0
  let baseline: number | undefined
  let window = { from: 0, sum: 0, count: 0 }
  let latencyRow = 0

  /** After a decrease: since when requests are sent again (undefined = not yet), how many, and whether one was answered. */
  let pace: { first: number; from: number | undefined; sent: number; isAnswered: boolean } | undefined

  const forgetLatencies = () => {
    window = { from: sent, sum: 0, count: 0 }
  }

  const grow = (now: number) => {
    if (phase === "hold") {
      if (now < holdUntil) return
      phase = "probe"
      step = 1
      limit = within(Math.max(limit, bound))
    } else if (phase === "slow start") {
      limit = within(limit < doublesUpTo ? Math.min(limit * 2, doublesUpTo) : limit * growthAbove)
    } else {
      limit = within(limit + step)
      step = Math.min(step * 2, Math.max(1, limit * mostStep))
    }
  }

  const holdFor = (now: number, millis: number) => {
    // A decrease while holding does not begin the time anew: stray refusals must not keep the limit down for ever.
    holdUntil = Math.max(phase === "hold" ? holdUntil : 0, now + millis)
    phase = "hold"
    round = { from: sent, startedAt: now }
  }

  /**
   * All refused requests of an episode were sent before the first of them was answered, so each was under way beside those
   * refused before it, which take up nothing at the provider: the others are what it bore.
   */
  const believe = () => {
    const bore = episode.refused.toSorted((a, b) => a.number - b.number).map((ticket, rank) =>
      ticket.inFlight - 1 - rank
    )
    bound = within(Math.max(Math.min(...bore), episode.limitBefore * mostDecrease / decrease))
    limit = within(Math.min(limit, bound * decrease))
  }

  const throttled = (ticket: Ticket, now: number) => {
    if (ticket.number <= episode.upTo) {
      episode.refused.push(ticket)
      return believe()
    }
    const isProvoked = phase !== "hold"
    episode = { upTo: sent, at: now, limitBefore: limit, refused: [ticket] }
    believe()
    holdFor(now, isProvoked ? hold.least : shortHold)
    latencyRow = 0
    forgetLatencies()
    pace = { first: sent + 1, from: undefined, sent: 0, isAnswered: false }
  }

  /** A pause ended: the dearer it was, the longer nothing is tried. */
  const resumed = (now: number) => {
    const pause = now - episode.at
    if (holdUntil - episode.at >= hold.least) {
      holdUntil = episode.at + Math.min(hold.most, Math.max(hold.least, hold.pauses * pause))
    }
  }

  /** Once per about a round trip: the mean latency against a baseline that follows slowly. True = it has risen, and stays so. */
  const hasRisen = (millis: number): boolean => {
    window.sum += millis
    window.count++
    if (window.count < Math.max(fewestLatencies, limit)) return false
    const mean = window.sum / window.count
    forgetLatencies()
    if (baseline === undefined) {
      baseline = mean
    } else if (mean > risen.factor * baseline + risen.slackMillis) {
      latencyRow++
      if (latencyRow <= risenWindows.most) return latencyRow > risenWindows.ignored
      baseline = mean
    } else {
      baseline += (mean < baseline ? drift.down : drift.up) * (mean - baseline)
    }
    latencyRow = 0
    return false
  }

  const slowed = (now: number) => {
    if (phase !== "hold") {
      bound = limit
      holdFor(now, shortHold)
    }
    limit = within(Math.min(limit, Math.max(limit * decrease, bound * mostDecreaseByLatency)))
  }

  const succeeded = (ticket: Ticket, now: number) => {
    const millis = Math.max(0, now - ticket.sentAt)
    latency = latency === 0 ? millis : latency + (millis - latency) / 8
    if (ticket.number > window.from && hasRisen(millis)) {
      slowed(now)
    } else if (
      ticket.number > round.from && ticket.inFlight >= Math.floor(limit) && now - round.startedAt >= leastRoundMillis
    ) {
      grow(now)
      round = { from: sent, startedAt: now }
    }
  }

  const isPaced = (now: number) => {
    if (pace?.from !== undefined && pace.isAnswered && now - pace.from >= latency) pace = undefined
    return pace !== undefined
  }

  return {
    get limit() {
      return Math.floor(limit)
    },
    get inFlight() {
      return inFlight
    },
    isPaced,
    takeTurn: (now) => {
      if (!isPaced(now) || pace === undefined) return 0
      if (pace.from === undefined) {
        pace.from = now
        resumed(now)
      }
      const wait = pace.from + pace.sent * latency / limit - now
      if (wait > 0) return wait
      pace.sent++
      return 0
    },
    onStart: (now) => ({ number: ++sent, sentAt: now, inFlight: ++inFlight }),
    onEnd: (ticket, now, feedback) => {
      inFlight--
      if (pace !== undefined && ticket.number >= pace.first && !pace.isAnswered) {
        // As long as nothing goes out, which is so while the key is paused, the spreading has not begun.
        if (feedback === "ignored") pace = { ...pace, from: undefined, sent: 0 }
        else pace.isAnswered = true
      }
      if (feedback === "ok") succeeded(ticket, now)
      else if (feedback === "throttled") throttled(ticket, now)
    },
  }
}
