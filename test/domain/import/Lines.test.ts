import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { id, otherId, outline, readText, tokens } from "./reading.ts"

describe("lines", () => {
  it.effect.each([
    ["three fields", `a@x.com----${id}----T1`, "T1"],
    ["a password", `a@x.com----secret----${id}----T1`, "T1"],
    ["the token before the id", `a@x.com----secret----T1----${id}`, "T1"],
    ["the token before the id, without a password", `a@x.com----T1----${id}`, "T1"],
    ["an empty password", `a@x.com--------${id}----T1`, "T1"],
    ["a password with dashes", `a@x.com----se----cret----${id}----T1`, "T1"],
    ["a password that ends with a dash", `a@x.com----secret-----${id}----T1`, "T1"],
    ["a password that looks like a client id", `a@x.com----${otherId}----${id}----T1`, "T1"],
    ["such a password and the token before the id", `a@x.com----${otherId}----T1----${id}`, "T1"],
    ["a token with dashes", `a@x.com----secret----${id}----T1----T2`, "T1----T2"],
    ["a token that starts with dashes", `a@x.com----secret----${id}------T1`, "--T1"],
    ["a token that ends with dashes, before the id", `a@x.com----secret----T1------${id}`, "T1--"],
    ["white space around fields", `  a@x.com ---- secret ---- ${id} ---- T1\t`, "T1"],
    ["quotes around the line", `"a@x.com----secret----${id}----T1"`, "T1"],
    ["a client id in capitals", `a@x.com----${id.toUpperCase()}----T1`, "T1"],
  ])("bears %s", ([, line, token]) =>
    Effect.gen(function* () {
      const { error, rows } = yield* readText("lines", line ?? "")
      assert.isUndefined(error)
      assert.deepStrictEqual(rows, [{
        _tag: "ImportRow",
        line: 1,
        email: "a@x.com",
        clientId: id,
        refreshToken: token ?? "",
        provider: "microsoft",
        channel: "graph",
        channelOpen: true,
        tags: [],
      }])
    }))

  it.effect("bears a byte order mark, CRLF, lone CR, blank lines and comments, and counts physical lines", () =>
    Effect.gen(function* () {
      const text =
        `\uFEFF# accounts\r\n\r\na@x.com----${id}----T1\r\n   \n\t# more\rb@x.com----${id}----T2\r\r\nc@x.com----${id}----T3`
      const read = yield* readText("lines", text)
      assert.deepStrictEqual(outline(read), ["3 a@x.com", "6 b@x.com", "8 c@x.com"])
      assert.deepStrictEqual(tokens(read), ["T1", "T2", "T3"])
    }))

  it.effect("goes on after bad rows", () =>
    Effect.gen(function* () {
      const read = yield* readText(
        "lines",
        [
          "a@x.com",
          `a@x.com----${id}`,
          "a@x.com----secret----noid----T1",
          `nobody----${id}----T1`,
          `----${id}----T1`,
          `a@x.com----${id}----`,
          `a@x.com----${id}----T 1`,
          `b@x.com----${id}----T2`,
        ].join("\n"),
      )
      assert.deepStrictEqual(outline(read), [
        "1 invalid_field_count",
        "2 invalid_field_count",
        "3 invalid_client_id",
        "4 invalid_email",
        "5 missing_field",
        "6 missing_field",
        "7 invalid_refresh_token",
        "8 b@x.com",
      ])
      assert.isUndefined(read.error)
    }))

  it.effect("names the address of a bad row only where it is one", () =>
    Effect.gen(function* () {
      const { rows } = yield* readText("lines", "a@x.com----pw\na@x.com:pw----pw\na@x.com|pw|id|T")
      assert.deepStrictEqual(rows.map((row) => row.email), ["a@x.com", undefined, undefined])
    }))

  it.effect("gives a pasted CSV to the CSV reader", () =>
    Effect.gen(function* () {
      const text =
        `\n# pasted\nEmail;Client ID;Refresh Token;Provider\n"a@x.com";${id};T1;\ng@x.com;google-id;T2;google\n`
      const read = yield* readText("lines", text)
      assert.deepStrictEqual(outline(read), ["4 a@x.com", "5 g@x.com"])
    }))

  it.effect("is for Microsoft only", () =>
    Effect.gen(function* () {
      const read = yield* readText("lines", `\na@x.com----${id}----T1`, { provider: "google" })
      assert.strictEqual(read.error?.code, "unsupported_provider")
      assert.strictEqual(read.error?.line, 2)
    }))
})
