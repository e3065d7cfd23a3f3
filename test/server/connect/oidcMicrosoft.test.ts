/**
 * `oidc-provider` (github.com/panva/node-oidc-provider) in the place of Microsoft: signing in by a redirect with PKCE, and by a
 * device code (RFC 8628), with a real Chromium as the browser of the person.
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

const clientId = "3f6a4b0e-6d0b-4c52-9c1e-2f7d5a9b8c11"
const tenant = "6c1f3a52-8f0e-4f0b-9a55-0d2b7c4e9a10"
const port = await freePort()
const authority = `http://127.0.0.1:${port}`
const mail = "https://graph.microsoft.com/Mail.Read"
const user = "https://graph.microsoft.com/User.Read"

/** At Microsoft's paths, under the name of one tenant. */
const provide = (server: Server, callback: string) => {
  const refusals: Array<string> = []
  const path = (name: string) => `/${tenant}/oauth2/v2.0/${name}`
  const provider = new Provider(`${authority}/${tenant}/v2.0`, {
    clients: [{
      client_id: clientId,
      token_endpoint_auth_method: "none",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      redirect_uris: [callback],
    }],
    routes: { authorization: path("authorize"), token: path("token"), device_authorization: path("devicecode") },
    features: { deviceFlow: { enabled: true } },
    scopes: ["openid", "email", "profile", "offline_access", mail, user],
    claims: { openid: ["sub", "tid"], email: ["email"], profile: ["preferred_username"] },
    conformIdTokenClaims: false,
    issueRefreshToken: () => Promise.resolve(true),
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, tid: tenant, email: `${sub}@oidc.example`, preferred_username: `${sub}@oidc.example` }),
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

const settings = { publicUrl: Option.none(), microsoftAuthority: authority }

await onDatabases("Sign-in at oidc-provider as at Microsoft", service({ settings }), (it) => {
  it.effect(
    "makes an account by a redirect, and revives it by a device code",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const { handler } = yield* Service
        const origin = yield* serve(handler)
        yield* (yield* PublicUrl).listening(origin)
        const server = createServer()
        yield* Effect.acquireRelease(step(() => listen(server, port)), () => step(() => close(server)))
        const refusals = provide(server, `${origin}/connect/callback`)
        const made = yield* api("/v1/apps", {
          provider: "microsoft",
          clientId,
          tenant,
          scopes: { graph: `${mail} ${user}` },
        })
        assert.strictEqual(made.status, 201, made.text)
        const appId: string = JSON.parse(made.text).id
        const chromium = yield* browser

        const opened = Effect.fnUntraced(function* (url: string) {
          const context = yield* step(() => chromium.newContext())
          const page = yield* step(() => context.newPage())
          yield* step(() => page.goto(url))
          return page
        })
        type Page = Effect.Success<ReturnType<typeof opened>>
        const signIn = Effect.fnUntraced(function* (page: Page, login: string) {
          yield* step(() => page.locator("input[name=login]").fill(login))
          yield* step(() => page.locator("input[name=password]").fill("anything"))
          yield* step(() => page.locator("button[type=submit]").click())
          yield* step(() => page.getByRole("button", { name: "Continue" }).click())
        })

        const session = yield* newSession({ appId, expectedEmail: "ada@oidc.example" })
        const page = yield* opened(session.url ?? "")
        yield* step(() => page.getByRole("button").click())
        yield* signIn(page, "ada")
        yield* step(() => page.waitForURL(`${origin}/**`))
        assert.include(yield* step(() => page.content()), "Your mailbox is connected", refusals.join())
        const id = (yield* sessionOf(session.id)).connectedAccountId ?? ""
        const account = yield* accountOf(id)
        assert.deepInclude(account, { email: "ada@oidc.example", status: "active", tenant })

        const byCode = Effect.fnUntraced(function* (login: string) {
          const { id: sessionId } = yield* newSession({ appId, accountId: id })
          const asked = yield* api(`/v1/connect-sessions/${sessionId}/device-code`, {})
          assert.strictEqual(asked.status, 200, asked.text)
          const { interval, userCode, verificationUri } = JSON.parse(asked.text)
          const poll = Effect.flatMap(
            Effect.sleep(interval * 1_000),
            () => Effect.map(api(`/v1/connect-sessions/${sessionId}/device-poll`, {}), ({ text }) => JSON.parse(text)),
          )
          const entry = yield* opened(verificationUri)
          yield* step(() => entry.locator("input[name=user_code]").fill(userCode))
          yield* step(() => entry.getByRole("button", { name: "Continue" }).click())
          yield* step(() => entry.getByRole("button", { name: "Continue" }).click())
          assert.strictEqual((yield* poll).state, "started", "nobody has signed in yet")
          yield* signIn(entry, login)
          yield* step(() => entry.getByText("Sign-in Success").waitFor())
          return yield* poll
        })
        assert.deepInclude(yield* byCode("ada"), { state: "connected", connectedAccountId: id })
        assert.deepInclude(yield* accountOf(id), { id, grantId: account.grantId, status: "active" })
        assert.strictEqual((yield* accountOf(id)).token.version, 2)
        const wrong = yield* byCode("eve")
        assert.deepStrictEqual([wrong.state, wrong.error?.code], ["refused", "wrong_person"])
        assert.strictEqual((yield* accountOf(id)).token.version, 2)

        // The same token is redeemed from then on.
        assert.strictEqual((yield* api(`/v1/accounts/${id}/access-token`)).status, 200)
      })),
    90_000,
  )
})
