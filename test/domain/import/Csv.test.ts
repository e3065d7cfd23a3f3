import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { id, outline, readBytes, readText, tokens } from "./reading.ts"

const header = "email,client_id,refresh_token"

describe("csv", () => {
  it.effect("reads all columns in any order and drops the password", () =>
    Effect.gen(function* () {
      const { rows } = yield* readText(
        "csv",
        "tags,password,refreshToken,CLIENT_ID,Channel,provider,tenant,Email\n" +
          `b;c|d e,hunter2,T1,${id},IMAP,Microsoft,contoso.com,A@X.com\n`,
        { tags: ["a", "b"] },
      )
      assert.deepStrictEqual(rows, [{
        _tag: "ImportRow",
        line: 2,
        email: "A@X.com",
        clientId: id,
        refreshToken: "T1",
        provider: "microsoft",
        channel: "imap",
        tags: ["a", "b", "c", "d", "e"],
        tenant: "contoso.com",
      }])
    }))

  it.effect.each([
    ["comma", ","],
    ["semicolon", ";"],
    ["tab", "\t"],
  ])("takes the delimiter from the header: %s", ([, delimiter = ""]) =>
    Effect.gen(function* () {
      const cells = [["email", "client_id", "refresh_token", "tags"], ["a@x.com", id, "T1", '"b c"']]
      const { rows } = yield* readText("csv", cells.map((row) => row.join(delimiter)).join("\n"))
      assert.strictEqual(rows[0]?._tag, "ImportRow")
      assert.deepStrictEqual(rows[0]?._tag === "ImportRow" && rows[0].tags, ["b", "c"])
    }))

  it.effect("reads quotes as RFC 4180 has them, with the line where the record starts", () =>
    Effect.gen(function* () {
      const text = `${header},password,tags\r\n` +
        `"a@x.com","${id}","T""1","se,""cr\r\n\r\net","x\ny"\r\n` +
        `b@x.com, "${id}" ,T"2",pw,\r\n` +
        `c@x.com,${id},"T3","",""`
      const read = yield* readText("csv", text)
      assert.deepStrictEqual(outline(read), ["2 a@x.com", "6 b@x.com", "7 c@x.com"])
      // A quote at the end of a token is taken for a stray one, since no token holds any.
      assert.deepStrictEqual(tokens(read), ['T"1', 'T"2', "T3"])
    }))

  it.effect("bears blank lines, comments, rows of nothing but delimiters and columns without a name", () =>
    Effect.gen(function* () {
      const text =
        `\uFEFF\n# head\n${header},,\n\n,,,,\n#"a comment\n  \na@x.com,${id},T1,,note\nb@x.com,${id},T2,,,,\n`
      const read = yield* readText("csv", text)
      assert.deepStrictEqual(outline(read), ["8 a@x.com", "9 b@x.com"])
    }))

  it.effect("costs one line where quotes make no sense", () =>
    Effect.gen(function* () {
      const text = [
        header,
        `"a@x.com,${id},T1`,
        `"b@x.com","${id}","T2"`,
        `"c@x.com"x,${id},T3`,
        `d@x.com,${id},T4`,
        `e@x.com,${id},"T5`,
        `f@x.com,${id},T6`,
      ].join("\n")
      const read = yield* readText("csv", text)
      assert.deepStrictEqual(outline(read), [
        "2 invalid_quoting",
        "3 b@x.com",
        "4 invalid_quoting",
        "5 d@x.com",
        "6 unclosed_quote",
        "7 f@x.com",
      ])
    }))

  it.effect("goes on after a quote that is not closed within the longest row", () =>
    Effect.gen(function* () {
      const good = Array.from({ length: 20 }, (_, n) => `u${n}@x.com,${id},T${n}`)
      const text = [header, `"a@x.com,${id},T`, ...good].join("\n")
      const read = yield* readText("csv", text, { maxRowLength: 200 })
      assert.deepStrictEqual(outline(read), ["2 unclosed_quote", ...good.map((_, n) => `${n + 3} u${n}@x.com`)])
    }))

  it.effect("limits a record over many lines by its whole length", () =>
    Effect.gen(function* () {
      const record = (length: number) => `"a@x.com","${id}",T,"${"pw\n".repeat(20)}`.padEnd(length - 1, "x") + '"'
      const bytes = new TextEncoder().encode(`${header},password\n${record(200)}\n${record(201)}\nb@x.com,${id},T,`)
      for (const cut of [20, 150, 300, 400, 445, bytes.length]) {
        const read = yield* readBytes("csv", bytes, { maxRowLength: 200, minPieceLength: 1, cuts: [cut] })
        assert.deepStrictEqual(outline(read).slice(0, 2), ["2 a@x.com", "23 unclosed_quote"])
        assert.deepStrictEqual(outline(read).at(-1), "44 b@x.com")
      }
    }))

  it.effect("refuses rows with too few or too many cells", () =>
    Effect.gen(function* () {
      const read = yield* readText(
        "csv",
        `${header},tags\na@x.com,${id},T1\nb@x.com,${id},T1,t,more\nc@x.com,${id},T1,`,
      )
      assert.deepStrictEqual(outline(read), ["2 invalid_field_count", "3 invalid_field_count", "4 c@x.com"])
      assert.deepStrictEqual(read.rows.map((row) => row.email), ["a@x.com", "b@x.com", "c@x.com"])
    }))

  it.effect.each([
    ["no header", `a@x.com,${id},T1`, "missing_header"],
    ["a column that is missing", "email,refresh_token", "missing_column"],
    ["a column that is not known", `${header},secret-column`, "unknown_column"],
    ["a column that comes twice", `${header},clientId`, "duplicate_column"],
    ["a header over the longest row", `${"email,".repeat(20_000)}`, "missing_header"],
  ])("refuses a file with %s", ([, text = "", code]) =>
    Effect.gen(function* () {
      const { error, rows } = yield* readText("csv", `# comment\n${text}\na@x.com,${id},T1\n`)
      assert.deepStrictEqual(rows, [])
      assert.strictEqual(error?.code, code)
      assert.strictEqual(error?.line, 2)
      assert.notInclude(error?.message ?? "", "secret")
      assert.notInclude(error?.message ?? "", id)
    }))

  it.effect("names the columns it expects", () =>
    Effect.gen(function* () {
      const { error } = yield* readText("csv", "email\n")
      assert.include(error?.message ?? "", "lacks client_id and refresh_token")
    }))
})
