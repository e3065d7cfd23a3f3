/**
 * Signing in, by a real Chromium, at a strict OpenID provider that others wrote: `oidc-provider`
 * (github.com/panva/node-oidc-provider), in the place of Google. It insists on PKCE, and names itself in its answers
 * (RFC 9207).
 */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { createServer, type Server } from "node:http"
import Provider from "oidc-provider"
import { PublicUrl } from "../../../src/programs/PublicUrl.ts"
import { browser } from "../../support/browser.ts"
import { onDatabases } from "../../support/databases.ts"
import { serve } from "../../support/simulator.ts"
import { close, freePort, listen } from "./oidc.ts"
import { accountOf, api, newSession, Service, service, sessionOf } from "./stack.ts"

const step = <A>(run: () => Promise<A>) => Effect.promise(run)

const clientId = "1-oidc.apps.googleusercontent.com"
const secret = "a-secret-of-the-app"

/** The settings name it before it is known what the provider has to know. */
const port = await freePort()
const authority = `http://127.0.0.1:${port}`

const provide = (origin: string, server: Server, callback: string) => {
  const refusals: Array<string> = []
  const provider = new Provider(origin, {
    clients: [{
      client_id: clientId,
      client_secret: secret,
      token_endpoint_auth_method: "client_secret_post",
      grant_types: ["authorization_code", "refresh_token"],
      redirect_uris: [callback],
    }],
    scopes: ["openid", "email", "profile", "https://mail.google.com/"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    // As Google does: who it is stands in the id token.
    conformIdTokenClaims: false,
    issueRefreshToken: () => Promise.resolve(true),
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, email: `${sub}@oidc.example`, email_verified: true, name: sub }),
    }),
    pkce: { required: () => true },
    cookies: { keys: ["a key of these tests"] },
  })
  provider.on("authorization.error", (_ctx, error) => refusals.push(error.message))
  provider.on("grant.error", (_ctx, error) => refusals.push(error.message))
  provider.on("server_error", (_ctx, error) => refusals.push(error.message))
  const handler = provider.callback()
  server.on("request", (request, response) => void handler(request, response))
  return refusals
}

const settings = {
  publicUrl: Option.none(),
  googleAuthority: authority,
  googleTokenUrl: `${authority}/token`,
}

await onDatabases("Sign-in at oidc-provider", service({ settings }), (it) => {
  it.effect("makes an account and revives it", () =>
    Effect.scoped(Effect.gen(function* () {
      const { handler } = yield* Service
      const origin = yield* serve(handler)
      yield* (yield* PublicUrl).listening(origin)
      const server = createServer()
      yield* Effect.acquireRelease(step(() => listen(server, port)), () => step(() => close(server)))
      const refusals = provide(authority, server, `${origin}/connect/callback`)
      const made = yield* api("/v1/apps", { provider: "google", clientId, secret })
      assert.strictEqual(made.status, 201, made.text)
      const appId: string = JSON.parse(made.text).id
      const chromium = yield* browser

      const signIn = Effect.fnUntraced(function* (url: string, login: string) {
        const context = yield* step(() => chromium.newContext())
        const page = yield* step(() => context.newPage())
        yield* step(() => page.goto(url))
        yield* step(() => page.getByRole("button").click())
        yield* step(() => page.locator("input[name=login]").fill(login))
        yield* step(() => page.locator("input[name=password]").fill("anything"))
        yield* step(() => page.locator("button[type=submit]").click())
        yield* step(() => page.getByRole("button", { name: "Continue" }).click())
        yield* step(() => page.waitForURL(`${origin}/**`))
        return yield* step(() => page.content())
      })

      const session = yield* newSession({ appId, expectedEmail: "ada@oidc.example" })
      const page = yield* signIn(session.url ?? "", "ada")
      assert.include(page, "Your mailbox is connected", refusals.join())
      const id = (yield* sessionOf(session.id)).connectedAccountId ?? ""
      assert.deepInclude(yield* accountOf(id), { email: "ada@oidc.example", provider: "google", status: "active" })
      assert.deepStrictEqual(refusals, [])

      const again = yield* newSession({ appId, accountId: id })
      yield* signIn(again.url ?? "", "ada")
      assert.deepInclude((yield* accountOf(id)).token, { version: 2 })

      const wrong = yield* newSession({ appId, accountId: id })
      assert.include(yield* signIn(wrong.url ?? "", "eve"), "Another person was expected")
      assert.strictEqual((yield* sessionOf(wrong.id)).error?.code, "wrong_person")

      // Both by hand, since Chromium shows no redirect before it follows it.
      const follow = (url: string, init: RequestInit = {}) => step(() => fetch(url, { redirect: "manual", ...init }))
      const depart = Effect.fnUntraced(function* () {
        const { id, url = "" } = yield* newSession({ appId })
        const departed = yield* follow(url, { method: "POST" })
        const cookie = departed.headers.getSetCookie().map((one) => one.split(";")[0]).join("; ")
        return { id, cookie, target: new URL(departed.headers.get("location") ?? "") }
      })
      const stripped = yield* depart()
      for (const name of ["code_challenge", "code_challenge_method"]) stripped.target.searchParams.delete(name)
      const error = (yield* follow(stripped.target.href)).headers.get("location") ?? ""
      assert.include(error, "error=invalid_request")
      assert.strictEqual((yield* follow(error, { headers: { cookie: stripped.cookie } })).status, 403)
      assert.strictEqual((yield* sessionOf(stripped.id)).error?.code, "app_misconfigured")

      // The provider says that it names itself in every answer: one without is not its own.
      const unnamed = yield* depart()
      const state = unnamed.target.searchParams.get("state") ?? ""
      const seen = refusals.length
      const answer = `${origin}/connect/callback?${new URLSearchParams({ state, code: "a-code" })}`
      assert.strictEqual((yield* follow(answer, { headers: { cookie: unnamed.cookie } })).status, 403)
      assert.strictEqual((yield* sessionOf(unnamed.id)).error?.code, "sign_in_failed")
      assert.strictEqual(refusals.length, seen, "the code was not sent")
    })), 60_000)
})
