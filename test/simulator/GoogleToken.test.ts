import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { gmail, json, type Provider, provider, type Reply, tokens } from "./provider.ts"

const GoogleFailure = Schema.Struct({
  error: Schema.String,
  error_description: Schema.String,
  error_subtype: Schema.optionalKey(Schema.String),
})

const told = (answer: Reply) => {
  const { error, error_description } = json(GoogleFailure, answer)
  return [answer.status, error, error_description]
}

const one = gmail(3)
const options = { accounts: 4, googleAccounts: 2 }

const redeemed = ({ redeemGoogle }: Provider, form: Record<string, string> = {}, headers: HeadersInit = {}) =>
  Effect.promise(() => redeemGoogle(one, form, headers))

describe("Google's token endpoint", () => {
  it.live("hands out access tokens, and never a new refresh token", () =>
    Effect.gen(function* () {
      const google = yield* provider({ ...options, mode: "strict" })
      const first = tokens(yield* redeemed(google))
      assert.isUndefined(first.refresh_token)
      assert.strictEqual(first.expires_in, 3599)
      assert.include(first.scope, "https://mail.google.com/")
      const second = tokens(yield* redeemed(google))
      assert.notStrictEqual(second.access_token, first.access_token)
      const { googleToken, redemptions, token } = google.simulator.counters()
      assert.deepStrictEqual([googleToken.statuses, redemptions, token.requests], [{ 200: 2 }, 2, 0])
      // Another provider's token is worth nothing at Graph.
      assert.strictEqual((yield* Effect.promise(() => google.get("/me", first.access_token))).status, 401)
    }))

  it.live("errors have Google's names, statuses and texts", () =>
    Effect.gen(function* () {
      const google = yield* provider({ ...options, googleApps: 2 })
      const { simulator } = google
      const { refreshToken } = simulator.account(one)
      const other = simulator.account(gmail(4))
      const cases: ReadonlyArray<readonly [Record<string, string>, number, string, string]> = [
        [{ client_secret: "wrong" }, 401, "invalid_client", "Unauthorized"],
        [{ client_secret: "" }, 401, "invalid_client", "Unauthorized"],
        [{ client_id: "nobody" }, 401, "invalid_client", "The OAuth client was not found."],
        [{ client_id: "" }, 400, "invalid_request", "Could not determine client ID from request."],
        [{ refresh_token: "" }, 400, "invalid_request", "Missing required parameter: refresh_token"],
        [{ grant_type: "password" }, 400, "unsupported_grant_type", "Invalid grant_type: password"],
        [{ refresh_token: refreshToken.slice(0, -1) }, 400, "invalid_grant", "Bad Request"],
        [{ refresh_token: other.refreshToken }, 400, "invalid_grant", "Bad Request"],
      ]
      for (const [form, ...expected] of cases) assert.deepStrictEqual(told(yield* redeemed(google, form)), expected)

      const { clientId } = simulator.account(one)
      for (const error of ["deleted_client", "disabled_client", "unauthorized_client", "invalid_client"] as const) {
        simulator.failApp(clientId, error)
        const [status, name] = told(yield* redeemed(google))
        assert.deepStrictEqual([status, name], [401, error])
        assert.strictEqual((yield* Effect.promise(() => google.redeemGoogle(gmail(4)))).status, 200)
      }
      simulator.failApp(clientId, null)
      assert.strictEqual((yield* redeemed(google)).status, 200)
    }))

  it.live("locks, revokes, and hands out a new token after a new sign-in", () =>
    Effect.gen(function* () {
      const google = yield* provider(options)
      const { simulator } = google
      simulator.lock(one)
      assert.deepStrictEqual(told(yield* redeemed(google)).slice(0, 2), [400, "admin_policy_enforced"])
      simulator.unlock(one)
      assert.strictEqual((yield* redeemed(google)).status, 200)
      const old = simulator.account(one).refreshToken
      yield* Effect.promise(() => google.control("POST", `accounts/${one}/revoke`))
      const dead = [400, "invalid_grant", "Token has been expired or revoked."]
      assert.deepStrictEqual(told(yield* redeemed(google)), dead)
      assert.deepStrictEqual(simulator.grants({ revoked: true }).map(({ email }) => email), [one])
      const anew = simulator.signIn(one)
      assert.strictEqual((yield* redeemed(google, { refresh_token: anew })).status, 200)
      assert.deepStrictEqual(told(yield* redeemed(google, { refresh_token: old })), dead)
    }))

  it.live("takes the new secret once it is changed, by header too", () =>
    Effect.gen(function* () {
      const google = yield* provider(options)
      const { clientId, clientSecret: old } = google.simulator.account(one)
      const Changed = Schema.Struct({ clientSecret: Schema.String })
      const changed = yield* Effect.promise(() => google.control("POST", `apps/${clientId}/secret`))
      const { clientSecret } = json(Changed, changed)
      assert.notStrictEqual(clientSecret, old)
      assert.strictEqual((yield* redeemed(google, { client_secret: old ?? "" })).status, 401)
      assert.strictEqual((yield* redeemed(google, { client_secret: clientSecret })).status, 200)
      const authorization = `Basic ${btoa(`${clientId}:${clientSecret}`)}`
      assert.strictEqual((yield* redeemed(google, { client_secret: "" }, { authorization })).status, 200)
      const [, app] = google.simulator.apps()
      assert.deepStrictEqual([app?.provider, app?.clientSecret], ["google", clientSecret])
    }))

  it.live("refuses reasons of the other provider, and scripts that would never be asked for", () =>
    Effect.gen(function* () {
      const { control, simulator } = yield* provider(options)
      const { clientId } = simulator.account(one)
      const answers = [{ error: "internal_failure" }]
      for (
        const [path, body] of [
          [`accounts/${one}/lock`, { code: 50057 }],
          [`apps/${clientId}/fault`, { code: 7000222 }],
          ["scripts", { endpoint: "token", email: one, answers }],
        ] as const
      ) assert.strictEqual((yield* Effect.promise(() => control("POST", path, body))).status, 422, path)
    }))

  it.live("answers as scripted, and meets faults in its own words", () =>
    Effect.gen(function* () {
      const google = yield* provider(options)
      const script = {
        endpoint: "google-token",
        email: one,
        answers: [
          { error: "invalid_grant", suberror: "invalid_rapt" },
          { fault: "throttled" },
          { fault: "unavailable" },
          { fault: "error" },
          { fault: "error-200" },
        ],
      }
      assert.strictEqual((yield* Effect.promise(() => google.control("POST", "scripts", script))).status, 204)
      const rapt = json(GoogleFailure, yield* redeemed(google))
      assert.deepStrictEqual([rapt.error, rapt.error_subtype], ["invalid_grant", "invalid_rapt"])
      const throttled = yield* redeemed(google)
      assert.deepStrictEqual([throttled.status, throttled.headers.get("retry-after")], [429, "1"])
      assert.deepStrictEqual(told(yield* redeemed(google)).slice(0, 2), [503, "temporarily_unavailable"])
      assert.deepStrictEqual(told(yield* redeemed(google)).slice(0, 2), [500, "internal_failure"])
      assert.deepStrictEqual(told(yield* redeemed(google)).slice(0, 2), [200, "internal_failure"])
      assert.strictEqual((yield* redeemed(google)).status, 200)
    }))
})
