/**
 * Thousands of random operations on mailboxes (deliver, flag, move, delete, folders that come, go and are renamed, lost
 * cursors, refusals, expired tokens) while a process keeps them in step, which is killed every few hundred of them. In the
 * end the store must equal the mailboxes, and so must a replay of the change log from its beginning.
 *
 * ```sh
 * deno task soak:sync
 * deno task soak:sync graph 10000 1
 * ```
 *
 * Channel (or `all`), number of operations, seed. Prints a line for each channel; exits with 1 where anything differs.
 */
import { Effect } from "effect"
import { equality, summary } from "../crash/equality.ts"
import { stages } from "../crash/stages.ts"

const [channel = "all", operations = "10000", seed = "1"] = Deno.args
const chosen = Object.entries(stages).filter(([name]) => channel === "all" || channel === name)
if (chosen.length === 0) {
  console.error(`the channels are ${Object.keys(stages).join(", ")} and all`)
  Deno.exit(2)
}
if (!/^[1-9]\d*$/.test(operations) || !/^\d+$/.test(seed)) {
  console.error("after the channel come the number of operations and the seed, as whole numbers")
  Deno.exit(2)
}
let equal = true
for (const [name, stage] of chosen) {
  const outcome = await Effect.runPromise(Effect.scoped(equality({
    name,
    stage,
    engine: "postgres",
    mailboxes: 4,
    operations: Number(operations),
    operationsBetweenKills: 300,
    seed: Number(seed),
  })))
  console.log(summary(outcome))
  equal &&= outcome.differences.length === 0
}
Deno.exit(equal ? 0 : 1)
