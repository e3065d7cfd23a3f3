/** Signing a browser in by a key: what its cookie may do, from where, and when that ends. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Redacted, Schema } from "effect"
import { CreatedApiKey } from "../../src/api/Keys.ts"
import { SignedIn } from "../../src/api/Session.ts"
import type { Scope } from "../../src/domain/ApiKey.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { adminKey, refused, send, server, taken } from "./stack.ts"

const ours = { "sec-fetch-site": "same-origin" }

/** What a browser holds after a login: the cookie, and what it was set with. */
const signIn = Effect.fnUntraced(function* (key: string, headers: Record<string, string> = ours) {
  const answer = yield* send("/v1/session", { method: "POST", key: null, headers, json: { key } })
  assert.strictEqual(answer.status, 201, answer.text)
  const [pair, ...attributes] = (answer.headers.get("set-cookie") ?? "").split("; ")
  return {
    session: Schema.decodeUnknownSync(Schema.toCodecJson(SignedIn))(answer.json),
    cookie: pair!,
    token: pair!.split("=")[1]!,
    attributes,
  }
})

const newKey = Effect.fnUntraced(function* (...scopes: ReadonlyArray<Scope>) {
  const created = yield* taken(CreatedApiKey, 201, "/v1/keys", { json: { name: newId(), scopes } })
  return { id: created.id, name: created.name, key: Redacted.value(created.key) }
})

const by = (cookie: string, headers: Record<string, string> = ours) => ({ key: null, headers: { ...headers, cookie } })

await onDatabases("Sessions of the dashboard", server, (it) => {
  it.effect("the cookie stands for the key, and holds nothing of it", () =>
    Effect.gen(function* () {
      const { attributes, cookie, session, token } = yield* signIn(adminKey)
      assert.deepInclude(session, { name: "admin", scopes: ["admin"] })
      assert.includeMembers(attributes, ["HttpOnly", "SameSite=Strict", "Path=/"])
      // The server listens on http in this test: over https it is Secure.
      assert.notInclude(attributes, "Secure")
      const proxied = yield* signIn(adminKey, { ...ours, origin: "https://mailfleet.example" })
      assert.include(proxied.attributes, "Secure")
      const { sql, tables: t } = yield* Database
      const rows = yield* sql<{ row: string }>`select s::text as row from ${t.dashboard_sessions} s`
      assert.isNotEmpty(rows)
      assert.isFalse(rows.some(({ row }) => row.includes(token) || row.includes(adminKey)))

      assert.strictEqual((yield* send("/v1/stats", by(cookie))).status, 200)
      const again = yield* taken(SignedIn, 200, "/v1/session", by(cookie))
      assert.isTrue(DateTime.Equivalence(again.expiresAt, session.expiresAt))
    }))

  it.effect("a session may do what its key may", () =>
    Effect.gen(function* () {
      const { key, name } = yield* newKey("accounts:read")
      const { cookie, session } = yield* signIn(key)
      assert.deepInclude(session, { name, scopes: ["accounts:read"] })
      assert.strictEqual((yield* send("/v1/accounts", by(cookie))).status, 200)
      yield* refused(403, "insufficient_scope", "/v1/messages", by(cookie))
      yield* refused(403, "insufficient_scope", "/v1/syncs", { ...by(cookie), json: { all: true } })
    }))

  it.effect("it ends by logging out, with its key, with the admin key, and by time", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const out = yield* signIn(adminKey)
      const answer = yield* send("/v1/session", { ...by(out.cookie), method: "DELETE" })
      assert.strictEqual(answer.status, 204)
      assert.match(answer.headers.get("set-cookie") ?? "", /^mailfleet_session=; Max-Age=0/)
      assert.isNull((yield* send("/v1/session", by(out.cookie))).json)
      yield* refused(401, "unauthorized", "/v1/stats", by(out.cookie))

      const revoked = yield* newKey("accounts:read")
      const ofRevoked = yield* signIn(revoked.key)
      yield* send(`/v1/keys/${revoked.id}`, { method: "DELETE" })
      yield* refused(401, "unauthorized", "/v1/stats", by(ofRevoked.cookie))

      const expired = yield* newKey("accounts:read")
      const ofExpired = yield* signIn(expired.key)
      yield* sql`update ${t.api_keys} set expires_at = now() - interval '1 second' where id = ${expired.id}`
      yield* refused(401, "unauthorized", "/v1/stats", by(ofExpired.cookie))

      const ofAdmin = yield* signIn(adminKey)
      yield* sql`update ${t.dashboard_sessions} set admin_mac = ${new Uint8Array(16)} where key_id is null`
      yield* refused(401, "unauthorized", "/v1/stats", by(ofAdmin.cookie))

      const late = yield* signIn(adminKey)
      yield* sql`update ${t.dashboard_sessions} set expires_at = now() - interval '1 second'`
      yield* refused(401, "unauthorized", "/v1/stats", by(late.cookie))
      yield* refused(401, "unauthorized", "/v1/stats", by("mailfleet_session=x"))
      // The next login clears away what has ended.
      yield* signIn(adminKey)
      assert.lengthOf(yield* sql`select 1 from ${t.dashboard_sessions}`, 1)
    }))

  it.effect("pages of other sites can do nothing with it", () =>
    Effect.gen(function* () {
      const { cookie } = yield* signIn(adminKey)
      const foreign: ReadonlyArray<Record<string, string>> = [
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
        { origin: "https://evil.example" },
        { origin: "null" },
        { "sec-fetch-site": "none" },
        {},
      ]
      for (const headers of foreign) {
        yield* refused(403, "foreign_origin", "/v1/syncs", { ...by(cookie, headers), json: { all: true } })
        yield* refused(403, "foreign_origin", "/v1/session", { ...by(cookie, headers), method: "DELETE" })
        yield* refused(403, "foreign_origin", "/v1/session", { key: null, headers, json: { key: adminKey } })
      }
      yield* refused(403, "foreign_origin", "/v1/accounts", by(cookie, { "sec-fetch-site": "cross-site" }))
      // An old browser, which names the origin only.
      const old = { origin: "http://mailfleet.test", host: "mailfleet.test" }
      assert.strictEqual((yield* send("/v1/session", { ...by(cookie, old), method: "DELETE" })).status, 204)
      // With a key no cookie counts, and no origin.
      const program = { key: adminKey, headers: { cookie: "mailfleet_session=x", "sec-fetch-site": "cross-site" } }
      assert.strictEqual((yield* send("/v1/accounts", program)).status, 200)
    }))

  it.effect("wrong keys answer alike, and cannot be tried without end", () =>
    Effect.gen(function* () {
      const attempt = (key: string) => send("/v1/session", { key: null, headers: ours, json: { key } })
      const first = yield* attempt("x")
      assert.strictEqual(first.status, 401)
      assert.isNull(first.headers.get("set-cookie"))
      assert.strictEqual((yield* attempt(`${adminKey}x`)).text, first.text)
      yield* refused(422, "invalid_body", "/v1/session", { key: null, headers: ours, json: { key: "" } })
      let answer = first
      for (let tries = 0; tries < 25 && answer.status === 401; tries++) answer = yield* attempt("x")
      assert.strictEqual(answer.status, 429)
      assert.strictEqual(JSON.parse(answer.text).code, "too_many_requests")
      assert.isAtLeast(Number(answer.headers.get("retry-after")), 1)
      assert.strictEqual((yield* attempt(adminKey)).status, 429)
      // A guesser shuts out nobody elsewhere, and no program.
      const elsewhere = { key: null, headers: ours, json: { key: adminKey }, from: "192.0.2.7" }
      assert.strictEqual((yield* send("/v1/session", elsewhere)).status, 201)
      assert.strictEqual((yield* send("/v1/stats")).status, 200)
    }))
})
