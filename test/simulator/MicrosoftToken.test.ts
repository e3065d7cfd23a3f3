import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { email, failure, mailScope, provider, tokens } from "./provider.ts"

const one = email(1)

describe("token endpoint", () => {
  it.live("rotates, and honours the old token in microsoft mode", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({ accounts: 3 })
      const first = simulator.account(one).refreshToken
      const answer = tokens(yield* Effect.promise(() => redeem(one, first)))
      assert.notStrictEqual(answer.refresh_token, first)
      assert.isTrue(Number(answer.expires_in) >= 3600 && Number(answer.expires_in) <= 5400)
      assert.strictEqual((yield* Effect.promise(() => redeem(one, first))).status, 200)
      assert.strictEqual((yield* Effect.promise(() => redeem(one, answer.refresh_token))).status, 200)
      assert.strictEqual(simulator.counters().violations["reused-refresh-token"], 2)
    }))

  it.live("revokes the whole grant when a spent token comes back in strict mode", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({ accounts: 3, mode: "strict" })
      const first = simulator.account(one).refreshToken
      const second = tokens(yield* Effect.promise(() => redeem(one, first))).refresh_token
      const third = tokens(yield* Effect.promise(() => redeem(one, second))).refresh_token
      const reused = yield* Effect.promise(() => redeem(one, first))
      assert.strictEqual(reused.status, 400)
      assert.strictEqual(failure(reused).error, "invalid_grant")
      assert.deepStrictEqual(failure(yield* Effect.promise(() => redeem(one, third))).error_codes, [70000])
      assert.deepStrictEqual(simulator.grants({ revoked: true }).map(({ email, reused }) => [email, reused]), [[
        one,
        true,
      ]])
      const anew = simulator.signIn(one)
      assert.strictEqual((yield* Effect.promise(() => redeem(one, anew))).status, 200)
      assert.deepStrictEqual(failure(yield* Effect.promise(() => redeem(one, third))).error_codes, [50173])
    }))

  it.live("errors have Microsoft's shape and codes", () =>
    Effect.gen(function* () {
      const { post, redeem, simulator } = yield* provider({ accounts: 4, apps: 2, confidentialApps: 1, personal: 0 })
      const two = email(2)
      const account = simulator.account(one)
      const good = {
        client_id: account.clientId,
        grant_type: "refresh_token",
        refresh_token: account.refreshToken,
        scope: mailScope,
      }
      const cases: ReadonlyArray<readonly [number, string, number, Record<string, string>]> = [
        [900144, "invalid_request", 400, { ...good, grant_type: "" }],
        [70003, "unsupported_grant_type", 400, { ...good, grant_type: "password" }],
        [700016, "unauthorized_client", 400, { ...good, client_id: crypto.randomUUID() }],
        [700025, "invalid_client", 401, { ...good, client_secret: "x" }],
        [9002313, "invalid_grant", 400, { ...good, refresh_token: `${good.refresh_token} ` }],
        [9002313, "invalid_grant", 400, { ...good, refresh_token: good.refresh_token.slice(0, -1) }],
        [70011, "invalid_scope", 400, { ...good, scope: "https://graph.microsoft.com/.default Mail.Read" }],
        [70011, "invalid_scope", 400, { ...good, scope: " Mail.Read" }],
        [500011, "invalid_resource", 400, { ...good, scope: "https://else.example/Mail.Read" }],
        [65001, "invalid_grant", 400, { ...good, scope: "MailboxSettings.Read" }],
        [
          28000,
          "invalid_request",
          400,
          { ...good, scope: "https://graph.microsoft.com/Mail.Read https://outlook.office.com/IMAP.AccessAsUser.All" },
        ],
      ]
      for (const [code, error, status, form] of cases) {
        const answer = yield* Effect.promise(() => post(form))
        const body = failure(answer)
        assert.deepStrictEqual([body.error_codes, body.error, answer.status], [[code], error, status])
        assert.match(body.timestamp, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/)
        assert.match(body.error_description, /^AADSTS\d+: .*Trace ID: .*Correlation ID: .*Timestamp: /)
      }
      const codeOf = (form: Record<string, string>) =>
        Effect.promise(async () => failure(await redeem(two, undefined, form)).error_codes[0])
      assert.strictEqual(yield* codeOf({}), 7000218)
      assert.strictEqual(yield* codeOf({ client_secret: "wrong" }), 7000215)
      const secret = simulator.account(two).clientSecret ?? ""
      assert.strictEqual((yield* Effect.promise(() => redeem(two, undefined, { client_secret: secret }))).status, 200)
      simulator.lock(one, 50057)
      assert.deepStrictEqual(failure(yield* Effect.promise(() => redeem(one))).error_codes, [50057])
      simulator.failApp(account.clientId, 7000222)
      assert.strictEqual((yield* Effect.promise(() => redeem(one))).status, 401)
      const { counts } = simulator.violations()
      assert.strictEqual(counts["secret-from-public-client"], 1)
      assert.strictEqual(counts["mixed-resources"], 1)
    }))

  it.live("scopes: no refresh token without offline_access, resources apart, .default", () =>
    Effect.gen(function* () {
      const { get, redeem } = yield* provider({ accounts: 3, expiresIn: "string" })
      const withScope = (scope: string) => Effect.promise(async () => tokens(await redeem(one, undefined, { scope })))
      const graph = yield* withScope("https://graph.microsoft.com/.default openid")
      assert.isUndefined(graph.refresh_token)
      assert.strictEqual(typeof graph.expires_in, "string")
      assert.strictEqual((yield* Effect.promise(() => get("/me", graph.access_token))).status, 200)
      const imap = yield* withScope("https://outlook.office.com/IMAP.AccessAsUser.All offline_access")
      const refused = yield* Effect.promise(() => get("/me", imap.access_token))
      assert.strictEqual(refused.status, 401)
      assert.include(refused.text, "InvalidAuthenticationToken")
      assert.isTrue(refused.headers.has("www-authenticate"))
      const send = yield* withScope("Mail.Send")
      assert.strictEqual((yield* Effect.promise(() => get("/me/messages", send.access_token))).status, 403)
    }))

  it.live("limits: a loop of identical requests, and more at once than the endpoint bears", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({
        accounts: 20,
        tokenConcurrencyLimit: 3,
        throttleDelay: "latency",
        latency: 50,
        retryAfter: 1500,
      })
      const answers = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 5 }, (_, i) => redeem(email(i + 2))))
      )
      const throttled = answers.filter(({ status }) => status === 429)
      assert.strictEqual(throttled.length, 2)
      assert.strictEqual(throttled[0]?.headers.get("retry-after"), "1.5")
      assert.notStrictEqual(throttled[0]?.text[0], "{")
      assert.strictEqual(simulator.counters().token.peak, 5)
      yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 150)))
      yield* Effect.promise(() => redeem(email(9)))
      assert.strictEqual(simulator.counters().violations["before-retry-after"], 1)

      simulator.configure({ latency: 0 })
      const same = simulator.account(one).refreshToken
      for (let i = 1; i < 15; i++) assert.strictEqual((yield* Effect.promise(() => redeem(one, same))).status, 200)
      const loop = failure(yield* Effect.promise(() => redeem(one, same)))
      assert.deepStrictEqual([loop.error, loop.error_codes], ["invalid_grant", [50196]])
    }))

  it.live("answers as scripted, and injects the same faults for the same seed", () =>
    Effect.gen(function* () {
      const { control, redeem, simulator } = yield* provider({ accounts: 200, faultKinds: ["unavailable"] })
      const script = {
        endpoint: "token",
        email: one,
        answers: [{ code: 50053, times: 2 }, { status: 503, body: "busy" }, { fault: "reset" }],
      }
      assert.strictEqual((yield* Effect.promise(() => control("POST", "scripts", script))).status, 204)
      assert.deepStrictEqual(failure(yield* Effect.promise(() => redeem(one))).error_codes, [50053])
      assert.strictEqual((yield* Effect.promise(() => redeem(email(2)))).status, 200)
      yield* Effect.promise(() => redeem(one))
      assert.strictEqual((yield* Effect.promise(() => redeem(one))).text, "busy")
      const broken = yield* Effect.promise(() => redeem(one).then(() => "answered", () => "broken"))
      assert.strictEqual(broken, "broken")
      assert.strictEqual((yield* Effect.promise(() => redeem(one))).status, 200)

      simulator.configure({ faultRate: 0.25 })
      const statuses = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 200 }, (_, i) => redeem(email(i + 1))))
      )
      const failed = statuses.filter(({ status }) => status === 503).length
      assert.isTrue(failed > 25 && failed < 75, `${failed} of 200`)
      const again = yield* provider({ accounts: 200, faultKinds: ["unavailable"], faultRate: 0.25 })
      const repeated = yield* Effect.promise(() =>
        Promise.all(Array.from({ length: 20 }, (_, i) => again.redeem(email(i + 21))))
      )
      assert.deepStrictEqual(repeated.map(({ status }) => status), statuses.slice(20, 40).map(({ status }) => status))
    }))

  it.live("delays every answer by the latency, all at once", () =>
    Effect.gen(function* () {
      const { redeem } = yield* provider({ accounts: 100, latency: "100 millis" })
      yield* Effect.promise(() => redeem(one))
      const start = performance.now()
      yield* Effect.promise(() => Promise.all(Array.from({ length: 50 }, (_, i) => redeem(email(i + 1)))))
      const took = performance.now() - start
      assert.isTrue(took >= 99 && took < 400, `${took} ms`)
    }))
})
