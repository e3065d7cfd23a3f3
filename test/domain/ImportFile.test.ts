import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Schema, Stream } from "effect"
import * as ImportFile from "../../src/domain/ImportFile.ts"
import { id, otherId, outline, readBytes, readText, tokens } from "./import/reading.ts"

const formats: ReadonlyArray<ImportFile.ImportFormat> = ["lines", "csv", "ndjson", "json"]
const header = "email,client_id,refresh_token,password,tags"
const secret = "hunter2"

const among = <A extends string>(values: readonly [A, ...Array<A>]) => Arbitrary.schema(Schema.Literals(values))
const pieces = (values: readonly [string, ...Array<string>]) =>
  Arbitrary.array(among(values), { maxLength: 40 }).pipe(Arbitrary.map((words) => words.join("")))
const cuts = Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_500 }))), {
  maxLength: 12,
})

const goodLine = `a@x.com----${secret}----${id}----T1\r\n`
const goodCsv = `"é@x.com",${id},"T1","${secret}\r\n""x""","日本"\r\n`
const goodJson =
  `{"email":"é@x.com",\r\n"clientId":"${id}","refreshToken":"T1\\/","password":"${secret}\\\\\\"","tags":["日本"]}`

const long = "y".repeat(160)
const noise = ["é", secret, "\r", "\n", "\r\n", " ", "#", "\0"] as const
const element = `${goodJson},\r\n`

/** Files that are nearly right, made of what the readers look for. */
const file: { readonly [F in ImportFile.ImportFormat]: Arbitrary.Arbitrary<string> } = {
  lines: pieces([goodLine, goodLine, goodLine, "----", "-", id, otherId, "a@x.com", "\uFFFD", long, ...noise]),
  csv: pieces([goodCsv, goodCsv, goodCsv, '"', '""', ",", "a@x.com", id, long, ...noise]).pipe(
    Arbitrary.map((rows) => `${header}\r\n${rows}`),
  ),
  ndjson: pieces([`${goodJson.replaceAll("\r\n", "")}\n`, "{", "}", '"', "\\", "\uFFFD", long, ...noise]),
  json: pieces([
    element,
    element,
    element,
    element,
    '[1,"]"],',
    "{},",
    `{"note":"${long}"},`,
    `{"note":"${long}\n`,
    '"\\\\\\"",',
    "{",
    '"',
    "\\",
    ...noise,
  ]).pipe(
    Arbitrary.map((elements) => `{"more":["\\"]"],"accounts":[${elements}${goodJson}]}`),
  ),
}

const encode = (text: string) => new TextEncoder().encode(text)

describe("ImportFile", () => {
  for (const format of formats) {
    it.effect.prop(
      `${format}: rows do not depend on where the bytes are cut`,
      [file[format], cuts],
      ([text, places]) =>
        Effect.gen(function* () {
          const bytes = encode(text)
          const whole = yield* readBytes(format, bytes, { maxRowLength: 150 })
          const everywhere = Array.from(bytes, (_, place) => place)
          for (const minPieceLength of [1, 50]) {
            for (const cuts of [places, everywhere]) {
              const options = { cuts, maxRowLength: 150, minPieceLength }
              assert.deepStrictEqual(yield* readBytes(format, bytes, options), whole)
            }
          }
        }),
      { arbitrary: { runs: 200 } },
    )

    it.effect.prop(
      `${format}: bytes of any kind are never a defect`,
      [Arbitrary.schema(Schema.Uint8Array), cuts],
      (given) =>
        Effect.gen(function* () {
          const [bytes, places] = given
          const exit = yield* Effect.exit(
            readBytes(format, bytes, { maxRowLength: 50, minPieceLength: 1, cuts: places }),
          )
          assert.isTrue(Exit.isSuccess(exit))
        }),
      { arbitrary: { runs: 300 } },
    )

    it.effect.prop(
      `${format}: what bad rows and failures say repeats nothing of the file`,
      [file[format]],
      ([text]) =>
        Effect.gen(function* () {
          const { error, rows } = yield* readText(format, text, { maxRowLength: 300 })
          for (const row of rows) {
            if (row._tag === "ImportRow") continue
            const { email = "a@x.com", ...rest } = row
            assert.notMatch(JSON.stringify(rest), /hunter2|a@x\.com|9e5f94bc|日本/)
            assert.match(email, /^[^\s@:,;"]+@[^\s@:,;"]+$/)
          }
          assert.notMatch(JSON.stringify(error) ?? "", /hunter2|a@x\.com|9e5f94bc|日本/)
        }),
      { arbitrary: { runs: 300 } },
    )

    it.effect(`${format}: bad UTF-8 costs a row, NUL bytes the file`, () =>
      Effect.gen(function* () {
        const good = (n: number) =>
          ({
            lines: `u${n}@x.com----${id}----T${n}`,
            csv: `u${n}@x.com,${id},T${n}`,
            ndjson: JSON.stringify({ email: `u${n}@x.com`, clientId: id, refreshToken: `T${n}` }),
            json: JSON.stringify({ email: `u${n}@x.com`, clientId: id, refreshToken: `T${n}` }),
          })[format]
        const [open = "", between = "", close = ""] = {
          lines: ["", "\n", "\n"],
          csv: ["email,client_id,refresh_token\n", "\n", "\n"],
          ndjson: ["", "\n", "\n"],
          json: ["[\n", ",\n", "]"],
        }[format]
        const first = format === "csv" || format === "json" ? 2 : 1
        const bytes = encode(open + [good(0), good(1), good(2)].join(between) + close)
        const place = open.length + good(0).length + between.length + 12
        bytes[place] = 0xe9
        assert.deepStrictEqual(outline(yield* readBytes(format, bytes)), [
          `${first} u0@x.com`,
          `${first + 1} invalid_encoding`,
          `${first + 2} u2@x.com`,
        ])
        bytes[place] = 0
        const read = yield* readBytes(format, bytes)
        assert.deepStrictEqual(outline(read), [`${first} u0@x.com`])
        assert.deepStrictEqual([read.error?.code, read.error?.line], ["binary_file", first + 1])
      }))
  }

  it.effect("skips a line of 10 MB without holding it", () =>
    Effect.gen(function* () {
      const chunk = new Uint8Array(65_536).fill(0x61)
      const source = Stream.fromIterable([
        encode(`a@x.com----${id}----T1\n`),
        ...Array.from({ length: 160 }, () => chunk),
        encode(`\nb@x.com----${id}----T2`),
      ])
      const rows = yield* source.pipe(ImportFile.parse("lines"), Stream.runCollect)
      assert.deepStrictEqual(rows.map((row) => row._tag === "BadRow" ? row.code : row.email), [
        "a@x.com",
        "row_too_long",
        "b@x.com",
      ])
      assert.deepStrictEqual(rows.map((row) => row.line), [1, 2, 3])
    }))

  it.effect("takes rows up to the limit and none above", () =>
    Effect.gen(function* () {
      const line = (length: number) => `a@x.com----${id}----`.padEnd(length, "T")
      const read = yield* readText("lines", `${line(200)}\n${line(201)}\n${line(200)}`, { maxRowLength: 200 })
      assert.deepStrictEqual(outline(read), ["1 a@x.com", "2 row_too_long", "3 a@x.com"])
    }))

  it.effect("reads one huge chunk in steps", () =>
    Effect.gen(function* () {
      const text = Array.from({ length: 20_000 }, (_, n) => `u${n}@x.com----pw----${id}----T${n}`).join("\n")
      const sizes = yield* Stream.make(encode(text)).pipe(
        ImportFile.parse("lines"),
        Stream.mapArray((rows) => [rows.length] as const),
        Stream.runCollect,
      )
      assert.isAbove(sizes.length, 4)
      assert.strictEqual(sizes.reduce((sum, size) => sum + size, 0), 20_000)
    }))

  it.effect("passes on the failure of the bytes after the rows before it", () =>
    Effect.gen(function* () {
      const rows: Array<ImportFile.ParsedRow> = []
      const text = `a@x.com----${id}----T1\n`.repeat(1_000)
      const exit = yield* Stream.make(encode(text)).pipe(
        Stream.concat(Stream.fail("disconnected")),
        ImportFile.parse("lines"),
        Stream.runForEach((row) => Effect.sync(() => rows.push(row))),
        Effect.exit,
      )
      assert.strictEqual(rows.length, 1_000)
      assert.deepStrictEqual(exit, Exit.failCause(Cause.fail("disconnected")))
    }))

  it.effect("finds no rows in nothing", () =>
    Effect.gen(function* () {
      for (const format of formats) {
        for (const text of ["", "\uFEFF", "\r\n \n\t"]) {
          assert.deepStrictEqual(yield* readText(format, text), { rows: [], error: undefined })
        }
      }
    }))

  it.effect.prop(
    "csv: cells survive quoting",
    [Arbitrary.array(Arbitrary.schema(Schema.String), { minLength: 1, maxLength: 5 }), among([",", ";", "\t"])],
    ([passwords, delimiter]) =>
      Effect.gen(function* () {
        const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`
        const texts = passwords.map((text) => text.replaceAll("\0", "").toWellFormed().replaceAll("\uFFFD", ""))
        const rows = texts.map((text, n) => [`u${n}@x.com`, text, id, `T"${n}`].map(quoted).join(delimiter))
        const names = ["email", "password", "client_id", "refresh_token"].join(delimiter)
        const read = yield* readText("csv", [names, ...rows].join("\r\n"))
        assert.deepStrictEqual(tokens(read), texts.map((_, n) => `T"${n}`))
        assert.deepStrictEqual(
          read.rows.map((row) => row._tag === "ImportRow" && row.email),
          texts.map((_, n) => `u${n}@x.com`),
        )
      }),
  )

  it("knows the media types", () => {
    assert.deepStrictEqual(
      ["text/plain", "Text/CSV; charset=utf-8", "application/x-ndjson", "application/json", "image/png", ""].map(
        ImportFile.formatOf,
      ),
      ["lines", "csv", "ndjson", "json", undefined, undefined],
    )
  })

  it.effect("never shows a refresh token", () =>
    Effect.gen(function* () {
      const rows = yield* Stream.make(encode(goodLine)).pipe(ImportFile.parse("lines"), Stream.runCollect)
      assert.notInclude(JSON.stringify(rows), "T1")
      assert.notInclude(String(rows[0]?._tag === "ImportRow" && rows[0].refreshToken), "T1")
    }))
})
