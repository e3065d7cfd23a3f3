import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import { createHash, createPublicKey, verify } from "node:crypto"
import { email, failure, json, type Provider, provider, tokens } from "./provider.ts"

const one = email(1)
const redirectUri = "https://app.example/callback"
const clientId = "11111111-2222-4333-8444-555555555555"
const verifier = "v".repeat(43)
const challenge = createHash("sha256").update(verifier).digest("base64url")
const scope = "openid offline_access https://graph.microsoft.com/Mail.ReadWrite"

const question = {
  client_id: clientId,
  response_type: "code",
  redirect_uri: redirectUri,
  scope,
  state: "a state",
  nonce: "a nonce",
  code_challenge: challenge,
  code_challenge_method: "S256",
}

const visit = ({ base }: Provider, fields: Record<string, string>, tenant = "common") =>
  Effect.promise(() =>
    fetch(`${base}/${tenant}/oauth2/v2.0/authorize?${new URLSearchParams(fields)}`, { redirect: "manual" })
  )

/** Sends a page's form as a browser would: its hidden fields, the address, and the button that was pressed. */
const submit = ({ base }: Provider, html: string, fields: Record<string, string>, tenant = "common") => {
  const hidden = [...html.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) => [
    name ?? "",
    value ?? "",
  ])
  const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...fields })
  return Effect.promise(() =>
    fetch(`${base}/${tenant}/oauth2/v2.0/authorize`, { method: "POST", body, redirect: "manual" })
  )
}

const text = (response: Response) => Effect.promise(() => response.text())

/** Where an answer leads to. */
const sent = (response: Response): URLSearchParams => {
  assert.strictEqual(response.status, 302)
  const url = new URL(response.headers.get("location") ?? "")
  assert.strictEqual(url.origin + url.pathname, redirectUri)
  return url.searchParams
}

const registered = Effect.fnUntraced(function* (options: Parameters<typeof provider>[0] = {}) {
  const world = yield* provider({ accounts: 4, personal: 0, ...options })
  const answer = yield* Effect.promise(() =>
    world.control("POST", "apps", { clientId, redirectUris: [redirectUri], secret: "a secret" })
  )
  assert.strictEqual(answer.status, 200)
  return world
})

/** Signs in, consents where that is asked, and returns the code. */
const signIn = Effect.fnUntraced(function* (world: Provider, fields: Record<string, string> = {}) {
  const page = yield* visit(world, { ...question, ...fields })
  let answer = yield* submit(world, yield* text(page), { login: one, decision: "sign-in" })
  if (answer.status === 200) answer = yield* submit(world, yield* text(answer), { decision: "accept" })
  return sent(answer).get("code") ?? ""
})

const redeem = ({ post }: Provider, code: string, form: Record<string, string> = {}) =>
  Effect.promise(() =>
    post({
      client_id: clientId,
      client_secret: "a secret",
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      ...form,
    })
  )

describe("authorization code flow", () => {
  it.live("signs in, asks for consent once, and cures a dead grant of the same mailbox", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const { control, get, post, simulator } = world
      yield* Effect.promise(() => control("POST", `accounts/${one}/revoke`))
      const before = simulator.mailbox(one).messages.map(({ id }) => id)

      const page = yield* text(yield* visit(world, { ...question, login_hint: one }))
      assert.include(page, '<label for="login">')
      assert.include(page, `value="${one}"`)
      assert.notInclude(page, "<script")
      const unknown = yield* submit(world, page, { login: "nobody@sim.example", decision: "sign-in" })
      assert.match(yield* text(unknown), /role="alert">AADSTS50034/)
      const consent = yield* text(yield* submit(world, page, { login: one, decision: "sign-in" }))
      assert.include(consent, "https://graph.microsoft.com/Mail.ReadWrite")
      const answer = sent(yield* submit(world, consent, { decision: "accept" }))
      assert.strictEqual(answer.get("state"), "a state")

      const granted = tokens(yield* redeem(world, answer.get("code") ?? ""))
      const form = { client_id: clientId, client_secret: "a secret", grant_type: "refresh_token" }
      const refreshed = yield* Effect.promise(() =>
        post({ ...form, refresh_token: granted.refresh_token ?? "", scope: "Mail.ReadWrite offline_access" })
      )
      const { access_token } = tokens(refreshed)
      const messages = yield* Effect.promise(() => get("/me/messages?$top=1000&$select=id", access_token))
      const Messages = Schema.Struct({ value: Schema.Array(Schema.Struct({ id: Schema.String })) })
      assert.sameMembers(json(Messages, messages).value.map(({ id }) => id), before)
      assert.strictEqual(simulator.account(one).clientId, clientId)

      // Consented by now, unless the app insists.
      const again = yield* submit(world, page, { login: one, decision: "sign-in" })
      assert.isTrue(sent(again).has("code"))
      const insisting = yield* text(yield* visit(world, { ...question, prompt: "consent" }))
      const asked = yield* submit(world, insisting, { login: one, decision: "sign-in" })
      assert.include(yield* text(asked), "Permissions requested")
    }))

  it.live("signs an ID token with the published key, and tells who signed in", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const { base, get } = world
      const IdAnswer = Schema.Struct({ id_token: Schema.String, access_token: Schema.String })
      const code = yield* signIn(world, { scope: "openid User.Read" })
      const answer = yield* redeem(world, code)
      assert.isUndefined(tokens(answer).refresh_token)
      const { access_token, id_token } = json(IdAnswer, answer)
      const [head = "", body = "", signature = ""] = id_token.split(".")
      const read = (part: string) => JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/")))
      const claims = read(body)
      const url = `${base}/${claims.tid}/v2.0/.well-known/openid-configuration`
      const { issuer, jwks_uri } = yield* Effect.promise(async () => (await fetch(url)).json())
      const { keys } = yield* Effect.promise(async () => (await fetch(jwks_uri)).json())
      assert.strictEqual(read(head).kid, keys[0].kid)
      const key = createPublicKey({ key: keys[0], format: "jwk" })
      assert.isTrue(verify("sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")))
      const me = yield* Effect.promise(async () => JSON.parse((await get("/me", access_token)).text))
      assert.deepStrictEqual(
        [claims.iss, claims.aud, claims.nonce, claims.preferred_username, claims.email, claims.oid],
        [issuer, clientId, "a nonce", one, one, me.id],
      )
      assert.strictEqual(claims.exp - claims.iat, 3600)
      const info = yield* Effect.promise(async () =>
        (await fetch(`${base}/oidc/userinfo`, { headers: { authorization: `Bearer ${access_token}` } })).json()
      )
      assert.deepStrictEqual([info.sub, info.email], [claims.sub, one])
      assert.deepStrictEqual([me.mail, me.userPrincipalName], [one, one])
      assert.strictEqual((yield* Effect.promise(() => get("/me/messages", access_token))).status, 403)
    }))

  it.live("refuses on a page what may not be redirected, and by redirect the rest", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const pages = [
        [50011, { redirect_uri: "https://thief.example/" }, "common"],
        [700016, { client_id: crypto.randomUUID() }, "common"],
        [900023, {}, "no_tenant"],
      ] as const
      for (const [code, fields, tenant] of pages) {
        const answer = yield* visit(world, { ...question, ...fields }, tenant)
        assert.strictEqual(answer.status, 400)
        assert.include(yield* text(answer), `AADSTS${code}:`)
      }
      const faults = [
        ["unsupported_response_type", { response_type: "token" }],
        ["login_required", { prompt: "none" }],
        ["invalid_request", { prompt: "else" }],
        ["invalid_request", { code_challenge_method: "plain" }],
        ["invalid_request", { scope: "" }],
      ] as const
      for (const [error, fields] of faults) {
        const answer = sent(yield* visit(world, { ...question, ...fields }))
        assert.deepStrictEqual([answer.get("error"), answer.get("state")], [error, "a state"])
      }
      const page = yield* text(yield* visit(world, question))
      assert.strictEqual(sent(yield* submit(world, page, { decision: "cancel" })).get("error"), "access_denied")
      const consent = yield* text(yield* submit(world, page, { login: one, decision: "sign-in" }))
      const declined = sent(yield* submit(world, consent, { decision: "cancel" }))
      assert.match(declined.get("error_description") ?? "", /^AADSTS65004/)
      const consumers = yield* submit(world, page, { login: one, decision: "sign-in" }, "consumers")
      assert.include(yield* text(consumers), "AADSTS50020")
      const link = yield* visit(world, { ...question, login: one, decision: "accept" })
      assert.include(yield* text(link), '<label for="login">')
      world.simulator.registerApp({ clientId, tenant: "contoso.example" })
      assert.include(yield* text(yield* visit(world, question)), "AADSTS50194")
    }))

  it.live("answers by a form, or behind the hash, where that is asked for", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const signed = Effect.fnUntraced(function* (response_mode: string) {
        const page = yield* text(yield* visit(world, { ...question, response_mode }))
        const consent = yield* text(yield* submit(world, page, { login: one, decision: "sign-in" }))
        return /Permissions requested/.test(consent)
          ? yield* submit(world, consent, { decision: "accept" })
          : yield* submit(world, page, { login: one, decision: "sign-in" })
      })
      const fieldsOf = (html: string) =>
        new Map([...html.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value]))
      const posted = yield* signed("form_post")
      assert.deepStrictEqual([posted.status, posted.headers.get("location")], [200, null])
      const html = yield* text(posted)
      assert.include(html, `<form method="post" action="${redirectUri}">`)
      assert.strictEqual(fieldsOf(html).get("state"), "a state")
      assert.strictEqual((yield* redeem(world, fieldsOf(html).get("code") ?? "")).status, 200)
      const page = yield* text(yield* visit(world, { ...question, response_mode: "form_post" }))
      const declined = fieldsOf(yield* text(yield* submit(world, page, { decision: "cancel" })))
      assert.deepStrictEqual([declined.get("error"), declined.get("state")], ["access_denied", "a state"])

      const url = new URL((yield* signed("fragment")).headers.get("location") ?? "")
      assert.strictEqual(url.search, "")
      assert.strictEqual(new URLSearchParams(url.hash.slice(1)).get("state"), "a state")
      const unknown = sent(yield* visit(world, { ...question, response_mode: "web_message" }))
      assert.strictEqual(unknown.get("error"), "invalid_request")
    }))

  it.live("binds a code to app, redirect URI and challenge, and takes it once", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const other = world.simulator.account(email(2)).clientId
      const code = yield* signIn(world)
      const codeOf = (text: string, form: Record<string, string>) =>
        Effect.map(redeem(world, text, form), (answer) => [failure(answer).error, failure(answer).error_codes[0]])
      const cases = [
        ["invalid_grant", 501481, { code_verifier: "w".repeat(43) }],
        ["invalid_grant", 501481, { code_verifier: "" }],
        ["invalid_grant", 500112, { redirect_uri: "https://app.example/" }],
        ["invalid_client", 7000215, { client_secret: "wrong" }],
        ["invalid_grant", 65001, { scope: "MailboxSettings.Read" }],
        ["invalid_request", 900144, { code: "" }],
      ] as const
      for (const [error, number, form] of cases) assert.deepStrictEqual(yield* codeOf(code, form), [error, number])
      const foreign = yield* Effect.promise(() =>
        world.post({
          client_id: other,
          grant_type: "authorization_code",
          code,
          redirect_uri: redirectUri,
          code_verifier: verifier,
        })
      )
      assert.deepStrictEqual(failure(foreign).error_codes, [70000])
      assert.deepStrictEqual(yield* codeOf(`${code}x`, {}), ["invalid_grant", 9002313])
      assert.strictEqual((yield* redeem(world, code)).status, 200)
      assert.deepStrictEqual(yield* codeOf(code, {}), ["invalid_grant", 54005])
    }))

  it.live("an app gets into a tenant once its administrator consented", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      world.simulator.registerApp({ clientId, consentedTenants: [] })
      const fields = { client_id: clientId, redirect_uri: redirectUri, state: "a state" }
      const url = `${world.base}/organizations/v2.0/adminconsent?${new URLSearchParams(fields)}`
      const decide = (decision: string) =>
        Effect.promise(() =>
          fetch(url, { method: "POST", body: new URLSearchParams({ decision }), redirect: "manual" })
        )
      const declined = sent(yield* decide("cancel"))
      assert.deepStrictEqual([declined.get("error"), declined.get("state")], ["access_denied", "a state"])
      const page = yield* Effect.promise(() => fetch(url, { redirect: "manual" }))
      assert.include(yield* text(page), "Permissions requested")
      const token = (tenant: string) =>
        Effect.promise(() =>
          world.post(
            {
              client_id: clientId,
              client_secret: "a secret",
              grant_type: "client_credentials",
              scope: "https://graph.microsoft.com/.default",
            },
            {},
            tenant,
          )
        )
      const before = yield* token("contoso.example")
      assert.deepStrictEqual(failure(before).error_codes, [700016])
      const answer = sent(yield* decide("accept"))
      assert.deepStrictEqual([answer.get("admin_consent"), answer.get("state")], ["True", "a state"])
      const granted = tokens(yield* token(answer.get("tenant") ?? ""))
      assert.isUndefined(granted.refresh_token)
      assert.strictEqual((yield* Effect.promise(() => world.get("/users", granted.access_token))).status, 200)
      assert.deepStrictEqual(failure(yield* token("contoso.example")).error_codes, [700016])
    }))

  it.live("a locked user does not get in, nor does a code of before the lock", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const code = yield* signIn(world)
      world.simulator.lock(one)
      const page = yield* text(yield* visit(world, question))
      const locked = yield* submit(world, page, { login: one, decision: "sign-in" })
      assert.match(yield* text(locked), /role="alert">AADSTS50057/)
      assert.deepStrictEqual(failure(yield* redeem(world, code)).error_codes, [50057])
      world.simulator.unlock(one)
      assert.strictEqual((yield* redeem(world, code)).status, 200)
    }))

  it.effect("forgets a code after ten minutes", () =>
    Effect.gen(function* () {
      const world = yield* registered()
      const code = yield* signIn(world)
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(failure(yield* redeem(world, code)).error_codes, [70008])
    }))
})
