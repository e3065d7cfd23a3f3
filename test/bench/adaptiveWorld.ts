/** A provider with a capacity and a client that always has work, in virtual time: the same seed gives the same figures. */
import type { AdaptiveLimit, Feedback, Ticket } from "../../src/pacing/AdaptiveLimit.ts"

export interface World {
  readonly seconds: number
  /** Capacity at a time, in requests at once. */
  readonly capacity: (now: number) => number
  /** What is limited: requests at once, or as many per second as that many at once make. */
  readonly kind: "concurrency" | "rate"
  /** Of a rate: how many seconds' worth are let through at once. */
  readonly burst?: number
  /** Mean latency in milliseconds; single answers take from 0.8 to 1.2 of it. */
  readonly latency: (now: number) => number
  /** A refusal takes so long; undefined = as long as an answer. */
  readonly refusalMillis?: number
  /** Each refusal pauses the client so long from its arrival on; 0 = no pause. */
  readonly retryAfter: number
  /** Of 1, how many requests are refused whatever the load. */
  readonly strayRefusals?: number
  readonly seed?: number
}

export interface Minute {
  readonly answers: number
  readonly throttled: number
}

export interface Course {
  /** Of the capacity, how much was in use: the mean over all time, pauses included. */
  readonly used: number
  /** The same for each second. */
  readonly usedBySecond: ReadonlyArray<number>
  readonly minutes: ReadonlyArray<Minute>
  /** The limit at the end of each tenth of a second. */
  readonly limits: ReadonlyArray<number>
  /** Times at which an answer was refused, after a second without any. */
  readonly episodes: ReadonlyArray<number>
}

type Event = { readonly at: number; readonly run: () => void }

/** A binary heap; of equal times the one pushed first comes first. */
class Agenda {
  private readonly heap: Array<Event & { readonly order: number }> = []
  private order = 0

  push(at: number, run: () => void): void {
    const { heap } = this
    const event = { at, run, order: this.order++ }
    let index = heap.length
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  pop(): Event | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let index = 0
    while (true) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }
}

const before = (a: { at: number; order: number }, b: { at: number; order: number }) =>
  a.at < b.at || (a.at === b.at && a.order < b.order)

/** mulberry32. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}

export const simulate = (world: World, limit: AdaptiveLimit): Course => {
  const end = world.seconds * 1_000
  const next = random(world.seed ?? 1)
  const agenda = new Agenda()
  let now = 0

  let busy = 0
  let bucket = Infinity
  let filledAt = 0
  let pausedUntil = 0
  let waking = Infinity

  const share = new Array<number>(world.seconds).fill(0)
  const minutes = Array.from({ length: Math.ceil(world.seconds / 60) }, () => ({ answers: 0, throttled: 0 }))
  const limits: Array<number> = []
  const episodes: Array<number> = []
  let countedTo = 0
  let refusedAt = -Infinity

  /** Adds up what was in use until now, second by second. */
  const account = () => {
    while (countedTo < now) {
      const second = Math.floor(countedTo / 1_000)
      const until = Math.min(now, (second + 1) * 1_000)
      if (second < share.length) {
        const capacity = world.capacity(countedTo)
        share[second]! += Math.min(busy, capacity) / capacity * (until - countedTo) / 1_000
      }
      countedTo = until
    }
  }

  /** Whether the provider takes one more. A limit on the rate is a token bucket. */
  const admits = () => {
    if (next() < (world.strayRefusals ?? 0)) return false
    const capacity = world.capacity(now)
    if (world.kind === "concurrency") return busy < capacity
    const perMilli = capacity / world.latency(now)
    bucket = Math.min(Math.max(1, 1_000 * (world.burst ?? 1) * perMilli), bucket + (now - filledAt) * perMilli)
    filledAt = now
    if (bucket < 1) return false
    bucket--
    return true
  }

  const answered = (ticket: Ticket, feedback: Feedback) => {
    const minute = minutes[Math.floor(now / 60_000)]
    if (minute !== undefined) {
      minute.answers++
      if (feedback === "throttled") minute.throttled++
    }
    if (feedback === "throttled") {
      pausedUntil = Math.max(pausedUntil, now + world.retryAfter)
      if (now - refusedAt > 1_000) episodes.push(now)
      refusedAt = now
    }
    limit.onEnd(ticket, now, feedback)
    send()
  }

  const wake = (at: number) => {
    if (at >= waking) return
    waking = at
    agenda.push(at, () => {
      if (waking !== at) return
      waking = Infinity
      send()
    })
  }

  const send = () => {
    while (limit.inFlight < limit.limit) {
      if (now < pausedUntil) return wake(pausedUntil)
      const wait = limit.takeTurn(now)
      // Timers fire at whole milliseconds.
      if (wait > 0) return wake(Math.ceil(now + wait))
      const ticket = limit.onStart(now)
      const latency = world.latency(now) * (0.8 + 0.4 * next())
      if (admits()) {
        account()
        busy++
        agenda.push(now + latency, () => {
          account()
          busy--
          answered(ticket, "ok")
        })
      } else agenda.push(now + (world.refusalMillis ?? latency), () => answered(ticket, "throttled"))
    }
  }

  for (let at = 100; at <= end; at += 100) agenda.push(at, () => void limits.push(limit.limit))
  for (let at = 0; at < end; at += 1_000) agenda.push(at, account)
  send()
  for (let event = agenda.pop(); event !== undefined && event.at <= end; event = agenda.pop()) {
    now = event.at
    event.run()
  }
  now = end
  account()
  return {
    used: share.reduce((sum, second) => sum + second, 0) / world.seconds,
    usedBySecond: share,
    minutes,
    limits,
    episodes,
  }
}
