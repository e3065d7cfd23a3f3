/** The audit log over HTTP. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AuditEntry } from "../../src/domain/AuditEntry.ts"
import { newId } from "../../src/domain/Ids.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(AuditEntry), nextCursor: Schema.NullOr(Schema.String) })

await onDatabases("Audit", server, (it) => {
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
      assert.deepStrictEqual(items.map(({ outcome, resource }) => [resource, outcome]), [
        ["graph", "account_disabled"],
        ["outlook-imap", "issued"],
        ["graph", "issued"],
      ])
      for (const entry of items) {
        assert.deepInclude({ ...entry }, { actor: "admin", action: "access_token", accountId: id })
      }

      const dead = yield* addAccount("dead@audited.example", "needs_user", newId())
      const { answer } = yield* refused(409, "needs_reauth", `/v1/accounts/${dead.id}/access-token`)
      assert.deepInclude(answer.json, { traceId: "00000000-0000-0000-0000-000000000000" })
      const page = yield* taken(Page, 200, "/v1/audit?limit=1")
      assert.deepInclude({ ...page.items[0]! }, { accountId: dead.id, outcome: "needs_reauth" })
      assert.strictEqual((yield* taken(Page, 200, `/v1/audit?cursor=${page.nextCursor}`)).items[0]!.accountId, id)

      assert.deepStrictEqual((yield* taken(Page, 200, "/v1/audit?accountId=nobody")).items, [])
      yield* refused(400, "invalid_cursor", "/v1/audit?cursor=x")
    }))
})
