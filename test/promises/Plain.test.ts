import { assert, describe, it } from "@effect/vitest"
import { DateTime, Option, Redacted, Stream } from "effect"
import { given, plain, secretNames } from "../../src/promises/Plain.ts"

describe("plain", () => {
  it("turns times into dates, secrets into texts and what is missing into undefined, however deep", () => {
    const at = new Date("2026-11-25T08:00:00Z")
    const value = {
      at: DateTime.fromDateUnsafe(at),
      inner: [{
        token: Redacted.make("t"),
        some: Option.some({ at: DateTime.fromDateUnsafe(at) }),
        none: Option.none(),
      }],
      bytes: new Uint8Array([1]),
      nothing: null,
    }
    assert.deepStrictEqual<unknown>(plain(value), {
      at,
      inner: [{ token: "t", some: { at }, none: undefined }],
      bytes: new Uint8Array([1]),
      nothing: null,
    })
  })

  it("turns streams into async iterables", async () => {
    const values: Array<unknown> = []
    for await (const value of plain(Stream.make(Redacted.make("a"), Redacted.make("b")))) values.push(value)
    assert.deepStrictEqual(values, ["a", "b"])
  })
})

describe("given", () => {
  it("turns dates into times and secrets into redacted values, and leaves the rest", () => {
    const at = new Date("2026-11-25T08:00:00Z")
    const value = given({ email: "a@b.example", refreshToken: "t", filter: { before: at }, tags: ["x"] })
    assert.deepStrictEqual(value, {
      email: "a@b.example",
      refreshToken: Redacted.make("t"),
      filter: { before: DateTime.fromDateUnsafe(at) },
      tags: ["x"],
    })
  })

  it("knows every secret that the API takes", () => {
    const root = new URL("../../src/api/", import.meta.url)
    const named = [...Deno.readDirSync(root)].flatMap(({ name }) =>
      Array.from(
        Deno.readTextFileSync(new URL(name, root)).matchAll(/^ *(\w+): (?:secret\(|.*RedactedFromValue)/gm),
        ([, member = ""]) => member,
      )
    )
    const answers = ["accessToken", "key"]
    assert.sameMembers([...new Set(named)].filter((name) => !answers.includes(name)), [...secretNames])
  })
})
