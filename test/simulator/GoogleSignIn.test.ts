import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { claimsOf, open, press } from "./pages.ts"
import { email, gmail, type Provider, provider } from "./provider.ts"

const one = gmail(3)
const clientId = "simulated.apps.googleusercontent.com"
const redirectUri = "https://app.example/callback"
const verifier = "v".repeat(43)
const secret = "GOCSPX-secret"

const question = {
  client_id: clientId,
  response_type: "code",
  redirect_uri: redirectUri,
  scope: "openid email https://mail.google.com/",
  access_type: "offline",
  state: "a state",
  nonce: "a nonce",
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
}

const address = (base: string, fields: Record<string, string> = {}) =>
  `${base}/google/o/oauth2/v2/auth?${new URLSearchParams({ ...question, ...fields })}`

const registered = Effect.fnUntraced(function* (more: Record<string, unknown> = {}) {
  const world = yield* provider({ accounts: 4, googleAccounts: 2 })
  const app = { provider: "google", clientId, secret, redirectUris: [redirectUri], ...more }
  assert.strictEqual((yield* Effect.promise(() => world.control("POST", "apps", app))).status, 200)
  return world
})

/** Signs in, consents where that is asked, and answers what was sent to the app. */
const signIn = Effect.fnUntraced(function* ({ base }: Provider, fields: Record<string, string> = {}, login = one) {
  const url = address(base, fields)
  let page = yield* press(url, yield* open(url), { login, decision: "sign-in" })
  const wasAsked = page.html.includes("Permissions requested")
  if (wasAsked) page = yield* press(url, page, { decision: "accept" })
  return { wasAsked, code: page.location?.searchParams.get("code") ?? "", page }
})

const ask = ({ base }: Provider, form: Record<string, string>) =>
  Effect.promise(async () => {
    const body = new URLSearchParams({ client_id: clientId, client_secret: secret, ...form })
    const response = await fetch(`${base}/google/token`, { method: "POST", body })
    return { status: response.status, ...await response.json() }
  })

const redeem = (world: Provider, code: string, form: Record<string, string> = {}) =>
  ask(world, {
    grant_type: "authorization_code",
    code,
    redirect_uri: redirectUri,
    code_verifier: verifier,
    ...form,
  })

const refresh = (world: Provider, refresh_token: string) => ask(world, { grant_type: "refresh_token", refresh_token })

describe("sign-in at Google", () => {
  it.live("gives a refresh token with the consent that was shown, and tells who signed in", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const { issuer, ...found } = yield* Effect.promise(async () =>
        (await fetch(`${world.base}/google/.well-known/openid-configuration`)).json()
      )
      assert.strictEqual(issuer, `${world.base}/google`)
      assert.strictEqual(found.authorization_endpoint, `${issuer}/o/oauth2/v2/auth`)
      const page = yield* open(address(world.base, { login_hint: one }))
      assert.include(page.html, `value="${one}"`)
      const stranger = yield* press(address(world.base), page, { login: email(1), decision: "sign-in" })
      assert.include(stranger.html, 'role="alert"')
      const first = yield* signIn(world)
      assert.isTrue(first.wasAsked)
      assert.strictEqual(first.page.location?.searchParams.get("state"), "a state")
      const granted = yield* redeem(world, first.code)
      const claims = claimsOf(granted.id_token)
      assert.deepStrictEqual(
        [claims.iss, claims.aud, claims.nonce, claims.email, claims.email_verified],
        [issuer, clientId, "a nonce", one, true],
      )
      const info = yield* Effect.promise(async () =>
        (await fetch(found.userinfo_endpoint, { headers: { authorization: `Bearer ${granted.access_token}` } })).json()
      )
      assert.deepStrictEqual([info.sub, info.email, info.email_verified], [claims.sub, one, true])
      assert.isUndefined(granted.refresh_token_expires_in)
      const refreshed = yield* refresh(world, granted.refresh_token)
      assert.deepStrictEqual([refreshed.status, refreshed.refresh_token], [200, undefined])
      // The token of the import file, of another app, lives on.
      assert.strictEqual(
        (yield* ask(world, { ...old(world), grant_type: "refresh_token" })).status,
        200,
      )

      const silent = yield* signIn(world)
      assert.isFalse(silent.wasAsked)
      assert.isUndefined((yield* redeem(world, silent.code)).refresh_token)
      const online = yield* signIn(world, { access_type: "online", prompt: "consent" })
      assert.isTrue(online.wasAsked)
      assert.isUndefined((yield* redeem(world, online.code)).refresh_token)
      const insisting = yield* signIn(world, { prompt: "consent" })
      assert.isString((yield* redeem(world, insisting.code)).refresh_token)
    }))

  it.live("refuses on a page what is wrong with the request, and at the token endpoint a wrong code", () =>
    Effect.gen(function* () {
      const world = yield* registered({ testing: true, testUsers: [one] })
      const wrong = [
        ["redirect_uri_mismatch", { redirect_uri: "https://thief.example/" }],
        ["invalid_client", { client_id: "nobody" }],
        ["invalid_request", { response_type: "token" }],
        ["invalid_request", { response_mode: "web_message" }],
        ["invalid_request", { code_challenge_method: "plain" }],
        ["invalid_request", { scope: "" }],
        ["invalid_scope", { scope: "https://else.example/" }],
      ] as const
      for (const [error, fields] of wrong) {
        const page = yield* open(address(world.base, fields))
        assert.isTrue(page.status >= 400 && page.location === undefined)
        assert.include(page.html, error)
      }
      assert.include((yield* signIn(world, {}, gmail(4))).page.html, "access_denied")
      const url = address(world.base)
      const declined = yield* press(url, yield* open(url), { decision: "cancel" })
      assert.strictEqual(declined.location?.searchParams.get("error"), "access_denied")

      const posted = yield* signIn(world, { response_mode: "form_post" })
      assert.strictEqual(posted.page.status, 200)
      assert.match(posted.page.html, /action="https:\/\/app\.example\/callback">.*name="code" value="4\/0SIM/)

      const { code } = yield* signIn(world)
      assert.strictEqual((yield* redeem(world, code, { client_secret: "wrong" })).error, "invalid_client")
      assert.strictEqual((yield* redeem(world, code, { redirect_uri: "https://x/" })).error, "redirect_uri_mismatch")
      assert.strictEqual((yield* redeem(world, code, { code_verifier: "else" })).error, "invalid_grant")
      assert.strictEqual((yield* redeem(world, "garbage")).error, "invalid_grant")
      assert.strictEqual((yield* redeem(world, code)).status, 200)
      assert.strictEqual((yield* redeem(world, code)).error, "invalid_grant")
    }))

  it.effect("ends the token of an app in testing after 7 days", () =>
    Effect.gen(function* () {
      const world = yield* registered({ testing: true })
      const { refresh_token, refresh_token_expires_in } = yield* redeem(world, (yield* signIn(world)).code)
      assert.strictEqual(refresh_token_expires_in, 604_800)
      yield* TestClock.adjust("6 days")
      assert.strictEqual((yield* refresh(world, refresh_token)).refresh_token_expires_in, 86_400)
      yield* TestClock.adjust("1 day")
      assert.strictEqual((yield* refresh(world, refresh_token)).error, "invalid_grant")
      const anew = yield* redeem(world, (yield* signIn(world, { prompt: "consent" })).code)
      assert.strictEqual((yield* refresh(world, anew.refresh_token)).status, 200)
    }))

  it.live("ends the oldest of more than 100 tokens, and all when the user revokes", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const tokens: Array<string> = []
      for (let n = 0; n < 101; n++) {
        const { code } = yield* signIn(world, { prompt: "consent" })
        tokens.push((yield* redeem(world, code)).refresh_token)
      }
      assert.strictEqual(new Set(tokens).size, 101)
      assert.strictEqual((yield* refresh(world, tokens[0] ?? "")).error, "invalid_grant")
      assert.strictEqual((yield* refresh(world, tokens[1] ?? "")).status, 200)
      world.simulator.revoke(one)
      assert.strictEqual((yield* refresh(world, tokens[100] ?? "")).error, "invalid_grant")
      const { code } = yield* signIn(world, { prompt: "consent" })
      assert.strictEqual((yield* refresh(world, (yield* redeem(world, code)).refresh_token)).status, 200)
      assert.strictEqual((yield* refresh(world, tokens[100] ?? "")).error, "invalid_grant")
    }))
})

/** The app and the token of the import file. */
const old = ({ simulator }: Provider) => {
  const app = simulator.apps().find(({ clientId: id, provider }) => provider === "google" && id !== clientId)
  const refresh_token =
    [...simulator.importLines({ from: 3, count: 1, format: "ndjson" })].map((line) => JSON.parse(line).refresh_token)[0]
  return { client_id: app?.clientId ?? "", client_secret: app?.clientSecret ?? "", refresh_token }
}
