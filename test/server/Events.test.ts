/** What operators are told, over HTTP. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { Event } from "../../src/domain/Event.ts"
import { newId } from "../../src/domain/Ids.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { addAccount, logged, refused, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(Event), nextCursor: Schema.NullOr(Schema.String) })

await onDatabases("Events", server, (it) => {
  it.effect("an app that the provider refuses is told once, and its accounts stay as they are", () =>
    Effect.gen(function* () {
      const app = newId()
      const accounts = yield* Effect.forEach(
        ["a", "b", "c"],
        (name) => addAccount(`${name}@${app}.example`, "app", app),
      )
      assert.deepStrictEqual(accounts.map(({ status }) => status), ["pending", "pending", "pending"])
      const told = eventually(
        "the event is stored",
        taken(Page, 200, "/v1/events?kind=app.faulted&limit=500"),
        ({ items }) => items.some(({ subject }) => subject.includes(app)),
      )
      const events = (yield* told).items.filter(({ subject }) => subject.includes(app))
      assert.strictEqual(events.length, 1)
      assert.deepInclude({ ...events[0]! }, { kind: "app.faulted", subject: `microsoft:${app}`, code: "AADSTS0" })
      assert.include(events[0]!.message, "the provider said app")
      const lines = (yield* logged).filter((line) => line.includes("level=ERROR") && line.includes(app))
      assert.strictEqual(lines.length, 1)

      const { answer, problem } = yield* refused(
        503,
        "app_misconfigured",
        `/v1/accounts/${accounts[0]!.id}/access-token`,
      )
      assert.include(problem.detail, "tried again")
      const wait = Number(answer.headers.get("retry-after"))
      assert.isTrue(wait >= 1 && wait <= 30, String(wait))

      assert.deepStrictEqual((yield* taken(Page, 200, "/v1/events?kind=reauth.spike")).items, [])
      yield* refused(400, "invalid_request", "/v1/events?kind=app")
      yield* refused(400, "invalid_request", "/v1/events?subject=%00")
      yield* refused(400, "invalid_cursor", "/v1/events?cursor=x")
    }))

  it.effect("an account that must be signed in again is told with its link, which no log holds", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount("told@example.com", "needs_user")
      const { items } = yield* taken(Page, 200, `/v1/events?subject=${id}`)
      assert.lengthOf(items, 1)
      const { at: _at, id: _id, ...event } = items[0]!
      const { reconnectUrl = "" } = yield* taken(Account, 200, `/v1/accounts/${id}`)
      assert.deepStrictEqual(event, {
        kind: "account.needs_reauth",
        subject: id,
        code: "AADSTS0",
        message: "told@example.com must be signed in again: the provider said needs_user",
        reconnectUrl,
      })
      const end = reconnectUrl.split("/").at(-1)!
      assert.deepStrictEqual((yield* logged).filter((line) => line.includes(end)), [])
    }))
})
