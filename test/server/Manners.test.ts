/** What a well-behaved HTTP API owes its callers beside the answer. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { makeRateLimits } from "../../src/server/RateLimits.ts"
import { TooManyRequests } from "../../src/api/Problems.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, refused, send, server } from "./stack.ts"

await onDatabases("Manners", server, (it) => {
  it.effect("an answer that has not changed is not sent again", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount(`${newId()}@manners.example`)
      for (const path of [`/v1/accounts/${id}`, "/v1/accounts", "/v1/runs", "/openapi.json"]) {
        const first = yield* send(path)
        const tag = first.headers.get("etag")!
        assert.match(tag, /^"[\w-]+"$/, path)
        for (const condition of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
          const again = yield* send(path, { headers: { "if-none-match": condition } })
          assert.strictEqual(again.status, 304, condition)
          assert.strictEqual(again.text, "")
          assert.strictEqual(again.headers.get("etag"), tag)
        }
        assert.strictEqual((yield* send(path, { headers: { "if-none-match": '"other"' } })).status, 200)
        assert.strictEqual((yield* send(path, { method: "HEAD" })).headers.get("etag"), tag)
      }
      const before = (yield* send(`/v1/accounts/${id}`)).headers.get("etag")!
      const changed = yield* send(`/v1/accounts/${id}`, { method: "PATCH", json: { tags: ["new"] } })
      assert.isNull(changed.headers.get("etag"))
      const after = yield* send(`/v1/accounts/${id}`, { headers: { "if-none-match": before } })
      assert.strictEqual(after.status, 200)
    }))

  it.effect("OPTIONS names the methods of a route, with or without a key", () =>
    Effect.gen(function* () {
      for (
        const [path, allow] of [
          ["/v1/accounts/some", "GET, PATCH, DELETE, HEAD, OPTIONS"],
          ["/v1/imports", "POST, OPTIONS"],
          ["/health/live", "GET, HEAD, OPTIONS"],
        ] as const
      ) {
        const answer = yield* send(path, { method: "OPTIONS", key: null })
        assert.strictEqual(answer.status, 204)
        assert.strictEqual(answer.headers.get("allow"), allow)
        assert.strictEqual(answer.text, "")
      }
      yield* refused(404, "not_found", "/v1/nothing", { method: "OPTIONS" })
    }))

  it.effect("answers tell how many calls are left", () =>
    Effect.gen(function* () {
      const { headers } = yield* send("/v1/accounts")
      assert.strictEqual(headers.get("ratelimit-policy"), '"key";q=10000;w=2')
      assert.match(headers.get("ratelimit") ?? "", /^"key";r=\d+;t=\d+$/)
      assert.isNull((yield* send("/health/live", { key: null })).headers.get("ratelimit"))
    }))

  it.effect("too many wrong keys from one address are not looked at, and do not shut out the right one", () =>
    Effect.gen(function* () {
      const wrong = () => send("/v1/accounts", { key: "wrong" })
      let answer = yield* wrong()
      while (answer.status === 401) answer = yield* wrong()
      assert.strictEqual(answer.status, 429)
      assert.strictEqual(answer.headers.get("retry-after"), "1")
      assert.strictEqual(JSON.parse(answer.text).code, "too_many_requests")
      assert.strictEqual((yield* send("/v1/accounts")).status, 200)
    }))

  it.effect("a key over its rate is refused, and another is not", () =>
    Effect.gen(function* () {
      const limits = yield* Effect.provideService(makeRateLimits, Settings, {
        ...(yield* Settings),
        apiRate: Option.some(2),
      })
      for (let call = 0; call < 4; call++) yield* limits.count("key")
      const error = yield* Effect.flip(limits.count("key"))
      assert.instanceOf(error, TooManyRequests)
      yield* limits.count("other")
    }).pipe(
      Effect.provideService(
        HttpServerRequest.HttpServerRequest,
        HttpServerRequest.fromWeb(new Request("http://mailfleet.test/")),
      ),
    ))
})
