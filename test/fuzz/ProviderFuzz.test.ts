/** Some seconds of garbage from the providers; `deno task soak:fuzz` sends it for minutes. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { fuzzProvider } from "./ProviderFuzz.ts"

it.live.skipIf(!(await usableEngines).includes("postgres"))(
  "whatever providers answer: nobody is called dead, no secret goes anywhere, and all are back afterwards",
  () =>
    Effect.gen(function* () {
      const fuzzed = yield* fuzzProvider("postgres", { seed: 1, accounts: 12, millis: 4_000 })
      assert.isAbove(fuzzed.answers, 20)
      const { dead, defects, lured, notBack, secrets } = fuzzed
      assert.deepStrictEqual({ dead, defects, lured, notBack, secrets }, {
        dead: [],
        defects: [],
        lured: 0,
        notBack: [],
        secrets: 0,
      })
    }),
  120_000,
)
