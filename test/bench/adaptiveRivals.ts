/**
 * What was measured against `AdaptiveLimit`, each with the constants of its source. All start at 8 and allow 512 at most; the
 * ones of TCP decrease once per episode, as TCP does once per round trip.
 */
import type { AdaptiveLimit, Feedback, Ticket } from "../../src/pacing/AdaptiveLimit.ts"

const initial = 8
const ceiling = 512

/** Counts requests; `rule` is told of each answer and says the new limit. */
const limitBy = (
  rule: (limit: number, ticket: Ticket, now: number, feedback: Feedback, inFlight: number) => number,
): AdaptiveLimit => {
  let limit = initial
  let inFlight = 0
  let sent = 0
  return {
    get limit() {
      return Math.floor(limit)
    },
    get inFlight() {
      return inFlight
    },
    isPaced: () => false,
    takeTurn: () => 0,
    onStart: (now) => ({ number: ++sent, sentAt: now, inFlight: ++inFlight }),
    onEnd: (ticket, now, feedback) => {
      limit = Math.max(1, Math.min(ceiling, rule(limit, ticket, now, feedback, inFlight)))
      inFlight--
    },
  }
}

/** True for the first refusal of an episode: those of requests sent before the last decrease belong to that one. */
const episodes = () => {
  let decreasedAt = -1
  return (ticket: Ticket, now: number): boolean => {
    if (ticket.sentAt <= decreasedAt) return false
    decreasedAt = now
    return true
  }
}

/** Chiu & Jain 1989: one more per round trip, a fraction less on congestion; `slowStart` doubles first (RFC 5681). */
export const aimd = (fraction: number, slowStart: boolean) => (): AdaptiveLimit => {
  const isNew = episodes()
  let starting = slowStart
  return limitBy((limit, ticket, now, feedback) => {
    if (feedback === "ok") return limit + (starting ? 1 : 1 / limit)
    starting = false
    return isNew(ticket, now) ? limit * fraction : limit
  })
}

/** RFC 9438 §4, C = 0.4 and beta = 0.7, with fast convergence. */
export const cubic = (): AdaptiveLimit => {
  const isNew = episodes()
  let starting = true
  let most = 0
  let decreasedAt = 0
  return limitBy((limit, ticket, now, feedback) => {
    if (feedback !== "ok") {
      starting = false
      if (!isNew(ticket, now)) return limit
      most = limit < most ? limit * (1 + 0.7) / 2 : limit
      decreasedAt = now
      return limit * 0.7
    }
    if (starting) return limit + 1
    const seconds = (now - decreasedAt) / 1_000
    const target = 0.4 * (seconds - Math.cbrt(most * 0.3 / 0.4)) ** 3 + most
    return target > limit ? limit + Math.min((target - limit) / limit, 0.5) : limit
  })
}

/** Netflix concurrency-limits `VegasLimit` (after Brakmo & Peterson 1995): keeps a few requests waiting at the provider. */
export const vegas = (): AdaptiveLimit => {
  let best = 0
  let probes = 0
  return limitBy((limit, ticket, now, feedback, inFlight) => {
    const latency = Math.max(0.001, now - ticket.sentAt)
    const log = Math.max(1, Math.floor(Math.log10(limit)))
    if (++probes >= 0.75 * 30 * limit || best === 0 || latency < best) {
      if (probes >= 0.75 * 30 * limit) probes = 0
      best = latency
      return limit
    }
    if (feedback !== "ok") return limit - log
    if (inFlight * 2 < limit) return limit
    const waiting = Math.ceil(limit * (1 - best / latency))
    if (waiting <= log) return limit + 6 * log
    if (waiting < 3 * log) return limit + log
    return waiting > 6 * log ? limit - log : limit
  })
}

/** Netflix concurrency-limits `Gradient2Limit`, over windows of a second: latency against its long mean; it sees no refusals. */
export const gradient2 = (): AdaptiveLimit => {
  let long = 0
  let windows = 0
  let window = { until: 1_000, sum: 0, count: 0, inFlight: 0 }
  return limitBy((limit, ticket, now, feedback, inFlight) => {
    if (feedback === "ok") {
      window.sum += now - ticket.sentAt
      window.count++
      window.inFlight = Math.max(window.inFlight, inFlight)
    }
    if (now < window.until || window.count < 10) return limit
    const short = window.sum / window.count
    const used = window.inFlight
    window = { until: now + 1_000, sum: 0, count: 0, inFlight: 0 }
    windows++
    long = windows <= 10 ? long + (short - long) / windows : long + (short - long) * 2 / 601
    if (long / short > 2) long *= 0.95
    if (used < limit / 2) return limit
    const gradient = Math.max(0.5, Math.min(1, 1.5 * long / short))
    return limit * 0.8 + (limit * gradient + 4) * 0.2
  })
}
