/** (b) `auto` concurrency against a provider that bears 200 token requests at once, then 100, then 200 again. */
import { Console, Effect } from "effect"
import { ended, install, startOverAll, upload } from "../../support/processes.ts"
import { load, markdown, percent, seconds } from "./figures.ts"
import { answersOf, type Sample, startProvider } from "./provider.ts"

const capacity = 200
const halved = 100
const sampleMillis = 100

/** Seconds of each phase. The first minute begins with the first request. */
const phases = (quick: boolean) =>
  quick ? { found: 20, halved: 15, restored: 15 } : { found: 60, halved: 60, restored: 60 }

/** What was answered between two times (`performance.now()`), by the samples next to them. */
const between = (samples: ReadonlyArray<Sample>, from: number, to: number) => {
  const begin = samples.findLast(({ at }) => at <= from) ?? samples[0]!
  const end = samples.find(({ at }) => at >= to) ?? samples[samples.length - 1]!
  const all = answersOf(end) - answersOf(begin)
  return {
    seconds: (end.at - begin.at) / 1_000,
    ok: answersOf(end, 200) - answersOf(begin, 200),
    throttledShare: all === 0 ? 0 : (answersOf(end, 429) - answersOf(begin, 429)) / all,
  }
}

/**
 * The share of the capacity that was in use: good answers times latency is the number that were in work (Little's law);
 * refused ones use nothing.
 */
const shareInUse = (
  samples: ReadonlyArray<Sample>,
  from: number,
  to: number,
  latencyMillis: number,
  capacity: number,
): number => {
  const { ok, seconds } = between(samples, from, to)
  return (ok * latencyMillis) / 1_000 / seconds / capacity
}

/** Seconds from `from` until `holds` for the two seconds that follow. */
const secondsUntil = (from: number, to: number, holds: (from: number) => boolean): number => {
  for (let at = from; at + 2_000 <= to; at += sampleMillis) if (holds(at)) return (at - from) / 1_000
  return NaN
}

const measure = (latencyMillis: number, quick: boolean) =>
  Effect.gen(function* () {
    const phase = phases(quick)
    const needed = ((phase.found + phase.restored) * capacity + phase.halved * halved) * (1_000 / latencyMillis)
    const accounts = Math.ceil(needed * 1.2)
    const provider = yield* startProvider({ accounts, latencyMillis })
    const installation = yield* install("postgres", provider.origin, {
      MAILFLEET_REFRESH_CONCURRENCY: "auto",
      MAILFLEET_SCHEDULES: "off",
    })
    const service = yield* installation.start()
    const { id } = yield* upload(service, yield* provider.file(0, accounts), {}, "?verify=false")
    yield* ended(service, id, "20 minutes")

    yield* provider.configure({ tokenConcurrencyLimit: capacity, retryAfter: 1_000 })
    const samples = yield* provider.watch(sampleMillis)
    const run = yield* startOverAll(service, "refresh")
    while ((samples[samples.length - 1]?.token.requests ?? 0) === 0) yield* Effect.sleep("10 millis")
    const start = performance.now()
    yield* Effect.sleep(phase.found * 1_000)
    yield* provider.configure({ tokenConcurrencyLimit: halved })
    const cut = performance.now()
    yield* Effect.sleep(phase.halved * 1_000)
    yield* provider.configure({ tokenConcurrencyLimit: capacity })
    const back = performance.now()
    yield* Effect.sleep(phase.restored * 1_000)
    const end = performance.now()
    yield* service.send(`/v1/runs/${run.id}/cancel`, { method: "POST" })

    const share = (from: number, to: number, of: number) => shareInUse(samples, from, to, latencyMillis, of)
    const mostAtOnce = (from: number, to: number) =>
      Math.max(...samples.filter(({ at }) => at >= from && at <= to).map(({ token }) => token.inFlight))
    const hasHalved = (at: number) =>
      mostAtOnce(at, at + 2_000) <= halved * 1.1 && between(samples, at, at + 2_000).ok > 0
    return [
      `${latencyMillis} ms`,
      percent(share(start + 9_000, start + 11_000, capacity)),
      percent(share(start, cut, capacity)),
      percent(between(samples, start, cut).throttledShare),
      seconds(mostAtOnce(cut - 2_000, cut) > halved * 1.1 ? secondsUntil(cut, back, hasHalved) : NaN, 1),
      percent(share(cut, back, halved)),
      percent(between(samples, cut, back).throttledShare),
      seconds(
        secondsUntil(back, end, (at) => share(at, at + 2_000, capacity) >= 0.8),
        1,
      ),
    ]
  }).pipe(Effect.scoped)

export const benchAuto = (quick: boolean) =>
  Effect.gen(function* () {
    const rows = yield* Effect.forEach([300, 1_000], (latencyMillis) => measure(latencyMillis, quick))
    const { found, halved: cut } = phases(quick)
    yield* Console.log(
      `\n(b) auto concurrency, capacity ${capacity}, Retry-After 1 s; ${load()}\n\n` + markdown([
        [
          "latency",
          "in use after 10 s",
          `on average, ${found} s`,
          "throttled",
          `until halved (${halved})`,
          `in use, ${cut} s`,
          "throttled",
          "until 80 % again",
        ],
        ...rows,
      ]),
    )
  }).pipe(Effect.scoped)
