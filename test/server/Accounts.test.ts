/** Accounts over HTTP, and the access tokens they give. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Redacted, Schema } from "effect"
import { IssuedToken } from "../../src/api/Accounts.ts"
import { Account } from "../../src/domain/Account.ts"
import { newId } from "../../src/domain/Ids.ts"
import type { FailureClass } from "../../src/domain/FailureClass.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, clientId, logged, problemOf, refreshToken, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(Account), nextCursor: Schema.NullOr(Schema.String) })

/** Follows the cursors of a list to its end. */
const all = Effect.fnUntraced(function* (query: string, limit: number) {
  const items: Array<typeof Account.Type> = []
  for (let cursor = "";;) {
    const page = yield* taken(Page, 200, `/v1/accounts?limit=${limit}${query}${cursor}`)
    assert.isAtMost(page.items.length, limit)
    items.push(...page.items)
    if (page.nextCursor === null) return items
    assert.strictEqual(page.items.length, limit)
    cursor = `&cursor=${page.nextCursor}`
  }
})

await onDatabases("Accounts", server, (it) => {
  it.effect("an account is made, shown, changed and deleted", () =>
    Effect.gen(function* () {
      const made = yield* send("/v1/accounts", {
        json: {
          email: "One@Example.com",
          clientId,
          refreshToken: refreshToken("ok"),
          tags: ["b", "a"],
          tenant: "common",
        },
      })
      assert.strictEqual(made.status, 201)
      const path = made.headers.get("location") ?? ""
      const account = yield* taken(Account, 200, path)
      assert.deepStrictEqual(made.json, (yield* send(path)).json)
      assert.strictEqual(account.email, "One@Example.com")
      assert.strictEqual(account.status, "active")
      assert.sameMembers([...account.tags], ["a", "b"])

      const { problem } = yield* refused(409, "duplicate_account", "/v1/accounts", {
        json: { email: "ONE@example.com", clientId, refreshToken: refreshToken("ok") },
      })
      assert.strictEqual(problem.accountId, account.id)

      const patch = (json: unknown) => taken(Account, 200, path, { method: "PATCH", json })
      assert.strictEqual((yield* patch({ status: "disabled" })).status, "disabled")
      assert.deepStrictEqual((yield* patch({ tags: ["c"] })).tags, ["c"])
      assert.strictEqual((yield* patch({ channel: "imap" })).channel, "imap")
      assert.strictEqual((yield* patch({ status: "active", tags: [] })).status, "active")
      for (const json of [{}, { tag: "x" }, { status: "blocked" }, { tags: null }, { email: "x@example.com" }]) {
        yield* refused(422, "invalid_body", path, { method: "PATCH", json })
      }

      const removed = yield* send(path, { method: "DELETE" })
      assert.strictEqual(removed.status, 204)
      assert.strictEqual(removed.text, "")
      yield* refused(404, "not_found", path)
      yield* refused(404, "not_found", path, { method: "DELETE" })
    }))

  it.effect("a dead token becomes an account whose status says why", () =>
    Effect.gen(function* () {
      const { id, status } = yield* addAccount("dead@example.com", "needs_user")
      assert.strictEqual(status, "needs_reauth")
      const account = yield* taken(Account, 200, `/v1/accounts/${id}`)
      assert.isNotEmpty(account.statusReason)
      assert.strictEqual(account.access, "own")
      assert.isTrue(DateTime.isGreaterThanOrEqualTo(account.statusSince, account.createdAt))
      assert.notProperty(account.token, "endsAt")
      // Where its user signs in again: the same each time, in whatever answer.
      assert.match(account.reconnectUrl!, new RegExp(`^http://127\\.0\\.0\\.1:8080/reconnect/${id}\\.[\\w-]{22}$`))
      const listed = yield* taken(Page, 200, "/v1/accounts?status=needs_reauth&limit=500")
      assert.deepStrictEqual(listed.items.find((one) => one.id === id), account)

      const sound = yield* taken(Account, 200, `/v1/accounts/${(yield* addAccount("sound@example.com")).id}`)
      assert.notProperty(sound, "reconnectUrl")
      assert.isTrue(DateTime.isGreaterThan(sound.token.endsAt!, DateTime.addDuration(yield* DateTime.now, "89 days")))
      const off = yield* taken(Account, 200, `/v1/accounts/${id}`, { method: "PATCH", json: { status: "disabled" } })
      assert.notProperty(off, "reconnectUrl")
      assert.isTrue(DateTime.isGreaterThan(off.statusSince, account.statusSince))
    }))

  it.effect("accounts are found by when their refresh token ends", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { id } = yield* addAccount("ending@ends.example")
      yield* addAccount("living@ends.example")
      yield* addAccount("dead@ends.example", "needs_user")
      yield* sql`update ${t.grants} set refreshed_at = now() - interval '85 days', created_at = now() - interval '1 year'
        where id = (select grant_id from ${t.accounts} where id = ${id})`
      const day = 86_400_000
      const found = (days: number) =>
        Effect.map(
          all(`&search=ends.example&endsBefore=${new Date(Date.now() + days * day).toISOString()}`, 1),
          (items) => items.map(({ email }) => email),
        )
      assert.deepStrictEqual(yield* found(4), [])
      assert.deepStrictEqual(yield* found(6), ["ending@ends.example"])
      assert.deepStrictEqual(yield* found(100), ["ending@ends.example", "living@ends.example"])
      for (const time of ["tomorrow", "-000100-01-01T00:00:00Z", "+020000-01-01T00:00:00Z"]) {
        yield* refused(400, "invalid_request", `/v1/accounts?endsBefore=${encodeURIComponent(time)}`)
      }
    }))

  it.effect("the pages of a list hold every account once", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 57 }, (_, index) => `page-${String(index).padStart(3, "0")}@pages.example`)
      yield* Effect.forEach(names, (name) => addAccount(name), { concurrency: 4 })
      for (const limit of [1, 7, 56, 57, 58, 500]) {
        const found = yield* all("&search=PAGES.example", limit)
        assert.deepStrictEqual(found.map(({ email }) => email).sort(), names)
        const ids = found.map(({ id }) => id)
        assert.deepStrictEqual(ids, [...ids].sort())
      }
      const first = yield* taken(Page, 200, "/v1/accounts")
      assert.strictEqual(first.items.length, 50)
    }))

  it.effect("filters", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount("filter_100%@filters.example")
      yield* addAccount("filterX100Y@filters.example", "needs_user")
      yield* send(`/v1/accounts/${id}`, { method: "PATCH", json: { tags: ["blue"] } })
      const found = (query: string) => Effect.map(all(`&search=filters.example${query}`, 10), (items) => items.length)
      assert.strictEqual(yield* found(""), 2)
      assert.strictEqual(yield* found("&status=needs_reauth"), 1)
      assert.strictEqual(yield* found("&status=active&tag=blue"), 1)
      assert.strictEqual(yield* found("&tag=red"), 0)
      assert.strictEqual(yield* found("&provider=google"), 0)
      assert.strictEqual((yield* all("&search=filter_100%25", 10)).length, 1)
    }))

  it.effect("access tokens are handed out, and kept out of caches", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount("token@example.com")
      const path = `/v1/accounts/${id}/access-token`
      const answer = yield* send(path, { secret: true })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.headers.get("cache-control"), "no-store")
      const token = Schema.decodeUnknownSync(Schema.toCodecJson(IssuedToken))(answer.json)
      assert.strictEqual(token.resource, "graph")
      assert.include(Redacted.value(token.accessToken), "access")
      assert.isTrue(DateTime.isGreaterThan(token.expiresAt, yield* DateTime.now))
      const imap = yield* send(`${path}?resource=outlook-imap&minValidity=5%20minutes`, { secret: true })
      assert.strictEqual(Schema.decodeUnknownSync(Schema.toCodecJson(IssuedToken))(imap.json).resource, "outlook-imap")

      yield* send(`/v1/accounts/${id}`, { method: "PATCH", json: { status: "disabled" } })
      yield* refused(409, "account_disabled", path)
    }))

  it.effect("each class of failure has its own answer", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const cases: ReadonlyArray<readonly [FailureClass, number, string, boolean]> = [
        ["needs_user", 409, "needs_reauth", false],
        ["blocked", 409, "account_blocked", false],
        ["scope", 409, "consent_required", false],
        ["throttled", 503, "throttled", true],
        ["transient", 503, "provider_unavailable", true],
        ["ambiguous", 503, "grant_doubtful", true],
        ["unknown", 503, "provider_answer_unknown", true],
        ["app", 503, "app_misconfigured", false],
      ]
      for (const [failureClass, status, code, waits] of cases) {
        const { id } = yield* addAccount(`${failureClass}@classes.example`, failureClass, newId())
        const { answer, problem } = yield* refused(status, code, `/v1/accounts/${id}/access-token`)
        assert.isNotEmpty(problem.detail)
        const retryAfter = answer.headers.get("retry-after")
        if (waits) assert.isAtLeast(Number(retryAfter), 1, `${code} ${retryAfter}`)
        else if (failureClass !== "app") assert.isNull(retryAfter)
      }
      // What is still valid is served while refreshing fails.
      const { id } = yield* addAccount("still@classes.example")
      yield* sql`update ${t.grants} set lease_until = null where id = (select grant_id from ${t.accounts} where id = ${id})`
      assert.strictEqual((yield* send(`/v1/accounts/${id}/access-token`, { secret: true })).status, 200)
    }))

  it.effect("nothing that was logged holds a secret", () =>
    Effect.gen(function* () {
      assert.strictEqual(problemOf(yield* send("/v1/accounts", { json: { email: "CANARY" } })).code, "invalid_body")
      const lines = yield* logged
      assert.isNotEmpty(lines)
      assert.deepStrictEqual(lines.filter((line) => line.includes("CANARY")), [])
    }))
})
