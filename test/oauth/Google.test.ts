import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { FailureClass } from "../../src/domain/FailureClass.ts"
import { googleApp, json, makeEndpoint, refreshToken, refused, secret } from "./endpoint.ts"

describe("Google", () => {
  it.effect("asks without a scope, and with the secret if the app has one", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      yield* endpoint.redeem({ app: googleApp, refreshToken: ` ${refreshToken}\n` })
      const { secret: _, ...publicApp } = googleApp
      yield* endpoint.redeem({ app: publicApp })
      const common = { client_id: googleApp.clientId, grant_type: "refresh_token", refresh_token: refreshToken }
      assert.deepStrictEqual(endpoint.received.map(({ path }) => path), ["/google/token", "/google/token"])
      assert.deepStrictEqual(Object.fromEntries(endpoint.received[0]?.form ?? []), { ...common, client_secret: secret })
      assert.deepStrictEqual(Object.fromEntries(endpoint.received[1]?.form ?? []), common)
      assert.deepStrictEqual(endpoint.spans, ["Google.redeem", "Google.redeem"])
    }))

  it.effect("keeps the old refresh token unless, against its documentation, Google sends one", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const redemption = yield* endpoint.redeem({ app: googleApp })
      assert.notProperty(redemption, "refreshToken")
      assert.strictEqual(redemption.expiresIn, 3599)
      endpoint.answer = () => json({ access_token: "AT", expires_in: 3920, refresh_token: "RT2" })
      const other = yield* endpoint.redeem({ app: googleApp })
      assert.strictEqual(other.refreshToken && Redacted.value(other.refreshToken), "RT2")
    }))

  const rows: ReadonlyArray<
    readonly [status: number, error: unknown, expected: FailureClass, headers?: Record<string, string>]
  > = [
    [429, "rate_limit_exceeded", "throttled"],
    [400, "invalid_grant", "throttled", { "retry-after": "2" }],
    [500, "invalid_grant", "transient"],
    [400, "internal_failure", "transient"],
    [400, "server_error", "transient"],
    [400, "temporarily_unavailable", "transient"],
    [401, "invalid_client", "app"],
    [401, "deleted_client", "app"],
    [401, "disabled_client", "app"],
    [401, "unauthorized_client", "app"],
    [400, "unsupported_grant_type", "app"],
    [400, "invalid_request", "app"],
    [400, "invalid_scope", "app"],
    [403, "org_internal", "app"],
    [400, "admin_policy_enforced", "blocked"],
    [400, "invalid_grant", "needs_user"],
    [400, "brand_new", "unknown"],
    [400, "constructor", "unknown"],
    [403, { code: 403, message: "Forbidden" }, "unknown"],
  ]
  for (const [status, name, expected, headers] of rows) {
    it.effect(`${status} ${JSON.stringify(name)}${headers === undefined ? "" : " with Retry-After"}: ${expected}`, () =>
      Effect.gen(function* () {
        const endpoint = yield* makeEndpoint()
        const body = { error: name, error_description: `Bad Request ${refreshToken}`, error_subtype: "invalid_rapt" }
        const { error, reach } = yield* refused(endpoint, () => json(body, status, headers), { app: googleApp })
        assert.strictEqual(error.class, expected)
        assert.strictEqual(error.providerCode, typeof name === "string" ? name : undefined)
        assert.strictEqual(
          reach,
          expected === "throttled"
            ? "app"
            : expected !== "app"
            ? undefined
            : ["invalid_request", "invalid_scope", "org_internal"].includes(String(name))
            ? "tenant"
            : "app",
        )
        assert.strictEqual(error.retryAfterMillis, headers === undefined ? undefined : 2_000)
        const reports = endpoint.told.filter((text) => text.includes("a token endpoint gave an answer"))
        assert.strictEqual(reports.length, expected === "unknown" ? 1 : 0)
        for (const text of [...endpoint.told, JSON.stringify(error)]) {
          for (const word of [refreshToken, secret, "Bad Request"]) assert.notInclude(text, word)
        }
      }))
  }

  it.effect("bears answers that are no JSON", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      for (const status of [200, 400, 502]) {
        const { error } = yield* refused(endpoint, () => new Response("<html>", { status }), { app: googleApp })
        assert.strictEqual(error.class, "transient")
      }
    }))

  it.effect("sends nothing that can only be refused", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const empty = yield* Effect.flip(endpoint.redeem({ app: googleApp, refreshToken: " " }))
      const foreign = yield* Effect.flip(endpoint.redeem({ app: googleApp, resource: "graph" }))
      assert.deepStrictEqual([empty.error.class, foreign.error.class], ["needs_user", "unknown"])
      assert.strictEqual(endpoint.received.length, 0)
    }))
})
