import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { id, outline, readText, tokens } from "./reading.ts"

const account = (email: string, more: object = {}) => ({ email, clientId: id, refreshToken: `T-${email}`, ...more })

describe("ndjson", () => {
  it.effect("reads camelCase and snake_case and ignores other properties", () =>
    Effect.gen(function* () {
      const lines = [
        JSON.stringify(account("a@x.com", { password: "hunter2", note: [{}], tags: ["b c", "d"], tenant: null })),
        "",
        "# comment",
        JSON.stringify({ email: "g@x.com", client_id: "google", refresh_token: "T2", provider: "google", tags: "b c" }),
      ]
      const { rows } = yield* readText("ndjson", `\uFEFF${lines.join("\r\n")}`)
      assert.deepStrictEqual(rows, [
        {
          _tag: "ImportRow",
          line: 1,
          email: "a@x.com",
          clientId: id,
          refreshToken: "T-a@x.com",
          provider: "microsoft",
          channel: "graph",
          channelOpen: true,
          tags: ["b c", "d"],
        },
        {
          _tag: "ImportRow",
          line: 4,
          email: "g@x.com",
          clientId: "google",
          refreshToken: "T2",
          provider: "google",
          channel: "gmail",
          tags: ["b", "c"],
        },
      ])
    }))

  it.effect("goes on after bad rows", () =>
    Effect.gen(function* () {
      const bad = [
        "{",
        "[]",
        "null",
        '"a"',
        "1",
        "{}",
        '{"email":1}',
        JSON.stringify(account("a@x.com", { tags: [1] })),
      ]
      const read = yield* readText("ndjson", [...bad, JSON.stringify(account("b@x.com"))].join("\n"))
      assert.deepStrictEqual(outline(read), [
        "1 invalid_json",
        "2 not_an_object",
        "3 not_an_object",
        "4 not_an_object",
        "5 not_an_object",
        "6 missing_field",
        "7 invalid_type",
        "8 invalid_type",
        "9 b@x.com",
      ])
      assert.strictEqual(read.rows[7]?.email, "a@x.com")
    }))
})

describe("json", () => {
  const accounts = [account("a@x.com", { note: 'br]ack}et \\" \\\\' }), account("b@x.com", { note: { deep: [1, {}] } })]

  it.effect.each([
    ["an array", JSON.stringify(accounts), [1, 1]],
    ["an array over many lines", JSON.stringify(accounts, null, 2), [2, 8]],
    ["an object with accounts", JSON.stringify({ accounts }), [1, 1]],
    [
      "other properties around accounts",
      JSON.stringify({ n: 1, s: "]}", o: { accounts: [1] }, accounts, z: [[]] }, null, 1),
      [
        10,
        16,
      ],
    ],
    ["a byte order mark and white space", `\uFEFF \r\n\t${JSON.stringify(accounts)}\r\n`, [2, 2]],
  ])("reads %s", ([, text, lines]) =>
    Effect.gen(function* () {
      const read = yield* readText("json", String(text))
      assert.isUndefined(read.error)
      assert.deepStrictEqual(tokens(read), ["T-a@x.com", "T-b@x.com"])
      assert.deepStrictEqual(read.rows.map((row) => row.line), lines)
    }))

  it.effect("reads empty arrays", () =>
    Effect.gen(function* () {
      for (const text of ["[]", " [ ] ", '{"accounts":[]}', ""]) {
        assert.deepStrictEqual(yield* readText("json", text), { rows: [], error: undefined })
      }
    }))

  it.effect("goes on after elements that are not accounts", () =>
    Effect.gen(function* () {
      const read = yield* readText("json", `[1, "a,]", null, [[{}]],\n{},\n${JSON.stringify(account("a@x.com"))}\n]`)
      assert.deepStrictEqual(outline(read), [
        "1 not_an_object",
        "1 not_an_object",
        "1 not_an_object",
        "1 not_an_object",
        "2 missing_field",
        "3 a@x.com",
      ])
    }))

  const a = JSON.stringify(account("a@x.com"))
  it.effect.each([
    ['{"email":"a@x.com"}', "not_an_array", 1, 19],
    ['"text"', "not_an_array", 1, 1],
    ['{"accounts":{}}', "not_an_array", 1, 13],
    ["{}", "not_an_array", 1, 2],
    [`[${a}\n ${a}]`, "invalid_json", 2, 2],
    [`[${a},\n  {"email": a}]`, "invalid_json", 2, 3],
    [`[${a},\n]`, "invalid_json", 2, 1],
    [`[${a}]\n x`, "invalid_json", 2, 2],
    [`[${a}`, "invalid_json", 1, a.length + 2],
    [`[${a},\n{"email":"a\n"}]`, "invalid_json", 2, 12],
    [`{"accounts":[${a}]`, "invalid_json", 1, a.length + 15],
    ["[}", "invalid_json", 1, 2],
    ["{a}", "invalid_json", 1, 2],
    ['{"a" 1}', "invalid_json", 1, 6],
  ])("refuses %s", ([text, code, line, column]) =>
    Effect.gen(function* () {
      const { error } = yield* readText("json", String(text))
      assert.deepStrictEqual([error?.code, error?.line, error?.column], [code, line, column])
    }))

  it.effect("gives the rows before the fault", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(outline(yield* readText("json", `[${a},\n{"email": oops}]`)), ["1 a@x.com"])
    }))

  it.effect("skips an element over the longest row, whatever it holds", () =>
    Effect.gen(function* () {
      const long = JSON.stringify(
        { email: "l@x.com", note: '\\"]}\n'.repeat(100), deep: { list: [[], "\\"] } },
        null,
        1,
      )
      const read = yield* readText("json", `[${long},\n${a}]`, { maxRowLength: 200 })
      assert.isUndefined(read.error)
      assert.deepStrictEqual(outline(read), ["1 row_too_long", "11 a@x.com"])
    }))
})
