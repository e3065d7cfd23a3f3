/** Refresh policies over HTTP. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { newId } from "../../src/domain/Ids.ts"
import { TagPolicy } from "../../src/domain/TagPolicy.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(TagPolicy), nextCursor: Schema.NullOr(Schema.String) })

const put = (tag: string, json: unknown = { policy: "warm" }) => ({
  path: `/v1/tag-policies/${encodeURIComponent(tag)}`,
  call: { method: "PUT", json },
})

await onDatabases("Policies", server, (it) => {
  it.effect("an account shows its policy and the one that is followed", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount(`${newId()}@policies.example`)
      const path = `/v1/accounts/${id}`
      const patch = (json: unknown) => taken(Account, 200, path, { method: "PATCH", json })
      const before = yield* taken(Account, 200, path)
      assert.notProperty(before, "refreshPolicy")
      assert.strictEqual(before.token.policy, "keep-alive")
      const own = yield* patch({ refreshPolicy: "warm" })
      assert.strictEqual(own.refreshPolicy, "warm")
      assert.strictEqual(own.token.policy, "warm")
      assert.isBelow(
        own.token.nextRefreshAt?.epochMilliseconds ?? Infinity,
        before.token.nextRefreshAt?.epochMilliseconds ?? 0,
      )
      assert.notProperty(yield* patch({ refreshPolicy: null }), "refreshPolicy")
      for (const refreshPolicy of ["hot", "", 1, ["warm"]]) {
        const { problem } = yield* refused(422, "invalid_body", path, { method: "PATCH", json: { refreshPolicy } })
        assert.strictEqual(problem.issues?.[0]?.field, "refreshPolicy")
      }
    }))

  it.effect("the policy of a tag is set, listed and taken away", () =>
    Effect.gen(function* () {
      // What a path may hold that means something else in one.
      const tag = `${newId()} 50%/ß ?#`
      const { id } = yield* addAccount(`${newId()}@policies.example`)
      yield* send(`/v1/accounts/${id}`, { method: "PATCH", json: { tags: [tag] } })
      const policyOf = Effect.map(taken(Account, 200, `/v1/accounts/${id}`), ({ token }) => token.policy)
      const { path, call } = put(tag)
      assert.deepInclude(yield* taken(TagPolicy, 200, path, call), { tag, policy: "warm" })
      assert.strictEqual(yield* policyOf, "warm")
      const { items } = yield* taken(Page, 200, "/v1/tag-policies?limit=500")
      assert.strictEqual(items.find((policy) => policy.tag === tag)?.policy, "warm")
      assert.strictEqual(
        (yield* taken(TagPolicy, 200, path, put(tag, { policy: "keep-alive" }).call)).policy,
        "keep-alive",
      )
      assert.strictEqual(yield* policyOf, "keep-alive")
      const removed = yield* send(path, { method: "DELETE" })
      assert.strictEqual(removed.status, 204)
      yield* refused(404, "not_found", path, { method: "DELETE" })
    }))

  it.effect("what cannot be taken is said clearly", () =>
    Effect.gen(function* () {
      for (const json of [{ policy: "hot" }, { policy: null }, {}, { policy: "warm", more: 1 }, null, []]) {
        const { path, call } = put("tag", json)
        yield* refused(422, "invalid_body", path, call)
      }
      const { problem: unknown } = yield* refused(422, "invalid_body", "/v1/tag-policies/x", {
        method: "PUT",
        json: { policy: "hot" },
      })
      assert.deepStrictEqual(unknown.issues?.map(({ field, in: slot }) => `${slot} ${field}`), ["body policy"])
      assert.include(unknown.issues?.[0]?.message, "keep-alive")
      for (const tag of [" ", " a", "a,b", "a;b", "a|b", "\0", "x".repeat(65), "x".repeat(5_000)]) {
        const { path, call } = put(tag)
        for (const method of ["PUT", "DELETE"]) {
          const { problem } = yield* refused(400, "invalid_request", path, {
            ...call,
            method,
            ...(method === "DELETE" ? { json: undefined } : {}),
          })
          assert.deepStrictEqual(problem.issues?.map(({ field, in: slot }) => `${slot} ${field}`), ["path tag"])
          assert.include(problem.detail, "a tag of 1 to 64 characters")
        }
      }
      yield* refused(405, "method_not_allowed", "/v1/tag-policies/", { method: "PUT", json: { policy: "warm" } })
      yield* refused(405, "method_not_allowed", "/v1/tag-policies", { method: "PUT", json: { policy: "warm" } })
      yield* refused(405, "method_not_allowed", "/v1/tag-policies/x")
      yield* refused(400, "invalid_cursor", "/v1/tag-policies?cursor=x")
      yield* refused(400, "invalid_request", "/v1/tag-policies?limit=501")
    }))
})
