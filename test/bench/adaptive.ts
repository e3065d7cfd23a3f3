/** `deno run -A test/bench/adaptive.ts`: ways to find a provider's capacity, side by side in virtual time. Needs nothing. */
import { type AdaptiveLimit, makeAdaptiveLimit } from "../../src/pacing/AdaptiveLimit.ts"
import { aimd, cubic, gradient2, vegas } from "./adaptiveRivals.ts"
import { type Course, simulate, type World } from "./adaptiveWorld.ts"

const second = 1_000

/** 200 at once, 100 from the first minute to the second, then 200 again. */
const world = (latency: number, retryAfter: number, more: Partial<World> = {}): World => ({
  seconds: 180,
  capacity: (now) => now >= 60 * second && now < 120 * second ? 100 : 200,
  kind: "concurrency",
  latency: () => latency,
  retryAfter,
  ...more,
})

const worlds: ReadonlyArray<readonly [name: string, world: World]> = [
  ["50 ms, Retry-After 1 s", world(50, second)],
  ["300 ms, Retry-After 1 s", world(300, second)],
  ["1 s, Retry-After 1 s", world(second, second)],
  ["300 ms, Retry-After 5 s", world(300, 5 * second)],
  ["300 ms, no pause", world(300, 0)],
  ["300 ms, Retry-After 1 s, refused within 10 ms", world(300, second, { refusalMillis: 10 })],
  ["1 s, Retry-After 1 s, refused within 10 ms", world(second, second, { refusalMillis: 10 })],
  ["50 ms, Retry-After 1 s, a rate", world(50, second, { kind: "rate" })],
  ["300 ms, Retry-After 1 s, a rate", world(300, second, { kind: "rate" })],
  ["300 ms, Retry-After 1 s, a rate, refused within 10 ms", world(300, second, { kind: "rate", refusalMillis: 10 })],
  ["300 ms, Retry-After 1 s, 1 in 5,000 refused for nothing", world(300, second, { strayRefusals: 1 / 5_000 })],
]

const algorithms: ReadonlyArray<readonly [name: string, make: () => AdaptiveLimit]> = [
  ["AIMD, half off", aimd(0.5, false)],
  ["AIMD, slow start, a tenth off", aimd(0.9, true)],
  ["CUBIC", cubic],
  ["Vegas", vegas],
  ["Gradient2", gradient2],
  ["ours", () => makeAdaptiveLimit({ floor: 1, ceiling: 512 })],
]

const percent = (share: number, digits = 0) => `${(100 * share).toFixed(digits)} %`

/** Seconds from `from` until the limit is first so, in the minute that begins there. */
const secondsUntil = ({ limits }: Course, from: number, isSo: (limit: number) => boolean) => {
  const index = limits.slice(from * 10, (from + 60) * 10).findIndex(isSo)
  return index === -1 ? "never" : `${((index + 1) / 10).toFixed(1)} s`
}

const columns = ["", "used", "best second of 10", "throttled, by minute", "halved in", "back in"]
const print = (cells: ReadonlyArray<string>) =>
  console.log(`| ${cells.map((cell, index) => cell.padEnd(index === 0 ? 30 : columns[index]!.length)).join(" | ")} |`)

for (const [name, world] of worlds) {
  console.log(`\n${name}`)
  print(columns)
  print(columns.map((column, index) => "-".repeat(index === 0 ? 30 : column.length)))
  for (const [algorithm, make] of algorithms) {
    const course = simulate(world, make())
    print([
      algorithm,
      percent(course.used),
      percent(Math.max(...course.usedBySecond.slice(0, 10))),
      course.minutes.map(({ answers, throttled }) => percent(throttled / answers, 2)).join("  "),
      secondsUntil(course, 60, (limit) => limit <= 110),
      secondsUntil(course, 120, (limit) => limit >= 160),
    ])
  }
}
