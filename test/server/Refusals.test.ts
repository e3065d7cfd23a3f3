/** Who is let in, and how requests are refused. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { onDatabases } from "../support/databases.ts"
import { addAccount, adminKey, type Call, problemOf, refreshToken, refused, send, server } from "./stack.ts"

const id = "0190a0a0-0000-7000-8000-000000000000"

const guarded: ReadonlyArray<readonly [string, Call]> = [
  ["/v1/imports", { method: "POST", body: "" }],
  ["/v1/refreshes", { json: { all: true } }],
  ["/v1/syncs", { json: { all: true } }],
  ["/v1/runs", {}],
  [`/v1/runs/${id}`, {}],
  [`/v1/runs/${id}/items`, {}],
  [`/v1/runs/${id}/events`, {}],
  [`/v1/runs/${id}/cancel`, { method: "POST" }],
  [`/v1/runs/${id}/retry`, { method: "POST" }],
  ["/v1/accounts", {}],
  ["/v1/accounts", { json: {} }],
  [`/v1/accounts/${id}`, {}],
  [`/v1/accounts/${id}`, { method: "PATCH", json: {} }],
  [`/v1/accounts/${id}`, { method: "DELETE" }],
  [`/v1/accounts/${id}/access-token`, {}],
  [`/v1/accounts/${id}/folders`, {}],
  [`/v1/accounts/${id}/messages`, {}],
  ["/v1/messages", {}],
  [`/v1/messages/${id}`, {}],
  ["/v1/changes", {}],
  ["/v1/events", {}],
  ["/v1/audit", {}],
  ["/v1/stats", {}],
  ["/metrics", {}],
]

await onDatabases("Refusals", server, (it) => {
  it.effect("a missing, an empty, a short, a long and a wrong key are answered alike", () =>
    Effect.gen(function* () {
      const answers = new Set<string>()
      for (const [path, call] of guarded) {
        for (const key of [null, "", adminKey.slice(0, -1), `${adminKey}x`, "x".repeat(5_000), "wrong"]) {
          const { answer } = yield* refused(401, "unauthorized", path, { ...call, key })
          assert.include(answer.headers.get("www-authenticate"), "Bearer")
          answers.add(answer.text)
        }
        const other = yield* send(path, { ...call, key: null, headers: { authorization: `Basic ${adminKey}` } })
        assert.strictEqual(other.status, 401)
        answers.add(other.text)
      }
      assert.strictEqual(answers.size, 1)
    }))

  it.effect("no key is needed for health, the document, the reference and the front page", () =>
    Effect.gen(function* () {
      for (const path of ["/", "/docs", "/openapi.json", "/health/live", "/health/ready"]) {
        const answer = yield* send(path, { key: null })
        assert.strictEqual(answer.status, 200, path)
        assert.isNotNull(answer.headers.get("content-security-policy"))
      }
      assert.include((yield* send("/", { key: null })).headers.get("content-type"), "text/html")
    }))

  it.effect("unknown routes are 404, wrong methods 405 with Allow", () =>
    Effect.gen(function* () {
      for (const path of ["/v1", "/v1/nothing", "/v2/accounts", "/docs/x", "/favicon.ico", "/%zz", "/v1/runs/a/b/c"]) {
        yield* refused(404, "not_found", path)
        yield* refused(404, "not_found", path, { key: null, method: "POST" })
      }
      const { answer } = yield* refused(405, "method_not_allowed", "/v1/accounts", { method: "PUT" })
      assert.strictEqual(answer.headers.get("allow"), "GET, POST, HEAD, OPTIONS")
      yield* refused(405, "method_not_allowed", "/v1/imports")
      yield* refused(405, "method_not_allowed", "/health/live", { method: "POST", key: null })
      yield* refused(405, "method_not_allowed", `/v1/runs/${id}`, { method: "DELETE" })
      yield* refused(405, "method_not_allowed", "/", { method: "DELETE", key: null })
    }))

  it.effect("an unknown id of whatever form is 404", () =>
    Effect.gen(function* () {
      const forms = [
        id,
        "1",
        "nothing",
        "%00",
        "%E0%A4%A",
        "..%2F..",
        "a".repeat(3_000),
        "%F0%9F%93%AC",
        "null",
        "'--",
        "%20",
      ]
      for (const form of forms) {
        for (
          const [path, method] of [
            [`/v1/runs/${form}`, "GET"],
            [`/v1/runs/${form}/items`, "GET"],
            [`/v1/runs/${form}/events`, "GET"],
            [`/v1/runs/${form}/cancel`, "POST"],
            [`/v1/runs/${form}/retry`, "POST"],
            [`/v1/accounts/${form}`, "GET"],
            [`/v1/accounts/${form}`, "DELETE"],
            [`/v1/accounts/${form}/access-token`, "GET"],
            [`/v1/accounts/${form}/folders`, "GET"],
            [`/v1/accounts/${form}/messages`, "GET"],
            [`/v1/messages/${form}`, "GET"],
          ] as const
        ) {
          yield* refused(404, "not_found", path, { method })
        }
        yield* refused(404, "not_found", `/v1/accounts/${form}`, { method: "PATCH", json: { status: "disabled" } })
      }
      const account = yield* addAccount("folder@example.com")
      for (const folder of [id, "nothing", "%20", "x".repeat(500)]) {
        yield* refused(404, "not_found", `/v1/accounts/${account.id}/messages?folder=${folder}`)
      }
    }))

  it.effect("a wrong query is 400 and names the field", () =>
    Effect.gen(function* () {
      const account = yield* addAccount("query@example.com")
      const lists = [
        "/v1/accounts",
        "/v1/runs",
        "/v1/messages",
        "/v1/changes",
        `/v1/accounts/${account.id}/folders`,
        `/v1/accounts/${account.id}/messages`,
      ]
      for (const list of lists) {
        for (const limit of ["0", "-1", "501", "abc", "", "1.5", "1e2", "0x10", "%20", "5&limit=6"]) {
          const { problem } = yield* refused(400, "invalid_request", `${list}?limit=${limit}`)
          assert.deepStrictEqual(problem.issues?.map(({ field, in: slot }) => `${slot} ${field}`), ["query limit"])
        }
        for (const limit of [1, 500]) assert.strictEqual((yield* send(`${list}?limit=${limit}`)).status, 200)
        const cursor = list === "/v1/changes" ? "after" : "cursor"
        for (const value of ["x", "%00", "WyJhIl0", "e30", "WzFd", "a".repeat(2_000)]) {
          yield* refused(400, "invalid_cursor", `${list}?${cursor}=${value}`)
        }
      }
      for (
        const [path, field] of [
          ["/v1/accounts?status=x", "status"],
          ["/v1/accounts?provider=x", "provider"],
          ["/v1/accounts?tag=%00", "tag"],
          ["/v1/accounts?search=a%00", "search"],
          ["/v1/messages?q=%00", "q"],
          ["/v1/runs?kind=x", "kind"],
          ["/v1/runs?state=x", "state"],
          [`/v1/runs/${id}/items?outcome=x`, "outcome"],
          [`/v1/accounts/${account.id}/access-token?resource=x`, "resource"],
          [`/v1/accounts/${account.id}/access-token?resource=gmail`, "resource"],
          [`/v1/accounts/${account.id}/access-token?minValidity=5`, "minValidity"],
          [`/v1/accounts/${account.id}/access-token?minValidity=2%20hours`, "minValidity"],
        ] as const
      ) {
        const { problem } = yield* refused(400, "invalid_request", path)
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], path)
      }
      const { problem } = yield* refused(400, "invalid_request", "/v1/accounts?limit=0&status=x&provider=y")
      assert.deepStrictEqual(problem.issues?.map(({ field }) => field).sort(), ["limit", "provider", "status"])
    }))

  it.effect("a wrong body is refused without repeating it", () =>
    Effect.gen(function* () {
      const path = "/v1/accounts"
      for (const body of ["", "{", "nope", "[1,", '{"a":1}}']) {
        const answer = yield* send(path, { body, headers: { "content-type": "application/json" } })
        assert.include(body === "" ? [400, 422] : [400], answer.status, body)
        assert.isNotEmpty(problemOf(answer).issues ?? [])
      }
      const good = { email: "a@example.com", clientId: "c", refreshToken: refreshToken("ok") }
      for (
        const [json, field] of [
          [null, ""],
          [[], ""],
          [{ ...good, refreshToken: 5 }, "refreshToken"],
          [{ ...good, refreshToken: { CANARY: 1 } }, "refreshToken"],
          [{ ...good, tags: ["a,b"] }, "tags.0"],
          [{ ...good, tags: "CANARY" }, "tags"],
          [{ ...good, provider: "CANARY" }, "provider"],
          [{ ...good, passwort: "CANARY" }, "passwort"],
          [{ ...good, "CANARY secret": 1 }, "?"],
          [{ email: "a@example.com", clientId: "c" }, "refreshToken"],
        ] as const
      ) {
        const { problem } = yield* refused(422, "invalid_body", path, { json })
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], JSON.stringify(json))
        assert.strictEqual(problem.issues?.[0]?.in, "body")
      }
      yield* refused(422, "invalid_email", path, { json: { ...good, email: "CANARY" } })
      yield* refused(422, "invalid_client_id", path, { json: { ...good, clientId: "CANARY" } })
    }))

  it.effect("media types and sizes that are not taken", () =>
    Effect.gen(function* () {
      for (const type of ["text/plain", "text/csv", "application/xml", "multipart/form-data; boundary=x"]) {
        const { problem } = yield* refused(415, "unsupported_media_type", "/v1/refreshes", {
          body: "{}",
          headers: { "content-type": type },
        })
        assert.deepStrictEqual(problem.accepted, ["application/json"])
      }
      yield* refused(413, "body_too_large", "/v1/refreshes", { json: { accountIds: ["x".repeat(1_100_000)] } })
      const charset = yield* send("/v1/accounts", {
        body: JSON.stringify({ email: "charset@example.com", clientId: "c", refreshToken: "x" }),
        headers: { "content-type": "Application/JSON; charset=utf-8" },
      })
      assert.strictEqual(problemOf(charset).code, "invalid_client_id")
    }))
})
