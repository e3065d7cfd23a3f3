import { assert, describe, it } from "@effect/vitest"
import { batchContentType, decodeBatch, encodeBatch } from "../../../src/mail/gmail/GmailBatch.ts"
import { readGmailBatch, runGmailBatch } from "../../../src/simulator/GmailBatch.ts"

const part = (id: string, status: string, body: string, more = "") =>
  `--b\r\nContent-Type: application/http\r\n${id}\r\n\r\nHTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${more}\r\n${body}\r\n`

describe("GmailBatch", () => {
  it("finds the answer to each request, in whatever order they come", () => {
    const paths = Array.from({ length: 30 }, (_, n) => `/gmail/v1/users/me/messages/${n}?format=full`)
    const parts = readGmailBatch(batchContentType, encodeBatch(paths))
    assert.isTrue(Array.isArray(parts))
    if (!("length" in parts)) return
    assert.deepStrictEqual(parts.map(({ method, url }) => [method, url]), paths.map((path) => ["GET", path]))
    const answer = runGmailBatch(parts, 1, 1, ({ url }) => ({
      status: url.includes("/7?") ? 404 : 200,
      headers: { "content-type": "application/json", "retry-after": "3" },
      body: JSON.stringify({ url, text: "a\r\n\r\nb" }),
    }))
    assert.isBelow(answer.body.indexOf("response-part-9>"), answer.body.length)
    const decoded = decodeBatch(answer.headers["content-type"] ?? "", answer.body)
    assert.strictEqual(decoded.size, 30)
    for (const [n, url] of paths.entries()) {
      const { body, retryAfter, status } = decoded.get(n)!
      assert.deepStrictEqual([status, retryAfter], [n === 7 ? 404 : 200, "3"])
      assert.deepStrictEqual(JSON.parse(body), { url, text: "a\r\n\r\nb" })
    }
  })

  it("leaves out what cannot be read, and bears other line ends, quotes and a preamble", () => {
    const text = "preamble\r\n" + part("Content-ID: <response-part-0>", "200 OK", "{}") +
      part("X-Other: 1", "200 OK", '{"no":"id"}') + part("content-id: response-part-2", "429 Too Many Requests", "") +
      part("Content-ID: <response-part-3>", "", "{}") + "--b--\r\n"
    for (
      const [type, body] of [['multipart/mixed; boundary="b"', text], ["multipart/mixed;boundary=b", text]] as const
    ) {
      assert.deepStrictEqual(
        [...decodeBatch(type, body)].map(([n, { body, status }]) => [n, status, body]),
        [[0, 200, "{}"], [2, 429, ""]],
      )
      assert.strictEqual(decodeBatch(type, body.replaceAll("\r\n", "\n")).size, 2)
    }
    assert.strictEqual(decodeBatch("application/json", text).size, 0)
    assert.strictEqual(decodeBatch("multipart/mixed; boundary=b", "<html>").size, 0)
    // Cut off in the middle of the last part, which is not believed.
    assert.deepStrictEqual(
      [...decodeBatch("multipart/mixed; boundary=b", text.slice(0, text.indexOf("429") + 5)).keys()],
      [0],
    )
  })
})
