import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { makeDeadlines } from "../../src/oauth/Deadlines.ts"

const aborted = (signal: AbortSignal) =>
  Effect.callback<void>((resume) => {
    if (signal.aborted) resume(Effect.void)
    else signal.addEventListener("abort", () => resume(Effect.void))
  })

describe("Deadlines", () => {
  it.live("aborts what is under way when its time has passed, together with what began at nearly the same time", () =>
    Effect.gen(function* () {
      const deadline = makeDeadlines(4_000)
      const first = deadline()
      const together = deadline()
      assert.strictEqual(together.signal, first.signal)
      // Longer than 1/80 of the time.
      yield* Effect.sleep("200 millis")
      const later = deadline()
      assert.notStrictEqual(later.signal, first.signal)
      // The deadline goes on for those that are still under way.
      together.leave()
      yield* aborted(first.signal)
      assert.isFalse(later.signal.aborted)
      first.leave()
      later.leave()
    }))

  it.live("never aborts what has ended, and is not joined once all have", () =>
    Effect.gen(function* () {
      const deadline = makeDeadlines(100)
      const first = deadline()
      first.leave()
      const next = deadline()
      assert.notStrictEqual(next.signal, first.signal)
      yield* aborted(next.signal)
      next.leave()
      yield* Effect.sleep("50 millis")
      assert.isFalse(first.signal.aborted)
    }))
})
