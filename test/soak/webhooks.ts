/**
 * Ten thousand webhook deliveries to a receiver that fails, hangs, redirects to a private address and dies for a while, from a
 * process that is killed five times: none lost, none out of order for its account, memory flat.
 *
 * ```sh
 * deno task soak:webhooks
 * deno task soak:webhooks 50000 10 2
 * ```
 *
 * Number of deliveries, of kills, seed. Prints the figures; exits with 1 where anything is lost, out of order or unsigned.
 */
import { Effect } from "effect"
import { isKept, storm } from "../crash/webhooks.ts"
import { engines } from "../support/engines.ts"

const [deliveries = "10000", kills = "5", seed = "1"] = Deno.args
let kept = true
for (const engine of engines) {
  const outcome = await Effect.runPromise(
    storm({ engine, deliveries: Number(deliveries), accounts: 100, kills: Number(kills), seed: Number(seed) }),
  )
  console.log(engine, JSON.stringify(outcome, null, 2))
  kept &&= isKept(outcome)
}
Deno.exit(kept ? 0 : 1)
