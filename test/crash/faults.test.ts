/** A few faults on a small fleet; `test/soak/faults.ts` has them all, on a large one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { postgresUrl, usableEngines } from "../support/databases.ts"
import { befall, cuts, misbehaviours, stageOn } from "./faults.ts"

const usable = (await usableEngines).includes("postgres")

describe("a fleet under refresh", () => {
  it.live.skipIf(!usable)("bears a network that is cut and a provider that misbehaves", () =>
    Effect.gen(function* () {
      const accounts = 24
      const stage = yield* stageOn(postgresUrl, {
        simulator: { accounts, latency: "50 millis", watchDelivery: true, hangLimit: "1 second" },
        processes: 1,
        settings: { MAILFLEET_REFRESH_EVERY: "1 second" },
      })
      // Who was claimed or failed meanwhile is tried again after a minute or more; a run that somebody asks for does not
      // wait for it, and must do them all.
      const few = misbehaviours(stage, 1).filter(({ name }) => /resets the connection|HTML|half|ahead/.test(name))
      for (const fault of [...cuts(stage, 5.5), ...few]) {
        const outcome = yield* befall(stage, fault, "3 seconds")
        assert.deepInclude(outcome, { wronglyDead: [], lost: [], falseProbes: 0, ended: 0 }, fault.name)
        if (outcome.byHand !== undefined) {
          assert.deepStrictEqual(outcome.byHand, { succeeded: accounts, failed: 0 }, fault.name)
        }
      }
      for (const service of stage.services) assert.strictEqual(yield* service.stop, 0)
    }), { timeout: 180_000 })
})
