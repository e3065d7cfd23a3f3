/** A release moves from the one before under load. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { make } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import { ended, install, serveSimulator, startOverAll, upload } from "../support/processes.ts"
import { handOver } from "./handover.ts"

it.live.skipIf(!(await usableEngines).includes("postgres"))(
  "no call fails while one process takes over from another",
  () =>
    Effect.gen(function* () {
      const simulator = yield* make({ accounts: 10, messages: 10, latency: "20 millis" })
      const origin = yield* serveSimulator(simulator)
      const installation = yield* install("postgres", origin, {
        MAILFLEET_SHUTDOWN_DELAY: "1 second",
        MAILFLEET_SYNC_EVERY: "2 seconds",
        MAILFLEET_REFRESH_EVERY: "2 seconds",
      })
      const first = yield* installation.start()
      const { id } = yield* upload(first, [...simulator.importLines()].join(""), { "content-type": "text/plain" })
      yield* ended(first, id)
      const { id: sync } = yield* startOverAll(first, "sync")
      yield* ended(first, sync)
      const { calls, exitCode, failed } = yield* handOver(installation, first, { lanes: 8, millis: 5_000 })
      assert.deepStrictEqual(failed, [])
      assert.isAbove(calls, 100)
      assert.strictEqual(exitCode, 0)
    }).pipe(Effect.scoped),
  90_000,
)
