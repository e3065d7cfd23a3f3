/** A small storm; `storm.ts` is the large one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { mostGraphRequests, mostTokenRequests, storm } from "./storm.ts"

const engines = await usableEngines

describe("a storm with three kills", () => {
  for (const engine of engines) {
    const mode = engine === "postgres" ? "strict" : "microsoft"
    it.live(`costs nothing but what was on the wire (${engine}, ${mode})`, () =>
      Effect.gen(function* () {
        const accounts = 24
        const end = yield* storm({ engine, mode, accounts, messages: 12, faultRate: 0.2, waits: false })
        assert.deepStrictEqual(end.dead.others, [])
        assert.strictEqual(end.dead.lost, mode === "strict" ? end.lost : 0)
        assert.strictEqual(end.accounts["active"], accounts - end.dead.lost)
        assert.deepStrictEqual(end.violations, [])
        assert.deepStrictEqual(end.outOfStep, [])
        assert.strictEqual(end.createdTwice, 0)
        assert.isAtMost(end.peaks.token, mostTokenRequests)
        assert.isAtMost(end.peaks.graph, mostGraphRequests)
        assert.isAtMost(end.peaks.mailbox, 4)
        assert.isAbove(end.requests.faults, 30)
      }), { concurrent: true, timeout: 240_000 })
  }
})
