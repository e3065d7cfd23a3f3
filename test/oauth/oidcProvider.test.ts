/** The engine against a strict OAuth server that others wrote; `test/soak/oidc.ts` does the same for hours. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { faultsOf, soak } from "../soak/oidc.ts"
import { usableEngines } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"

const engines = await usableEngines

describe("oidc-provider", () => {
  // Two processes need a database that both can reach.
  it.live.skipIf(!engines.includes("postgres"))(
    "revokes no grant that two processes and their clients redeem",
    () =>
      Effect.gen(function* () {
        const outcome = yield* soak({
          grants: 30,
          processes: 2,
          latency: 20,
          every: "2 seconds",
          lasting: (report) =>
            eventually(
              "each grant was rotated five times",
              Effect.delay(report, "250 millis"),
              ({ rotations }) => Object.values(rotations).every((times) => times >= 5),
              "2 minutes",
            ),
        })
        assert.deepStrictEqual(faultsOf(outcome), [], JSON.stringify(outcome))
      }),
    180_000,
  )
})
