import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as Progress from "../../src/commands/Progress.ts"
import { barLine, plainLine, type State } from "../../src/commands/ProgressLine.ts"

const state: State = {
  label: "import",
  total: 1_000,
  unit: undefined,
  processed: 500,
  succeeded: 480,
  failed: 15,
  skipped: 5,
  rate: 4.96,
  elapsed: Duration.seconds(100),
  isDone: false,
}

const counts = (processed: number): Progress.Counts => ({ processed, succeeded: processed, failed: 0, skipped: 0 })

/** A screen that keeps what it is given. */
const screen = (options: Partial<Progress.Screen> = {}) => {
  const drawn: Array<string> = []
  const logged: Array<string> = []
  const fake: Progress.Screen = {
    isTerminal: true,
    colors: false,
    columns: () => 80,
    draw: (text) => drawn.push(text),
    log: (line) => logged.push(line),
    ...options,
  }
  return { drawn, logged, fake }
}

const withoutColors = (text: string): string => text.replaceAll(new RegExp("\x1b\\[\\d+m", "g"), "")

describe("the line", () => {
  it("says all where there is room", () => {
    assert.strictEqual(
      barLine(state, 120, false).text,
      "import  [###################-------------------]   50 %  500/1000  5/s  1 min 41 s left  15 failed  5 skipped",
    )
    assert.strictEqual(
      plainLine(state),
      "import: 500 of 1000 (50 %), 480 succeeded, 15 failed, 5 skipped, 5/s, 1 min 41 s left",
    )
  })

  it("never reaches the last column, and keeps the count longest", () => {
    for (const colors of [true, false]) {
      for (const total of [0, 1_000, 1_000_000]) {
        for (let columns = 2; columns <= 200; columns++) {
          const { text, width } = barLine({ ...state, total }, columns, colors)
          assert.isBelow(width, columns)
          if (columns > 20) assert.strictEqual(withoutColors(text).length, width)
          if (columns > 30) assert.include(text, `500/${total}`)
        }
      }
    }
  })

  it("is full when all is done, and not before", () => {
    const full = (processed: number) => !barLine({ ...state, processed }, 120, false).text.includes("-")
    assert.isFalse(full(999))
    assert.isTrue(full(1_000))
    assert.include(plainLine({ ...state, processed: 999 }), "(99 %)")
  })
})

describe("on a terminal", () => {
  it.effect("draws at most every 100 ms, each time with one write and without clearing", () =>
    Effect.gen(function* () {
      const { drawn, fake } = screen()
      const progress = yield* Progress.make({ label: "sync", total: 1_000 }).pipe(
        Effect.provideService(Progress.Screen, fake),
      )
      for (let processed = 1; processed <= 1_000; processed++) {
        yield* progress.update(counts(processed))
        yield* TestClock.adjust("1 millis")
      }
      yield* progress.done
      assert.isAtMost(drawn.length, 14)
      for (const text of drawn) assert.match(text, /^\r\P{Cc}*\n?$/u)
      assert.match(drawn.at(-1) ?? "", /100 % +1000\/1000 +1000\/s +in 1 s *\n$/)
    }))

  it.effect("blanks out what was longer before, and goes on while nothing happens", () =>
    Effect.gen(function* () {
      const { drawn, fake } = screen({ columns: () => drawn.length === 0 ? 80 : 30 })
      const progress = yield* Progress.make({ label: "sync", total: 10 }).pipe(
        Effect.provideService(Progress.Screen, fake),
      )
      yield* TestClock.adjust("3 seconds")
      assert.isAtLeast(drawn.length, 3)
      assert.strictEqual(drawn[0]?.trimEnd().length, drawn[1]?.length)
      yield* progress.done
      yield* progress.update(counts(10))
      const after = drawn.length
      yield* TestClock.adjust("3 seconds")
      assert.lengthOf(drawn, after)
    }))

  it.effect("leaves the line when it is interrupted", () =>
    Effect.gen(function* () {
      const { drawn, fake } = screen()
      yield* Effect.scoped(Progress.make({ label: "sync", total: 10 })).pipe(
        Effect.provideService(Progress.Screen, fake),
      )
      assert.match(drawn.at(-1) ?? "", /0\/10 *\n$/)
    }))
})

describe("elsewhere", () => {
  it.effect("writes a line at each tenth, and one at the end", () =>
    Effect.gen(function* () {
      const { drawn, fake, logged } = screen({ isTerminal: false })
      const progress = yield* Progress.make({ label: "import", total: 1_000 }).pipe(
        Effect.provideService(Progress.Screen, fake),
      )
      for (let processed = 1; processed <= 1_000; processed++) yield* progress.update(counts(processed))
      yield* progress.done
      yield* progress.done
      assert.lengthOf(drawn, 0)
      assert.deepStrictEqual(
        logged.map((line) => /\((\d+ %)\)/.exec(line)?.[1]),
        Array.from({ length: 10 }, (_, tenth) => `${(tenth + 1) * 10} %`),
      )
    }))

  it.effect("writes a line every five seconds where it is slow", () =>
    Effect.gen(function* () {
      const { fake, logged } = screen({ isTerminal: false })
      const progress = yield* Progress.make({ label: "import", total: 1_000 }).pipe(
        Effect.provideService(Progress.Screen, fake),
      )
      for (let second = 1; second <= 20; second++) {
        yield* TestClock.adjust("1 second")
        yield* progress.update(counts(second))
      }
      assert.lengthOf(logged, 4)
      assert.match(logged[3] ?? "", /20 of 1000 \(2 %\).* 1\/s, 16 min 20 s left$/)
    }))
})
