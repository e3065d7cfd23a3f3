import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { id, type Options, outline, readText } from "./reading.ts"

const read = (values: object, options?: Options) =>
  readText("ndjson", JSON.stringify({ email: "a@x.com", clientId: id, refreshToken: "T1", ...values }), options)

describe("the values of a row", () => {
  it.effect.each([
    ["a@x", "1 a@x"],
    ["First.Last+tag@sub.x-y.com", "1 First.Last+tag@sub.x-y.com"],
    ["używający@poczta.pl", "1 używający@poczta.pl"],
    [' "a@x.com" ', "1 a@x.com"],
    ["a@", "1 invalid_email"],
    ["@x.com", "1 invalid_email"],
    ["a@b@x.com", "1 invalid_email"],
    ["a b@x.com", "1 invalid_email"],
    ["a@x..com", "1 invalid_email"],
    ["a@.com", "1 invalid_email"],
    ["a@x.com:password", "1 invalid_email"],
    ["a@x.com----password", "1 invalid_email"],
    ["a\u0000@x.com", "1 invalid_email"],
    ["a\u200b@x.com", "1 invalid_email"],
    [`${"a".repeat(315)}@x.com`, "1 invalid_email"],
    ["  ", "1 missing_field"],
  ])("email %j", ([email, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(outline(yield* read({ email })), [String(expected)])
    }))

  it.effect.each([
    [{ clientId: "not-a-uuid" }, "invalid_client_id", "clientId"],
    [{ clientId: "" }, "missing_field", "clientId"],
    [{ clientId: "x".repeat(513), provider: "google" }, "invalid_client_id", "clientId"],
    [{ clientId: "a b", provider: "google" }, "invalid_client_id", "clientId"],
    [{ refreshToken: "" }, "missing_field", "refreshToken"],
    [{ refreshToken: "a b" }, "invalid_refresh_token", "refreshToken"],
    [{ refreshToken: "a\u0000b" }, "invalid_refresh_token", "refreshToken"],
    [{ refreshToken: "tökén" }, "invalid_refresh_token", "refreshToken"],
    [{ refreshToken: "x".repeat(16_385) }, "invalid_refresh_token", "refreshToken"],
    [{ provider: "yahoo" }, "invalid_provider", "provider"],
    [{ channel: "gmail" }, "invalid_channel", "channel"],
    [{ channel: "pop3" }, "invalid_channel", "channel"],
    [{ provider: "google", channel: "graph" }, "invalid_channel", "channel"],
    [{ tenant: "a b" }, "invalid_tenant", "tenant"],
    [{ tenant: "../x" }, "invalid_tenant", "tenant"],
    [{ tags: ["x".repeat(65)] }, "invalid_tags", "tags"],
    [{ tags: Array.from({ length: 33 }, (_, n) => `t${n}`) }, "invalid_tags", "tags"],
    [{ tags: ["a\u0000"] }, "invalid_tags", "tags"],
  ])("refuses %o", ([values, code, field]) =>
    Effect.gen(function* () {
      const { rows } = yield* read(Object(values))
      const [row] = rows
      assert.strictEqual(rows.length, 1)
      assert.isTrue(row?._tag === "BadRow" && row.code === code && row.field === field && row.email === "a@x.com")
    }))

  it.effect.each([
    [{}, {}, "microsoft graph"],
    [{ channel: "imap" }, {}, "microsoft imap"],
    [{}, { channel: "imap" }, "microsoft imap"],
    [{ provider: " GOOGLE " }, {}, "google gmail"],
    [{ provider: "google", channel: "imap" }, {}, "google imap"],
    [{}, { provider: "google" }, "google gmail"],
    [{ provider: "microsoft" }, { provider: "google" }, "microsoft graph"],
    [{ clientId: "1-a.apps.googleusercontent.com" }, {}, "google gmail"],
    [{ clientId: "1-a.apps.googleusercontent.com" }, { provider: "microsoft" }, "invalid_client_id"],
    [{ provider: "google" }, { channel: "graph" }, "invalid_channel"],
  ])("provider and channel of %o with the defaults %o", ([values, defaults, expected]) =>
    Effect.gen(function* () {
      const { rows } = yield* read(Object(values), Object(defaults))
      assert.deepStrictEqual(
        rows.map((row) => row._tag === "BadRow" ? row.code : `${row.provider} ${row.channel}`),
        [String(expected)],
      )
    }))
})
