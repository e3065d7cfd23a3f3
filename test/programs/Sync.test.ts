/** Runs of syncs: an account whose round takes several turns waits behind the others, and has succeeded with the last. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Database } from "../../src/storage/Database.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { addAccount, fleet, Script } from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { startProcess } from "./worker.ts"

await onDatabases("Sync", fleet, (it) => {
  it.effect("takes turns, which are no retries", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const runs = yield* Runs
      const [huge, ...quick] = [yield* addAccount(), yield* addAccount(), yield* addAccount()]
      yield* sql`update ${t.accounts} set status = 'active'`
      const order: Array<string> = []
      const names = new Map([[huge!.id, "huge"], ...quick.map(({ id }) => [id, "quick"] as const)])
      let left = 6
      const requests = yield* startProcess(new Script(), { syncConcurrency: 1 }, (id) =>
        Effect.sync(() => {
          order.push(names.get(id)!)
          return { changes: 1, complete: id !== huge!.id || --left === 0 }
        }))
      const ids = [huge!, ...quick].map(({ id }) => id)
      const run = yield* requests.sync({ _tag: "Ids", ids }, { trigger: "test" })
      const ended = yield* eventually(
        "the run ends",
        Effect.map(runs.get(run.id), Option.getOrThrow),
        ({ state }) => state === "completed",
      )
      assert.strictEqual(ended.succeeded, 3)
      assert.deepStrictEqual(order.slice(0, 3), ["huge", "quick", "quick"])
      assert.strictEqual(order.filter((name) => name === "huge").length, 6)
    }))
})
