/** Attacks on a sign-in, each refused: RFC 6819 §4.4.1, RFC 9700 §4, RFC 9207. */
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { onDatabases } from "../../support/databases.ts"
import { Provider, serve } from "../../support/simulator.ts"
import { Database } from "../../../src/storage/Database.ts"
import {
  accountOf,
  address,
  answering,
  api,
  type Browser,
  callback,
  departing,
  here,
  locationOf,
  newApp,
  newBrowser,
  newSession,
  type Reply,
  service,
  sessionOf,
  signingIn,
  withClaims,
} from "./stack.ts"

const accountsOf = (email: string) =>
  Effect.map(api(`/v1/accounts?search=${email}`), ({ text }) => JSON.parse(text).items.length)

/** A page that says so, and nothing that was stored. */
const stopped = Effect.fnUntraced(function* (page: Reply, status: number, email: string) {
  assert.strictEqual(page.status, status, page.text)
  assert.match(page.headers.get("content-type") ?? "", /^text\/html/)
  assert.isNull(page.headers.get("location"))
  assert.strictEqual(yield* accountsOf(email), 0)
})

/** A browser that is at the provider. */
const started = Effect.fnUntraced(function* (request: Record<string, unknown> = {}, app?: { readonly id: string }) {
  const { id } = app ?? (yield* newApp())
  const session = yield* newSession({ appId: id, ...request })
  const browser = yield* newBrowser()
  return { session, browser, url: yield* departing(browser, session.url ?? "") }
})

const withQuery = (url: string, change: (query: URLSearchParams) => void): string => {
  const changed = new URL(url)
  change(changed.searchParams)
  return changed.href
}

const refusedWith = Effect.fnUntraced(function* (id: string, code: string) {
  const { error, state } = yield* sessionOf(id)
  assert.deepStrictEqual([state, error?.code], ["refused", code])
})

await onDatabases("Attacks on sign-in", service(), (it) => {
  it.effect("a forged state", () =>
    Effect.gen(function* () {
      const { browser, session, url } = yield* started()
      const answer = yield* answering(browser, url, address(1))
      const forged = [
        withQuery(answer, (query) => query.set("state", "A".repeat(43))),
        withQuery(answer, (query) => query.delete("state")),
        withQuery(answer, (query) => query.set("state", "")),
        withQuery(answer, (query) => query.append("state", query.get("state") ?? "")),
        withQuery(answer, (query) => query.set("state", "' or true --")),
      ]
      for (const one of forged) yield* stopped(yield* browser.go(one), 404, address(1))
      assert.strictEqual((yield* sessionOf(session.id)).state, "started", "nobody else ends it")
      assert.strictEqual((yield* browser.go(answer)).status, 200)
    }))

  it.effect("a replayed state, with the same code or another", () =>
    Effect.gen(function* () {
      const { browser, session, url } = yield* started()
      const answer = yield* answering(browser, url, address(2))
      const cookies = new Map(browser.cookies)
      assert.strictEqual((yield* browser.go(answer)).status, 200)
      const connected = yield* sessionOf(session.id)
      for (const [name, value] of cookies) browser.cookies.set(name, value)
      const again = yield* answering(browser, url, address(3))
      yield* stopped(yield* browser.go(answer), 410, address(3))
      yield* stopped(yield* browser.go(again), 410, address(3))
      assert.deepStrictEqual(yield* sessionOf(session.id), connected)
    }))

  it.effect("two answers at the same time: one code is redeemed", () =>
    Effect.gen(function* () {
      const { browser, session, url } = yield* started()
      const answer = yield* answering(browser, url, address(4))
      const cookies = new Map(browser.cookies)
      const twins = yield* Effect.forEach([1, 2, 3, 4], () =>
        Effect.map(newBrowser(), (twin) => {
          for (const [name, value] of cookies) twin.cookies.set(name, value)
          return twin
        }))
      const pages = yield* Effect.forEach(twins, (twin) => twin.go(answer), { concurrency: 4 })
      assert.deepStrictEqual(pages.map(({ status }) => status).toSorted(), [200, 410, 410, 410])
      assert.strictEqual((yield* sessionOf(session.id)).state, "connected")
    }))

  it.effect("code injection: the code of another session", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const attacker = yield* started({}, app)
      const victim = yield* started({}, app)
      const stolen = new URL(yield* answering(victim.browser, victim.url, address(5)))
      const own = yield* answering(attacker.browser, attacker.url, address(6))
      const code = stolen.searchParams.get("code") ?? ""
      const page = yield* attacker.browser.go(withQuery(own, (query) => query.set("code", code)))
      yield* stopped(page, 403, address(5))
      yield* refusedWith(attacker.session.id, "sign_in_failed")
      assert.strictEqual(yield* accountsOf(address(6)), 0)
    }))

  it.effect("another session's link, and another browser's answer", () =>
    Effect.gen(function* () {
      const victim = yield* started()
      const answer = yield* answering(victim.browser, victim.url, address(7))
      // Somebody who saw the answer, in a browser without the cookie, and in one with that of a session of its own.
      const thief = yield* started()
      for (const browser of [yield* newBrowser(), thief.browser]) {
        yield* stopped(yield* browser.go(answer), 403, address(7))
      }
      const [own] = [...thief.browser.cookies.values()]
      const [name] = [...victim.browser.cookies.keys()]
      thief.browser.cookies.set(name ?? "", own ?? "")
      yield* stopped(yield* thief.browser.go(answer), 403, address(7))
      // Login fixation: the answer of the thief's own sign-in, opened by the victim.
      const planted = yield* answering(thief.browser, thief.url, address(8))
      yield* stopped(yield* victim.browser.go(planted), 403, address(8))
      assert.strictEqual((yield* victim.browser.go(answer)).status, 200, "none of it disturbs the victim")
      for (const link of ["A".repeat(43), "x", "..%2f", "A".repeat(5_000)]) {
        const browser = yield* newBrowser()
        assert.strictEqual((yield* browser.go(`${here}/connect/${link}`)).status, 404)
        assert.strictEqual((yield* browser.go(`${here}/connect/${link}`, { method: "POST" })).status, 404)
      }
    }))

  it.effect("open redirect: only the session says where the browser goes", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const bad = [
        "javascript:alert(1)",
        "//evil.example",
        "/relative",
        "evil.example",
        "https:evil.example",
        "https:///evil.example",
        "https://good.example@evil.example/",
        "https://user:word@good.example/",
        "https://good.example\\@evil.example/",
        "https://good.example/#fragment",
        "https://good.example/\r\nset-cookie: a=b",
        "data:text/html,hello",
        "ftp://good.example/",
        "https://",
        " https://good.example/",
        "",
        `https://good.example/${"x".repeat(2_000)}`,
      ]
      for (const returnUrl of bad) {
        const answer = yield* api("/v1/connect-sessions", { appId: app.id, returnUrl })
        assert.strictEqual(answer.status, 422, returnUrl)
        assert.strictEqual(JSON.parse(answer.text).issues[0].field, "returnUrl")
      }
      const returnUrl = "https://good.example/back?a=%20b+c&next=https%3A%2F%2Fgood.example"
      const { browser, session, url } = yield* started({ returnUrl }, app)
      const answer = yield* answering(browser, url, address(9))
      const page = yield* browser.go(withQuery(answer, (query) => {
        for (const name of ["returnUrl", "return_url", "redirect_uri", "next"]) query.set(name, "https://evil.example/")
      }))
      assert.strictEqual(locationOf(page), `${returnUrl}&connectSession=${session.id}&state=connected`)
      const { browser: other, session: plain } = yield* started({}, app)
      const evil = "returnUrl=https%3A%2F%2Fevil.example&redirect_uri=https%3A%2F%2Fevil.example"
      const third = yield* newSession({ appId: app.id })
      const departed = new URL(locationOf(yield* other.go(`${third.url}?${evil}`, { method: "POST" })))
      assert.strictEqual(departed.searchParams.get("redirect_uri"), callback)
      assert.notInclude(departed.href, "evil.example")
      assert.isUndefined((yield* sessionOf(plain.id)).returnUrl)
    }))

  it.effect("mixed-up issuer: the answer names another one", () =>
    Effect.gen(function* () {
      const { origin } = yield* Provider
      const tenant = "11111111-2222-4333-8444-555555555555"
      for (
        const iss of [
          "https://evil.example/",
          `https://evil.example/${tenant}/v2.0`,
          `${origin}/common/v2.0`,
          `${origin}/${tenant}/v2.0/`,
          `${origin}/${tenant}/../v2.0`,
          // Of a tenant that may be asked, but another than the one of who signed in.
          `${origin}/${tenant}/v2.0`,
        ]
      ) {
        const { browser, session, url } = yield* started()
        const answer = yield* answering(browser, url, address(10))
        yield* stopped(yield* browser.go(withQuery(answer, (query) => query.set("iss", iss))), 403, address(10))
        yield* refusedWith(session.id, "issuer_mismatch")
      }
      const { browser, url } = yield* started()
      const answer = yield* answering(browser, url, address(10))
      const { sql, tables: t } = yield* Database
      yield* signingIn((yield* newSession({ appId: (yield* newApp()).id })).url ?? "", address(18))
      const rows = yield* Effect.orDie(sql<{ subject: string }>`select g.subject from ${t.grants} g
        join ${t.accounts} a on a.grant_id = g.id where a.email = ${address(18)}`)
      const [tid] = rows[0]!.subject.split(".")
      const good = withQuery(answer, (query) => query.set("iss", `${origin}/${tid}/v2.0`))
      assert.strictEqual((yield* browser.go(good)).status, 200)
    }))

  it.effect("mixed-up issuer: the id token is of another issuer, app, time or sign-in", () =>
    Effect.gen(function* () {
      const other = "11111111-2222-4333-8444-555555555555"
      const cases: ReadonlyArray<readonly [string, (claims: Record<string, unknown>) => void]> = [
        ["issuer_mismatch", (claims) => claims["iss"] = "https://evil.example/v2.0"],
        ["issuer_mismatch", (claims) => claims["tid"] = other],
        ["issuer_mismatch", (claims) => claims["tid"] = "common"],
        ["issuer_mismatch", (claims) => delete claims["tid"]],
        ["sign_in_failed", (claims) => delete claims["iss"]],
        ["sign_in_failed", (claims) => claims["aud"] = other],
        ["sign_in_failed", (claims) => claims["nonce"] = "another"],
        ["sign_in_failed", (claims) => delete claims["nonce"]],
        ["sign_in_failed", (claims) => claims["exp"] = 1_000],
        ["sign_in_failed", (claims) => delete claims["sub"]],
      ]
      for (const [code, change] of cases) {
        yield* Effect.scoped(Effect.gen(function* () {
          const authority = yield* withClaims(change)
          const { browser, session, url } = yield* started({}, yield* newApp({ authority }))
          const answer = yield* answering(browser, url, address(11))
          yield* stopped(yield* browser.go(answer), 403, address(11))
          yield* refusedWith(session.id, code)
        }))
      }
      yield* Effect.scoped(Effect.gen(function* () {
        const authority = yield* withClaims((_, answer) => delete answer["id_token"])
        const { browser, session, url } = yield* started({}, yield* newApp({ authority }))
        yield* browser.go(yield* answering(browser, url, address(11)))
        yield* refusedWith(session.id, "sign_in_failed")
      }))
      // An app of one tenant takes nobody of another, whatever the provider lets in.
      const personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
      yield* Effect.scoped(Effect.gen(function* () {
        const authority = yield* withClaims((claims) => {
          claims["iss"] = String(claims["iss"]).replace(String(claims["tid"]), personal)
          claims["tid"] = personal
        })
        const { browser, session, url } = yield* started({}, yield* newApp({ authority, tenant: "organizations" }))
        yield* browser.go(yield* answering(browser, url, address(11)))
        yield* refusedWith(session.id, "issuer_mismatch")
      }))
    }))

  it.effect("PKCE downgrade: a challenge that was changed or stripped", () =>
    Effect.gen(function* () {
      const departure = yield* started()
      const query = new URL(departure.url).searchParams
      assert.strictEqual(query.get("code_challenge_method"), "S256")
      assert.match(query.get("code_challenge") ?? "", /^[\w-]{43}$/)

      // To `plain`: the provider answers with an error, which ends the session.
      const plain = yield* departure.browser.go(withQuery(departure.url, (query) => {
        query.set("code_challenge_method", "plain")
      }))
      yield* stopped(yield* departure.browser.go(locationOf(plain)), 403, address(12))
      yield* refusedWith(departure.session.id, "app_misconfigured")

      // To one of the attacker: the code is redeemed with our verifier, which does not fit.
      const changed = yield* started()
      const own = withQuery(changed.url, (query) => query.set("code_challenge", "A".repeat(43)))
      yield* stopped(yield* changed.browser.go(yield* answering(changed.browser, own, address(12))), 403, address(12))
      yield* refusedWith(changed.session.id, "sign_in_failed")

      // Stripped by the attacker from the own sign-in, so that the code fits any verifier: its nonce is another one.
      const app = yield* newApp()
      const attacker = yield* started({}, app)
      const victim = yield* started({}, app)
      const stripped = withQuery(attacker.url, (query) => {
        query.delete("code_challenge")
        query.delete("code_challenge_method")
      })
      const code = new URL(yield* answering(attacker.browser, stripped, address(12))).searchParams.get("code") ?? ""
      const injected = withQuery(yield* answering(victim.browser, victim.url, address(13)), (query) =>
        query.set("code", code))
      yield* stopped(yield* victim.browser.go(injected), 403, address(12))
      yield* refusedWith(victim.session.id, "sign_in_failed")
    }))

  it.effect("an expired link, and a sign-in that took too long", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const expire = (id: string) =>
        Effect.orDie(sql`update ${t.connect_sessions} set expires_at = now() - interval '1 second' where id = ${id}`)
      const app = yield* newApp()
      const session = yield* newSession({ appId: app.id })
      yield* expire(session.id)
      const browser = yield* newBrowser()
      for (const method of ["GET", "POST"]) {
        yield* stopped(yield* browser.go(session.url ?? "", { method }), 410, address(14))
      }
      assert.strictEqual((yield* sessionOf(session.id)).state, "expired")

      const late = yield* started({}, app)
      const answer = yield* answering(late.browser, late.url, address(14))
      yield* expire(late.session.id)
      yield* stopped(yield* late.browser.go(answer), 410, address(14))
      assert.strictEqual((yield* sessionOf(late.session.id)).state, "expired")
    }))

  it.effect("a spent link", () =>
    Effect.gen(function* () {
      const { session } = yield* started()
      const browser = yield* newBrowser()
      for (const method of ["GET", "POST"]) {
        yield* stopped(yield* browser.go(session.url ?? "", { method }), 410, address(15))
      }
      assert.strictEqual(browser.cookies.size, 0)
      const app = yield* newApp()
      const raced = yield* newSession({ appId: app.id })
      const replies = yield* Effect.forEach(
        [1, 2, 3, 4, 5],
        () => browser.go(raced.url ?? "", { method: "POST" }),
        { concurrency: 5 },
      )
      assert.deepStrictEqual(replies.map(({ status }) => status).toSorted(), [303, 410, 410, 410, 410])
    }))

  it.effect("a form of another site", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const session = yield* newSession({ appId: app.id })
      const browser: Browser = yield* newBrowser({ "sec-fetch-site": "cross-site" })
      assert.strictEqual((yield* browser.go(session.url ?? "", { method: "POST" })).status, 200)
      assert.strictEqual((yield* sessionOf(session.id)).state, "open")
    }))

  it.effect("the wrong person", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const expected = address(16)
      const session = yield* newSession({
        appId: app.id,
        expectedEmail: expected,
        returnUrl: "https://good.example/?a",
      })
      const page = yield* signingIn(session.url ?? "", address(17))
      yield* stopped(page, 403, address(17))
      for (const text of [expected, address(17), session.id, "https://good.example/?a&amp;connectSession="]) {
        assert.include(page.text, text)
      }
      yield* refusedWith(session.id, "wrong_person")
      const { text } = yield* api("/v1/audit?limit=1")
      assert.deepInclude(JSON.parse(text).items[0], {
        actor: `session:${session.id}`,
        action: "sign_in",
        outcome: "wrong_person",
      })
    }))

  it.effect("an account that somebody else signed in to, or that a tenant's grant reads", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const app = yield* newApp()
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(19))
      const { connectedAccountId: id = "", grantId = "" } = yield* sessionOf(first.id)
      const before = yield* api(`/v1/accounts/${id}`)
      const refusal = Effect.fnUntraced(function* (change: string, request: Record<string, unknown>) {
        yield* Effect.orDie(sql`update ${t.grants} set ${sql.literal(change)} where id = ${grantId}`)
        const session = yield* newSession({ appId: app.id, ...request })
        assert.strictEqual((yield* signingIn(session.url ?? "", address(19))).status, 403)
        return (yield* sessionOf(session.id)).error?.code
      })
      // The same address given to another person, as directories allow.
      assert.strictEqual(yield* refusal("subject = 'somebody else'", {}), "wrong_person")
      assert.strictEqual(yield* refusal("subject = 'somebody else'", { accountId: id }), "wrong_person")
      assert.strictEqual(yield* refusal("kind = 'client_credentials', tenant = 'one'", {}), "account_taken")
      yield* Effect.orDie(sql`update ${t.grants} set kind = 'refresh_token', tenant = null where id = ${grantId}`)
      assert.deepStrictEqual(JSON.parse((yield* api(`/v1/accounts/${id}`)).text), JSON.parse(before.text))

      const session = yield* newSession({ appId: app.id, accountId: id })
      yield* api(`/v1/accounts/${id}`, undefined, "DELETE")
      assert.strictEqual((yield* api(`/v1/connect-sessions/${session.id}`)).status, 404, "it goes with its account")
    }))
})

/** A directory that says of everybody what an administrator of some tenant may write there. */
const lyingDirectory = Effect.map(
  serve(() => Response.json({ mail: "victim@contoso.example", userPrincipalName: address(2) })),
  (origin) => `${origin}/v1.0`,
)

await onDatabases(
  "An address that nobody has verified",
  Layer.unwrap(Effect.map(lyingDirectory, (graphUrl) => service({ settings: { graphUrl } }))),
  (it) => {
    it.effect("decides of no account whose it is", () =>
      Effect.gen(function* () {
        const app = yield* newApp()
        const made = yield* api("/v1/accounts", {
          email: "victim@contoso.example",
          clientId: app.clientId,
          refreshToken: "no-token-of-the-victim",
        })
        const victim = JSON.parse(made.text)
        for (const wanted of [{}, { expectedEmail: "victim@contoso.example" }, { accountId: victim.id }]) {
          const session = yield* newSession({ appId: app.id, ...wanted })
          const page = yield* signingIn(session.url ?? "", address(2))
          assert.strictEqual(page.status, 403, page.text)
          assert.strictEqual((yield* sessionOf(session.id)).error?.code, "wrong_person")
        }
        assert.strictEqual((yield* accountOf(victim.id)).token.version, victim.token.version)
      }))
  },
)
