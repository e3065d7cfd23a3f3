/** The OpenAPI document: that a public linter finds it valid, and that nothing of it changes unnoticed. */
import { assert, describe, it } from "@effect/vitest"
import { createConfig, lintFromString } from "@redocly/openapi-core"
import { examples } from "../../src/api/Examples.ts"
import { committed, committedPath, current } from "./openapi.ts"

interface Document {
  readonly paths: Record<string, Record<string, { readonly parameters?: ReadonlyArray<{ readonly name: string }> }>>
  readonly components: { readonly schemas: Record<string, { readonly examples?: ReadonlyArray<unknown> }> }
}

/** Lines that one of two texts has and the other has not, at most so many. */
const differences = (before: string, after: string, most: number): string => {
  const had = new Set(before.split("\n"))
  const has = new Set(after.split("\n"))
  return [
    ...[...had].filter((line) => !has.has(line)).map((line) => `- ${line}`),
    ...[...has].filter((line) => !had.has(line)).map((line) => `+ ${line}`),
  ].slice(0, most).join("\n")
}

/** What clients may rely on: calls, and the names of their parameters. */
const callsOf = ({ paths }: Document): ReadonlyArray<string> =>
  Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, { parameters = [] }]) => [
      `${method} ${path}`,
      ...parameters.map(({ name }) => `${method} ${path} ${name}`),
    ])
  )

describe("OpenAPI document", () => {
  it("is valid by Redocly's strict rules, examples included", async () => {
    const config = await createConfig({
      extends: ["recommended-strict"],
      rules: { "no-invalid-schema-examples": "error", "no-invalid-media-type-examples": "error" },
    })
    const problems = await lintFromString({ source: current(), absoluteRef: committedPath, config })
    assert.deepStrictEqual(
      problems.map(({ location, message, ruleId }) => `${ruleId}: ${message} at ${location[0]?.pointer}`),
      [],
    )
  })

  it("has the examples that are written for it", () => {
    const { components } = JSON.parse(current()) as Document
    for (const [name, example] of Object.entries(examples)) {
      assert.deepStrictEqual(components.schemas[name]?.examples, [example], name)
    }
  })

  it("is the committed one", async () => {
    const [before, after] = [await committed(), current()]
    const gone = callsOf(JSON.parse(before)).filter((call) => !callsOf(JSON.parse(after)).includes(call))
    assert.isTrue(
      before === after,
      [
        "the API is not what docs/openapi.json says:",
        before === after ? "" : differences(before, after, 60) || "the same lines in another order",
        gone.length === 0 ? "" : `\nThis breaks clients, for these are gone: ${gone.join(", ")}`,
        "\nIf that is meant, accept it with «deno task openapi», and say in CHANGELOG.md what callers have to do.",
      ].join("\n"),
    )
  })
})
