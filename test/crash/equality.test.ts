/** A small one of `deno task soak:sync`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { equality, summary } from "./equality.ts"
import { stages } from "./stages.ts"

const engines = await usableEngines

describe("mail that changes all the while", () => {
  // Each channel on one engine: what differs between the engines has tests of its own.
  for (const [index, [name, stage]] of Object.entries(stages).entries()) {
    const engine = engines[index % engines.length]!
    it.live(
      `equals the mailbox in the end, and so does its change log (${name}, ${engine})`,
      () =>
        Effect.gen(function* () {
          const outcome = yield* equality({
            name,
            stage,
            engine,
            mailboxes: 2,
            operations: 300,
            operationsBetweenKills: 180,
            seed: 7,
          })
          assert.deepStrictEqual(outcome.differences, [], summary(outcome))
          assert.isAtLeast(outcome.kills, 1)
        }).pipe(Effect.scoped),
      240_000,
    )
  }
})
