/** API keys: what each may do, and that nothing tells a wrong one from a missing one. */
import { assert } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { HttpApi } from "effect/http-api"
import { Api } from "../../src/api/Api.ts"
import { CreatedApiKey } from "../../src/api/Keys.ts"
import { named } from "../../src/api/Scopes.ts"
import { ApiKey, Scope } from "../../src/domain/ApiKey.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, adminKey, metricsKey, raw, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(ApiKey), nextCursor: Schema.NullOr(Schema.String) })

const make = Effect.fnUntraced(function* (...scopes: ReadonlyArray<Scope>) {
  const created = yield* taken(CreatedApiKey, 201, "/v1/keys", { json: { name: newId(), scopes } })
  return { id: created.id, name: created.name, key: Redacted.value(created.key) }
})

/** Calls by the scope that they need; none of them changes anything. */
const calls: ReadonlyArray<readonly [Scope, method: string, path: string]> = [
  ["accounts:read", "GET", "/v1/accounts"],
  ["accounts:read", "GET", "/v1/stats"],
  ["metrics:read", "GET", "/metrics"],
  ["accounts:write", "DELETE", "/v1/accounts/none"],
  ["runs:write", "POST", "/v1/runs/none/cancel"],
  ["messages:read", "GET", "/v1/messages"],
  ["messages:read", "GET", "/v1/changes"],
  ["tokens:read", "GET", "/v1/accounts/none/access-token"],
  ["admin", "GET", "/v1/keys"],
  ["audit:read", "GET", "/v1/audit"],
  ["audit:read", "GET", "/v1/audit/chain"],
]

await onDatabases("API keys", server, (it) => {
  it.effect("a key does what its scopes allow, and nothing else", () =>
    Effect.gen(function* () {
      for (const scope of Scope.literals) {
        const { key } = yield* make(scope)
        for (const [needed, method, path] of calls) {
          const { status, text } = yield* send(path, { method, key })
          if (scope === needed || scope === "admin" || (scope === "accounts:read" && needed === "metrics:read")) {
            assert.notInclude([401, 403], status, `${scope}: ${method} ${path}`)
          } else {
            assert.strictEqual(status, 403, `${scope}: ${method} ${path}`)
            assert.deepInclude(JSON.parse(text), { code: "insufficient_scope", scope: needed })
          }
        }
      }
    }))

  it.effect("the metrics key of the settings reads metrics, and nothing else", () =>
    Effect.gen(function* () {
      for (const [, method, path] of calls) {
        const { status } = yield* send(path, { method, key: metricsKey })
        assert.strictEqual(status, path === "/metrics" ? 200 : 403, `${method} ${path}`)
      }
      const headers = { "sec-fetch-site": "same-origin" }
      yield* refused(401, "unauthorized", "/v1/session", { headers, json: { key: metricsKey } })
    }))

  it.effect("is shown once, listed without it, used, and revoked at once", () =>
    Effect.gen(function* () {
      const { id, key } = yield* make("accounts:read")
      assert.match(key, /^mf_[0-9a-f]{48}$/)
      yield* taken(Schema.Unknown, 200, "/v1/accounts", { key })
      const { text } = yield* send("/v1/keys?limit=500")
      assert.notInclude(text, key)
      const listed = (yield* taken(Page, 200, "/v1/keys?limit=500")).items.find((one) => one.id === id)
      assert.isNotNull(listed?.lastUsedAt)
      assert.strictEqual(listed?.prefix, key.slice(0, 8))
      const { sql, tables: t } = yield* Database
      const stored = yield* sql<{ row: string }>`select k::text as row from ${t.api_keys} k`
      assert.isFalse(stored.some(({ row }) => row.includes(key)))
      assert.strictEqual((yield* send(`/v1/keys/${id}`, { method: "DELETE" })).status, 204)
      yield* refused(401, "unauthorized", "/v1/accounts", { key })
      yield* refused(404, "not_found", `/v1/keys/${id}`, { method: "DELETE" })
    }))

  it.effect("a missing, a wrong, an expired and a revoked key answer alike", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const expired = yield* make("admin")
      yield* sql`update ${t.api_keys} set expires_at = now() - interval '1 second' where id = ${expired.id}`
      const answers = yield* Effect.forEach(
        [null, "", "x", `${adminKey}x`, adminKey.slice(0, -1), `mf_${"0".repeat(48)}`, expired.key],
        (key) =>
          Effect.flatMap(raw("/v1/accounts", { key }), (response) =>
            Effect.promise(async () => [response.status, [...response.headers].sort(), await response.text()])),
      )
      for (const answer of answers) {
        assert.deepStrictEqual(answer, answers[0])
      }
      assert.strictEqual(answers[0]![0], 401)
    }))

  it.effect("the audit log names the key that was given a token", () =>
    Effect.gen(function* () {
      const account = yield* addAccount(`${newId()}@keys.example`)
      const { key, name } = yield* make("tokens:read")
      yield* send(`/v1/accounts/${account.id}/access-token`, { key, secret: true })
      const { text } = yield* send(`/v1/audit?accountId=${account.id}`)
      assert.strictEqual(JSON.parse(text).items[0].actor, name)
    }))

  it.effect("what is no key is refused by field", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [unknown, string]> = [
        [{ scopes: ["admin"] }, "name"],
        [{ name: "", scopes: ["admin"] }, "name"],
        [{ name: " x", scopes: ["admin"] }, "name"],
        [{ name: "x", scopes: [] }, "scopes"],
        [{ name: "x", scopes: ["root"] }, "scopes.0"],
        [{ name: "x", scopes: ["admin"], expiresAt: "soon" }, "expiresAt"],
        [{ name: "x", scopes: ["admin"], expiresAt: "2020-01-01T00:00:00Z" }, "expiresAt"],
        [{ name: "x", scopes: ["admin"], key: "mf_1" }, "key"],
      ]
      for (const [json, field] of wrong) {
        const { problem } = yield* refused(422, "invalid_body", "/v1/keys", { json })
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], JSON.stringify(json))
      }
    }))

  it.effect("every call names its scope, here and in the OpenAPI document", () =>
    Effect.gen(function* () {
      const endpoints: Array<string> = []
      HttpApi.reflect(Api, {
        onGroup: () => {},
        onEndpoint: ({ endpoint, group }) => {
          if (!["health", "notifications", "session"].includes(group.identifier)) {
            endpoints.push(`${group.identifier}.${endpoint.identifier}`)
          }
        },
      })
      assert.deepStrictEqual(endpoints.toSorted(), named.toSorted())
      const document = JSON.parse((yield* send("/openapi.json", { key: null })).text)
      for (
        const [path, operations] of Object.entries<Record<string, { security: ReadonlyArray<unknown> }>>(document.paths)
      ) {
        if (/^\/(?:health|v1\/notifications|v1\/session)\b/.test(path)) continue
        for (const { security } of Object.values(operations)) {
          const [requirement] = security as ReadonlyArray<{ apiKey: ReadonlyArray<Scope> }>
          assert.lengthOf(requirement!.apiKey, 1, path)
          assert.include(Scope.literals, requirement!.apiKey[0], path)
        }
      }
    }))
})
