import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { makeMailboxUnits } from "../../src/pacing/MailboxUnits.ts"

describe("MailboxUnits", () => {
  it.effect("no minute sees more than its units, however they are asked for", () =>
    Effect.gen(function* () {
      const units = makeMailboxUnits(6_000)
      assert.strictEqual(units.most, 1_000)
      const spent: Array<{ readonly at: number; readonly cost: number }> = []
      const sizes = [1, 1_000, 20, 2, 400, 5, 100, 1_000, 1, 20, 1_000]
      const costs = Array.from({ length: 150 }, (_, n) => sizes[n * n % sizes.length]!)
      const fiber = yield* Effect.forkChild(
        Effect.forEach(
          costs,
          (cost) =>
            Effect.andThen(
              units.spend("a", cost),
              Effect.map(Clock.currentTimeMillis, (at) => spent.push({ at, cost })),
            ),
          { concurrency: 7 },
        ),
      )
      yield* TestClock.adjust("20 minutes")
      yield* Fiber.join(fiber)
      for (const { at } of spent) {
        const within = spent.filter((other) => other.at >= at && other.at < at + 60_000)
        assert.isAtMost(within.reduce((sum, { cost }) => sum + cost, 0), 6_000)
      }
      // And no slower than it must be.
      const total = costs.reduce((sum, cost) => sum + cost, 0)
      assert.isAtMost(spent.at(-1)!.at, ((total - 1_000) / 5_000) * 60_000 + 1_000)
    }))

  it.effect("mailboxes do not wait for each other, and one that was left alone has all to spend", () =>
    Effect.gen(function* () {
      const units = makeMailboxUnits(6_000)
      yield* units.spend("a", 1_000)
      yield* units.spend("b", 1_000)
      assert.strictEqual(yield* Clock.currentTimeMillis, 0)
      const waiting = yield* Effect.forkChild(units.spend("a", 500))
      yield* TestClock.adjust(5_999)
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust(1)
      yield* Fiber.join(waiting)
      yield* TestClock.adjust("1 minute")
      yield* units.spend("a", 1_000)
      // Dearer than all that may be spent at once: it counts as that.
      const dear = yield* Effect.forkChild(units.spend("a", 9_999))
      yield* TestClock.adjust("12 seconds")
      yield* Fiber.join(dear)
    }))
})
