/** A few hundred requests of each kind; `deno task soak:fuzz` sends as many as there is time for. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { fuzzApi } from "./ApiFuzz.ts"
import { startFleet } from "./fleet.ts"

it.live.skipIf(!(await usableEngines).includes("postgres"))(
  "whatever is sent: no fault of ours, no hang, and every answer as the document says",
  () =>
    Effect.gen(function* () {
      const { keys, service } = yield* startFleet("postgres")
      const { byStatus, findings, requests, unreached } = yield* fuzzApi(
        { origin: service.url, keys },
        { seed: 1, requests: 900, lanes: 4 },
      )
      assert.deepStrictEqual(findings, [])
      assert.strictEqual(requests, 900)
      assert.isAbove(byStatus.get(200) ?? 0, 150)
      // What providers and people begin elsewhere is not to be reached from here.
      assert.isBelow(unreached.length, 25, unreached.join(", "))
      assert.strictEqual((yield* service.send("/health/ready")).status, 200)
      assert.notInclude(service.output(), "a request failed")
      assert.notInclude(service.output(), "CANARY")
    }).pipe(Effect.scoped),
  120_000,
)
