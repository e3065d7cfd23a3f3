import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { parseMime } from "../../../src/mail/mime/MimeMessage.ts"
import { MimeParser } from "../../../src/mail/mime/MimeParser.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const message = (...lines: ReadonlyArray<string>) => bytes(lines.join("\r\n"))

describe("MimeParser", () => {
  it.live("reads texts, and derives them from HTML where there are none", () =>
    Effect.gen(function* () {
      const parser = yield* MimeParser
      const plain = yield* parser.parse(
        message(
          "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
          "Content-Type: text/plain; charset=iso-8859-1",
          "",
          "Hello",
        ),
      )
      assert.strictEqual(plain.header.subject, "Grüße")
      const html = yield* parser.parse(
        message("Content-Type: text/html", "", "<p>Hello <b>there</b></p><p><a href='https://x.example'>link</a></p>"),
      )
      assert.strictEqual(html.text, "Hello there\n\nlink [https://x.example]")
      assert.include(html.html, "<b>there</b>")
      assert.strictEqual(html.preview, "Hello there link [https://x.example]")
    }).pipe(Effect.provide(MimeParser.layer)))

  it.live("answers each of many, in their order", () =>
    Effect.gen(function* () {
      const parser = yield* MimeParser
      const all = yield* Effect.forEach(
        Array.from({ length: 20 }, (_, batch) => batch),
        (batch) => parser.parseAll(Array.from({ length: 30 }, (_, n) => message("", `text ${batch} ${n}`))),
        { concurrency: 8 },
      )
      all.forEach((answers, batch) =>
        answers.forEach((answer, n) => assert.strictEqual(Result.getOrThrow(answer).text?.trim(), `text ${batch} ${n}`))
      )
    }).pipe(Effect.provide(MimeParser.layer)))

  it.live(
    "refuses what takes too long, ends its thread or is too large, and reads all others",
    () =>
      Effect.gen(function* () {
        const parser = yield* MimeParser
        const answers = yield* parser.parseAll(["one", "hang", "two", "die", "x".repeat(2_000), "three"].map(bytes))
        assert.deepStrictEqual(
          answers.map((answer) => Result.isSuccess(answer) ? answer.success.text : answer.failure.reason),
          [
            "one",
            "the message takes too long to be read",
            "two",
            "the thread that read the message died",
            "the message is too large to be read",
            "three",
          ],
        )
        // The threads that took their places work.
        const more = yield* Effect.forEach(["a", "b", "c", "d"], (text) => parser.parse(bytes(text)), {
          concurrency: "unbounded",
        })
        assert.deepStrictEqual(more.map(({ text }) => text), ["a", "b", "c", "d"])
      }).pipe(
        Effect.provide(MimeParser.layerWith({
          module: new URL("./slowWorker.ts", import.meta.url),
          timeLimit: 500,
          sizeLimit: 1_000,
          workers: 2,
        })),
      ),
    30_000,
  )
})

describe("A message", () => {
  const texts = async (source: Uint8Array) => {
    const { html, preview, text } = await parseMime(source)
    return { html, preview, text }
  }

  it("without anything is empty", async () => {
    assert.deepStrictEqual(await texts(bytes("")), { html: null, preview: "", text: null })
  })

  it("with NUL and halves of characters can be stored", async () => {
    const { header, text } = await parseMime(message("Subject: a\0b", 'From: "x\0" <a\0@b>', "", "t\0ext \ud800"))
    assert.strictEqual(text?.includes("\0"), false)
    assert.isTrue(text!.isWellFormed())
    assert.strictEqual(header.subject.includes("\0"), false)
    assert.strictEqual(header.from!.address.includes("\0"), false)
  })

  it("in a charset that does not exist, or another than it says, is read as well as can be", async () => {
    for (const charset of ["x-klingon", "utf-8", "us-ascii", "utf-7", ""]) {
      const source = new Uint8Array([
        ...message(`Content-Type: text/plain; charset=${charset}`, "", "caf"),
        0xe9,
        0xff,
        0xfe,
      ])
      assert.include((await parseMime(source)).text, "caf")
    }
  })

  it("nested a hundred deep is read", async () => {
    let body = "Content-Type: text/plain\r\n\r\ndeep\r\n"
    for (let n = 0; n < 100; n++) {
      body = `Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n--b${n}\r\n${body}\r\n--b${n}--\r\n`
    }
    assert.include((await parseMime(bytes(body))).text, "deep")
  })

  it("nested beyond measure is refused", async () => {
    let head = ""
    for (let n = 0; n < 400; n++) head += `Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n--b${n}\r\n`
    let refused = false
    await parseMime(bytes(head)).catch(() => refused = true)
    assert.isTrue(refused)
  })

  it("with ten thousand recipients has them all", async () => {
    const to = Array.from({ length: 10_000 }, (_, n) => `P${n} <p${n}@example.org>`).join(",\r\n ")
    assert.strictEqual((await parseMime(message(`To: ${to}`, "", "x"))).header.to.length, 10_000)
  })

  it("whose HTML is nested beyond measure keeps it", async () => {
    const html = "<div>".repeat(50_000)
    const parsed = await parseMime(message("Content-Type: text/html", "", html))
    assert.strictEqual(parsed.html?.trim(), html)
  })

  it("that is cut in the middle shows what is there", async () => {
    const { text } = await parseMime(
      message("Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: text/plain", "", "the beginn"),
    )
    assert.strictEqual(text?.trim(), "the beginn")
  })

  it("with another attached to it is not read as that one", async () => {
    const { text } = await parseMime(message(
      "Content-Type: multipart/mixed; boundary=b",
      "",
      "--b",
      "",
      "outer",
      "--b",
      "Content-Type: message/rfc822",
      "",
      "Subject: inner",
      "",
      "inner text",
      "--b--",
    ))
    assert.strictEqual(text?.trim(), "outer")
  })
})
