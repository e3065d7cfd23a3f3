/** A few hundred inputs for each parser, always the same; `deno task soak:fuzz` goes on from there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { column, Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { fuzzParser } from "./ParserFuzz.ts"
import { parsers, texts } from "./Parsers.ts"

describe("Parsers bear anything", () => {
  for (const parser of parsers) {
    it.live(parser.name, () =>
      Effect.gen(function* () {
        const { findings } = yield* Effect.promise(() => fuzzParser(parser, { seed: 1, inputs: 200 }))
        assert.deepStrictEqual(findings, [])
      }))
  }
})

await onDatabases("What is searched for", Layer.empty, (it) => {
  it.effect("is read by the database, whatever it was", () =>
    Effect.gen(function* () {
      const { sql } = yield* Database
      for (const parser of parsers.filter(({ name }) => /search|words/.test(name))) {
        yield* Effect.promise(() => fuzzParser(parser, { seed: 2, inputs: 100 }))
      }
      yield* sql`select count(q::tsquery) from unnest(${column("text", [...texts.queries])}) q`
      yield* sql`select count(v::tsvector) from unnest(${column("text", [...texts.vectors])}) v`
    }))
})
