import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { parseForm } from "../../src/simulator/Form.ts"

/** What `URLSearchParams` makes of the same text: the first value of each name. */
const expected = (text: string) =>
  [...new URLSearchParams(text)].filter(([name], i, all) => all.findIndex(([other]) => other === name) === i)

describe("a form", () => {
  it("reads as URLSearchParams reads it", () => {
    for (
      const text of ["", "&", "a", "a=", "=a", "a=b=c", "a=1&a=2", "a=%2", "a=%ff&b=%E4%BD%A0", "a+b=c+d%2B", "&&a=1&"]
    ) assert.deepStrictEqual([...parseForm(text)], expected(text), text)
  })

  it.prop(
    "of any fields too",
    [Schema.Record(Schema.String, Schema.String)],
    ([fields]) => {
      const text = new URLSearchParams(fields).toString()
      assert.deepStrictEqual([...parseForm(text)], expected(text))
    },
  )
})
