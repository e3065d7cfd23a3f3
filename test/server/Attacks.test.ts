/** What somebody outside may send to break in, to forge a line of the log, or to keep a process busy. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isEmail } from "../../src/domain/import/Row.ts"
import { parseDuration } from "../../src/domain/Settings.ts"
import { contentDisposition, safeContentType } from "../../src/server/Downloads.ts"
import { senderLexemes, wholeAddress } from "../../src/storage/mail/SearchWords.ts"
import { searchQuery } from "../../src/storage/mail/SearchQuery.ts"
import { onDatabases } from "../support/databases.ts"
import { logged, raw, refused, send, server } from "./stack.ts"

await onDatabases("Attacks", server, (it) => {
  it.effect("a compressed body is refused, and never unpacked", () =>
    Effect.gen(function* () {
      const bomb = new Blob([new Uint8Array(50_000_000)]).stream().pipeThrough(new CompressionStream("gzip"))
      const body = new Uint8Array(yield* Effect.promise(() => new Response(bomb).arrayBuffer()))
      const headers = { "content-encoding": "gzip", "content-type": "application/json" }
      const begun = performance.now()
      const { status } = yield* send("/v1/refreshes", { method: "POST", body, headers })
      assert.strictEqual(status, 400)
      // A file of accounts is a stream: what is in it are lines that are none.
      const file = yield* send("/v1/imports", {
        method: "POST",
        body,
        headers: { ...headers, "content-type": "text/csv" },
      })
      assert.isAtLeast(file.status, 400)
      assert.isBelow(file.status, 500)
      assert.isBelow(performance.now() - begun, 5_000)
    }))

  it.effect("no path leads out of what is served", () =>
    Effect.gen(function* () {
      for (
        const path of [
          "/../../../../etc/passwd",
          "/..%2f..%2f..%2fetc%2fpasswd",
          "/%2e%2e/%2e%2e/etc/passwd",
          "/assets/..%5c..%5c.mailfleet%5cadmin.key",
          "/.mailfleet/admin.key",
          "/openapi.json/../../admin.key",
          "/v1/messages/..%2f..%2faudit",
        ]
      ) {
        const { status, text } = yield* send(path)
        assert.strictEqual(status, 404, `${path} ${text}`)
      }
    }))

  it.effect("nothing that is sent ends a line of the log, or a header of the answer", () =>
    Effect.gen(function* () {
      const forged = "level=ERROR forged"
      const encoded = encodeURIComponent(`x\r\n${forged}\r\nset-cookie: a=b`)
      const before = (yield* logged).length
      for (
        const call of [
          raw(`/v1/accounts/${encoded}`),
          raw(`/${encoded}`),
          raw(`/v1/accounts?search=${encoded}&${encoded}=1`),
          raw("/v1/accounts", {
            method: "POST",
            json: { email: `a@b.example\r\n${forged}`, clientId: "x", refreshToken: "x" },
          }),
          raw("/v1/tag-policies/" + encoded, { method: "DELETE" }),
        ]
      ) {
        const response = yield* call
        assert.isFalse(response.headers.has("set-cookie"))
      }
      const lines = (yield* logged).slice(before)
      assert.isAbove(lines.length, 0)
      for (const line of lines) assert.notMatch(line, /[\r\n]level=ERROR forged/)
    }))

  it.effect("an error tells nothing of what was sent", () =>
    Effect.gen(function* () {
      yield* refused(400, "invalid_request", "/v1/accounts", {
        method: "POST",
        body: '{"refreshToken": "CANARY-secret", ',
        headers: { "content-type": "application/json" },
      })
      yield* refused(422, "invalid_body", "/v1/accounts", { json: { refreshToken: ["CANARY-secret"], email: 1 } })
      yield* refused(404, "not_found", "/v1/nothing/CANARY-secret")
    }))
})

describe("Patterns", () => {
  it("take no longer than a moment, however a foreign text is made", () => {
    const long = 100_000
    const texts = [
      ".".repeat(long),
      " ".repeat(long),
      "a.".repeat(long),
      "a@".repeat(long),
      "<".repeat(long),
      `a@${"a.".repeat(long)}!`,
      `x${".".repeat(long)}x`,
      `x${" ".repeat(long)}x`,
      "1".repeat(long),
      `a/${"+".repeat(long)}xm`,
      `"${"\\".repeat(long)}`,
    ]
    const readers: ReadonlyArray<(text: string) => unknown> = [
      isEmail,
      parseDuration,
      contentDisposition,
      safeContentType,
      senderLexemes,
      // An address is found by its own pattern first, which takes 320 characters.
      (text) => wholeAddress(text.slice(0, 320)),
      (text) => searchQuery({ q: text.slice(0, 1_000) }),
    ]
    for (const read of readers) {
      for (const text of texts) {
        const begun = performance.now()
        read(text)
        assert.isBelow(performance.now() - begun, 1_000, `${read} ${text.slice(0, 20)}`)
      }
    }
  })
})
