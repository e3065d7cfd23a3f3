/** The audit log over HTTP. */
import { assert } from "@effect/vitest"
import { Effect, Redacted, Schema, Stream } from "effect"
import { AuditChainPage } from "../../src/api/Audit.ts"
import { verifyChain } from "../../src/domain/AuditChain.ts"
import { AuditEntry } from "../../src/domain/AuditEntry.ts"
import { newId } from "../../src/domain/Ids.ts"
import { ApiKeys } from "../../src/storage/ApiKeys.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, adminKey, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(AuditEntry), nextCursor: Schema.NullOr(Schema.String) })

await onDatabases("Audit", server, (it) => {
  const newest = (count: number) =>
    Effect.map(taken(Page, 200, `/v1/audit?limit=${count}`), ({ items }) => items.toReversed())

  it.effect("names who was given which access token, and who was not", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount("audited@example.com")
      const path = `/v1/accounts/${id}/access-token`
      yield* send(path, { secret: true })
      yield* send(`${path}?resource=outlook-imap`, { secret: true })
      yield* refused(400, "invalid_request", `${path}?resource=gmail`)
      yield* send(`/v1/accounts/${id}`, { method: "PATCH", json: { status: "disabled" } })
      yield* refused(409, "account_disabled", path)
      yield* send(`/v1/accounts/${id}`, { method: "DELETE" })
      yield* refused(404, "not_found", path)

      const { items, nextCursor } = yield* taken(Page, 200, `/v1/audit?accountId=${id}`)
      assert.isNull(nextCursor)
      assert.deepStrictEqual(items.map(({ action, outcome, resource }) => [action, resource, outcome]), [
        ["accounts.remove", undefined, "ok"],
        ["access_token", "graph", "account_disabled"],
        ["accounts.update", undefined, "ok"],
        ["access_token", "outlook-imap", "issued"],
        ["access_token", "graph", "issued"],
        ["accounts.create", undefined, "ok"],
      ])
      for (const entry of items) assert.deepInclude({ ...entry }, { actor: "admin", accountId: id })

      const dead = yield* addAccount("dead@audited.example", "needs_user", newId())
      const { answer } = yield* refused(409, "needs_reauth", `/v1/accounts/${dead.id}/access-token`)
      assert.deepInclude(answer.json, { traceId: "00000000-0000-0000-0000-000000000000" })
      const page = yield* taken(Page, 200, "/v1/audit?limit=1")
      assert.deepInclude({ ...page.items[0]! }, { accountId: dead.id, outcome: "needs_reauth" })
      assert.strictEqual(
        (yield* taken(Page, 200, `/v1/audit?cursor=${page.nextCursor}&limit=1`)).items[0]!.accountId,
        dead.id,
      )

      assert.deepStrictEqual((yield* taken(Page, 200, "/v1/audit?accountId=nobody")).items, [])
      yield* refused(400, "invalid_cursor", "/v1/audit?cursor=x")
    }))

  it.effect("every call that changes something, or shows mail, leaves an entry; one that does neither leaves none", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { id } = yield* addAccount("reader@example.com")
      const messageId = newId()
      yield* sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients,
          cc_recipients, bcc_recipients, reply_to, is_read, is_draft, is_flagged, importance, categories, has_attachments, preview)
        values (${id}, ${messageId}, 'remote', ${newId()}, 1, 'a letter', '[]', '[]', '[]', '[]', true, false, false,
          'normal', '{}', false, '')`
      yield* send(`/v1/messages/${messageId}`, { secret: true })
      yield* send(`/v1/messages?q=CANARY&from=boss@example.com&limit=3`, { secret: true })
      yield* send(`/v1/accounts/${id}/messages?folder=inbox`)
      yield* send(`/v1/accounts/${id}/messages?CANARY-name=1`)
      for (const path of ["/v1/accounts", `/v1/accounts/${id}`, "/v1/changes", "/v1/runs", "/v1/audit", "/v1/keys"]) {
        yield* send(path)
      }
      yield* refused(404, "not_found", `/v1/messages/${newId()}`)
      yield* refused(404, "not_found", `/v1/messages/CANARY-no-id`)
      const entries = (yield* newest(6)).map((entry) => [
        entry.action,
        entry.accountId,
        entry.objectId === messageId ? "it" : entry.objectId === undefined ? undefined : "another",
        entry.detail,
        entry.outcome,
      ])
      assert.deepStrictEqual(entries, [
        ["mail.message", id, "it", undefined, "ok"],
        ["mail.messages", undefined, undefined, "from,q", "ok"],
        ["mail.accountMessages", id, undefined, "folder", "ok"],
        ["mail.accountMessages", id, undefined, undefined, "ok"],
        ["mail.message", undefined, "another", undefined, "not_found"],
        ["mail.message", undefined, undefined, undefined, "not_found"],
      ])

      const run = yield* send("/v1/refreshes", { json: { all: true } })
      yield* send("/v1/tag-policies/vip", { method: "PUT", json: { policy: "warm" } })
      yield* refused(422, "invalid_body", "/v1/keys", { json: { name: "x" } })
      const [started, policy, malformed] = yield* newest(3)
      assert.deepInclude({ ...started! }, { action: "work.refresh" })
      assert.strictEqual(`/v1/runs/${started!.objectId}`, run.headers.get("location"))
      assert.deepInclude({ ...policy! }, { action: "policies.set", detail: "vip", outcome: "ok" })
      assert.deepInclude({ ...malformed! }, { action: "keys.create", outcome: "invalid_body" })
    }))

  it.effect("says who it was: a key, a browser, or one that may not", () =>
    Effect.gen(function* () {
      const { secret } = yield* (yield* ApiKeys).create({ name: "reporting", scopes: ["accounts:read"] })
      const session = yield* send("/v1/session", {
        json: { key: adminKey },
        headers: { "sec-fetch-site": "same-origin" },
      })
      const cookie = session.headers.get("set-cookie")!.split(";")[0]!
      const byBrowser = { key: null, headers: { cookie, "sec-fetch-site": "same-origin" } }
      yield* send("/v1/messages", byBrowser)
      yield* refused(403, "insufficient_scope", "/v1/messages", { key: Redacted.value(secret) })
      yield* send("/v1/session", { method: "DELETE", ...byBrowser })
      assert.deepStrictEqual((yield* newest(4)).map(({ action, actor, outcome }) => [actor, action, outcome]), [
        ["dashboard:admin", "session.create", "ok"],
        ["dashboard:admin", "mail.messages", "ok"],
        ["reporting", "mail.messages", "insufficient_scope"],
        ["dashboard:admin", "session.remove", "ok"],
      ])
    }))

  it.effect("is read as a chain that verifies", () =>
    Effect.gen(function* () {
      const first = yield* taken(AuditChainPage, 200, "/v1/audit/chain?limit=2")
      const second = yield* taken(AuditChainPage, 200, `/v1/audit/chain?limit=2&cursor=${first.nextCursor}`)
      const { entries, fault } = yield* verifyChain(first.anchor, Stream.make(...first.items, ...second.items))
      assert.deepStrictEqual([entries, fault], [4, null])
    }))
})
