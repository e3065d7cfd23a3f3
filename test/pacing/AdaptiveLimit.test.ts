import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type AdaptiveLimit, type Feedback, makeAdaptiveLimit, type Ticket } from "../../src/pacing/AdaptiveLimit.ts"
import { simulate, type World } from "../bench/adaptiveWorld.ts"

const second = 1_000
const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const make = () => makeAdaptiveLimit({ floor: 1, ceiling: 512 })

/** Sends what the limit allows, `times` times over, each answered after `latency(inFlight)` milliseconds. */
const rounds = (limit: AdaptiveLimit, times: number, latency: (inFlight: number) => number, from = 0): number => {
  let now = from
  for (let round = 0; round < times; round++) {
    const tickets: Array<Ticket> = []
    while (limit.inFlight < limit.limit) tickets.push(limit.onStart(now))
    now += latency(tickets.length)
    for (const ticket of tickets) limit.onEnd(ticket, now, "ok")
  }
  return now
}

/** Requests that start, end as `feedback` says, or time that passes. */
const Step = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("start"), count: between(1, 100) }),
  Schema.Struct({
    _tag: Schema.tag("end"),
    which: between(0, 10_000),
    count: between(1, 100),
    feedback: Schema.Literals(["ok", "ok", "ok", "throttled", "ignored"]),
  }),
  Schema.Struct({ _tag: Schema.tag("pass"), millis: between(0, 30_000) }),
])

/** Plays the steps; `after` sees each answer with the limit before it. */
const play = (
  limit: AdaptiveLimit,
  steps: ReadonlyArray<typeof Step.Type>,
  most: () => number,
  after: (ticket: Ticket, feedback: Feedback, before: number) => void,
) => {
  const open: Array<Ticket> = []
  let now = 0
  for (const step of steps) {
    if (step._tag === "pass") now += step.millis
    else if (step._tag === "start") {
      for (let count = 0; count < step.count && limit.inFlight < most(); count++) {
        if (limit.takeTurn(now) === 0) open.push(limit.onStart(now))
      }
    } else {
      for (let count = 0; count < step.count && open.length > 0; count++) {
        const [ticket] = open.splice(step.which % open.length, 1)
        const before = limit.limit
        limit.onEnd(ticket!, now, step.feedback)
        after(ticket!, step.feedback, before)
      }
    }
    assert.strictEqual(limit.inFlight, open.length)
  }
}

describe("AdaptiveLimit", () => {
  it.effect.prop(
    "stays between floor and ceiling, counts what is under way, and takes at most half off in one episode",
    [Schema.Array(Step), between(1, 20), between(20, 512)],
    ([steps, floor, ceiling]) =>
      Effect.sync(() => {
        const limit = makeAdaptiveLimit({ floor, ceiling })
        // Requests sent before the first refusal of an episode was answered belong to it.
        let episode = { upTo: 0, least: 0 }
        let sent = 0
        play(limit, steps, () => limit.limit, (ticket, feedback, before) => {
          sent = Math.max(sent, ticket.number)
          assert.isAtLeast(limit.limit, floor)
          assert.isAtMost(limit.limit, ceiling)
          if (feedback === "ignored") assert.strictEqual(limit.limit, before)
          if (feedback !== "throttled") return
          assert.isAtMost(limit.limit, before)
          if (ticket.number > episode.upTo) episode = { upTo: sent + limit.inFlight, least: Math.floor(before / 2) }
          assert.isAtLeast(limit.limit, Math.min(before, episode.least))
        })
      }),
  )

  it.effect.prop(
    "never grows while less than half of it is used",
    [Schema.Array(Step)],
    ([steps]) =>
      Effect.sync(() => {
        const limit = make()
        rounds(limit, 5, () => 600)
        play(limit, steps, () => limit.limit / 2, (_ticket, _feedback, before) => assert.isAtMost(limit.limit, before))
      }),
  )

  it.effect.prop(
    "comes to rest a tenth below a capacity that does not change, whatever it is",
    [between(10, 400), between(50, 600), between(0, 5_000), between(1, 1_000)],
    ([capacity, latency, retryAfter, seed]) =>
      Effect.sync(() => {
        const limit = make()
        const { limits } = simulate({
          seconds: 40,
          capacity: () => capacity,
          kind: "concurrency",
          latency: () => latency,
          retryAfter,
          seed,
        }, limit)
        for (const at of limits.slice(150)) {
          assert.isAtLeast(at, Math.floor(0.8 * capacity))
          assert.isAtMost(at, 1.1 * capacity + 2)
        }
      }),
    { arbitrary: { runs: 15 } },
  )

  it("takes the refused requests of one burst as one episode, and reads the capacity from them", () => {
    const limit = make()
    let now = rounds(limit, 6, () => 600)
    const before = limit.limit
    assert.isAbove(before, 100)
    const tickets: Array<Ticket> = []
    while (limit.inFlight < before) tickets.push(limit.onStart(now))
    now += 600
    // 100 were borne, the rest refused; the answers come in any order.
    for (const ticket of tickets.toReversed()) limit.onEnd(ticket, now, ticket.inFlight > 100 ? "throttled" : "ok")
    assert.strictEqual(limit.limit, 90)
  })

  it("spreads requests over a round trip after a pause, in which ignored attempts do not count", () => {
    const limit = make()
    let now = rounds(limit, 2, () => 600)
    limit.onEnd(limit.onStart(now), now, "throttled")
    for (let attempt = 0; attempt < 1_000; attempt++) {
      now++
      assert.isTrue(limit.isPaced(now))
      assert.strictEqual(limit.takeTurn(now), 0)
      limit.onEnd(limit.onStart(now), now, "ignored")
    }
    const times: Array<number> = []
    while (limit.inFlight < limit.limit) {
      const wait = limit.takeTurn(now)
      if (wait === 0) {
        limit.onStart(now)
        times.push(now)
      } else now += wait
    }
    const gap = 600 / limit.limit
    times.forEach((time, index) => assert.approximately(time - times[0]!, index * gap, 0.001))
  })

  it("stops growing where latency rises with the load, without a single refusal", () => {
    const limit = make()
    const seen: Array<number> = []
    let now = 0
    for (let round = 0; round < 300; round++) {
      now = rounds(limit, 1, (inFlight) => 200 * Math.max(1, inFlight / 50), now)
      seen.push(limit.limit)
    }
    assert.isAtMost(Math.max(...seen), 110)
    assert.isAtLeast(Math.min(...seen.slice(20)), 50)
  })

  it("does not give up because the provider has become slower for good", () => {
    const { limits } = simulate({
      seconds: 90,
      capacity: () => 200,
      kind: "concurrency",
      latency: (now) => now < 30 * second ? 100 : 500,
      retryAfter: second,
    }, make())
    assert.isAtLeast(Math.min(...limits.slice(100)), 100)
    assert.isAtLeast(Math.min(...limits.slice(600)), 160)
  })

  it("is not kept down by stray refusals", () => {
    const { limits } = simulate({
      seconds: 120,
      capacity: () => 1_000,
      kind: "concurrency",
      latency: () => 300,
      retryAfter: second,
      strayRefusals: 1 / 10_000,
    }, make())
    assert.isAtLeast(Math.min(...limits.slice(100)), 100)
    assert.isAtLeast(Math.max(...limits.slice(600)), 400)
  })

  const world = (latency: number, retryAfter: number, more: Partial<World> = {}): World => ({
    seconds: 180,
    capacity: (now) => now >= 60 * second && now < 120 * second ? 100 : 200,
    kind: "concurrency",
    latency: () => latency,
    retryAfter,
    ...more,
  })
  const targets: ReadonlyArray<readonly [name: string, world: World]> = [
    ["50 ms, Retry-After 1 s", world(50, second)],
    ["300 ms, Retry-After 1 s", world(300, second)],
    ["300 ms, Retry-After 5 s", world(300, 5 * second)],
    ["300 ms, no pause", world(300, 0)],
    ["300 ms, Retry-After 1 s, refused within 10 ms", world(300, second, { refusalMillis: 10 })],
    ["1 s, Retry-After 1 s, refused within 10 ms", world(second, second, { refusalMillis: 10 })],
    ["50 ms, Retry-After 1 s, a rate", world(50, second, { kind: "rate" })],
    ["300 ms, Retry-After 1 s, a rate, refused within 10 ms", world(300, second, { kind: "rate", refusalMillis: 10 })],
  ]
  for (const [name, world] of targets) {
    it(`finds the capacity in 10 s, halves with it and comes back, with under 1 % refused (${name})`, () => {
      for (const seed of [1, 2, 3]) {
        const { limits, minutes, used, usedBySecond } = simulate({ ...world, seed }, make())
        assert.isAtLeast(Math.max(...usedBySecond.slice(0, 10)), 0.85)
        for (const { answers, throttled } of minutes) assert.isBelow(throttled / answers, 0.008)
        assert.isAtLeast(limits[599]!, 160)
        assert.isAtMost(limits[899]!, 120)
        assert.isAtLeast(limits[1_599]!, 160)
        assert.isAtLeast(used, 0.65)
      }
    })
  }
})
