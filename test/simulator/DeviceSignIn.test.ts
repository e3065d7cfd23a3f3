import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { open, press } from "./pages.ts"
import { email, gmail, provider } from "./provider.ts"

const grant_type = "urn:ietf:params:oauth:grant-type:device_code"

const post = (url: string, form: Record<string, string>) =>
  Effect.promise(async () => {
    const response = await fetch(url, { method: "POST", body: new URLSearchParams(form) })
    return { status: response.status, ...await response.json() }
  })

const microsoft = Effect.fnUntraced(function* () {
  const { base, simulator } = yield* provider({ accounts: 2 })
  const { clientId: client_id } = simulator.account(email(1))
  const start = (scope = "openid offline_access Mail.Read") =>
    post(`${base}/common/oauth2/v2.0/devicecode`, { client_id, scope })
  const poll = (device_code: string) => post(`${base}/common/oauth2/v2.0/token`, { client_id, grant_type, device_code })
  return { base, poll, simulator, start }
})

describe("device code", () => {
  it.effect("waits for the person, is told to slow down, and gets its tokens once", () =>
    Effect.gen(function* () {
      const { base, poll, start } = yield* microsoft()
      const { device_code, interval, message, user_code, verification_uri } = yield* start()
      assert.strictEqual(verification_uri, `${base}/devicelogin`)
      assert.include(message, user_code)
      yield* TestClock.adjust(`${interval} seconds`)
      assert.strictEqual((yield* poll(device_code)).error, "authorization_pending")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* poll(device_code)).error, "slow_down")
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* poll(device_code)).error, "slow_down")
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual((yield* poll(device_code)).error, "authorization_pending")

      const wrong = yield* press(verification_uri, yield* open(verification_uri), { user_code: "WRONG" })
      assert.include(wrong.html, 'role="alert"')
      const typed = yield* press(verification_uri, wrong, { user_code: user_code.toLowerCase(), decision: "sign-in" })
      const unknown = yield* press(verification_uri, typed, { login: "nobody@sim.example", decision: "sign-in" })
      assert.include(unknown.html, "AADSTS50034")
      const consent = yield* press(verification_uri, unknown, { login: email(2), decision: "sign-in" })
      assert.include(consent.html, "https://graph.microsoft.com/Mail.Read")
      const end = yield* press(verification_uri, consent, { decision: "accept" })
      assert.include(end.html, "You are signed in")

      yield* TestClock.adjust("15 seconds")
      const granted = yield* poll(device_code)
      assert.strictEqual(granted.status, 200)
      assert.isString(granted.refresh_token)
      assert.isString(granted.id_token)
      assert.strictEqual((yield* poll(device_code)).error, "bad_verification_code")
    }))

  it.effect("ends by refusal, by time, and with a code that is not its own", () =>
    Effect.gen(function* () {
      const { base, poll, simulator, start } = yield* microsoft()
      const page = `${base}/devicelogin`
      const first = yield* start()
      const typed = yield* press(page, yield* open(page), { user_code: first.user_code, decision: "sign-in" })
      simulator.lock(email(1))
      const locked = yield* press(page, typed, { login: email(1), decision: "sign-in" })
      assert.include(locked.html, "AADSTS50057")
      yield* press(page, typed, { decision: "cancel" })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* poll(first.device_code)).error, "authorization_declined")
      const second = yield* start()
      yield* TestClock.adjust("15 minutes")
      assert.strictEqual((yield* poll(second.device_code)).error, "expired_token")
      assert.strictEqual((yield* poll("garbage")).error, "bad_verification_code")
    }))

  it.live("does not serve Gmail's scopes at Google", () =>
    Effect.gen(function* () {
      const { base, simulator } = yield* provider({ accounts: 1, googleAccounts: 1 })
      const { clientId: client_id, clientSecret } = simulator.account(gmail(1))
      const start = (scope: string) => post(`${base}/google/device/code`, { client_id, scope })
      assert.strictEqual((yield* start("https://mail.google.com/")).error, "invalid_scope")
      const { device_code, user_code, verification_url } = yield* start("openid email")
      const form = { client_id, client_secret: clientSecret ?? "", grant_type, device_code }
      const pending = yield* post(`${base}/google/token`, form)
      assert.deepStrictEqual([pending.status, pending.error], [428, "authorization_pending"])
      const typed = yield* press(verification_url, yield* open(verification_url), { user_code, decision: "sign-in" })
      const consent = yield* press(verification_url, typed, { login: gmail(1), decision: "sign-in" })
      yield* press(verification_url, consent, { decision: "accept" })
      const granted = yield* post(`${base}/google/token`, form)
      assert.strictEqual(granted.status, 200)
      assert.isString(granted.refresh_token)
    }))
})
