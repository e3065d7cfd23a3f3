/** A small one of `deno task soak:webhooks`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { isKept, storm } from "./webhooks.ts"

const engines = await usableEngines

describe("webhooks to a receiver with bad manners, from a process that is killed", () => {
  for (const engine of engines) {
    it.live(`loses none, and keeps the order of each account (${engine})`, () =>
      Effect.gen(function* () {
        const outcome = yield* storm({ engine, deliveries: 600, accounts: 10, kills: 2, seed: 3 })
        assert.isTrue(isKept(outcome), JSON.stringify(outcome))
      }), 240_000)
  }
})
