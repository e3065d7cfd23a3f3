import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { email, json, provider } from "./provider.ts"

describe("control over HTTP", () => {
  it.live("hands out import files in three forms", () =>
    Effect.gen(function* () {
      const { control, redeem, simulator } = yield* provider({ accounts: 2500, apps: 2 })
      yield* Effect.promise(() => redeem(email(2)))
      const csv = (yield* Effect.promise(() => control("GET", "import"))).text.trimEnd().split("\n")
      assert.strictEqual(csv.length, 2501)
      assert.strictEqual(csv[0], "email,client_id,refresh_token")
      const { clientId, refreshToken } = simulator.account(email(2))
      assert.strictEqual(csv[2], `${email(2)},${clientId},${refreshToken}`)
      const lines = (yield* Effect.promise(() => control("GET", "import?format=lines&from=1&count=1"))).text
      assert.deepStrictEqual(lines.trimEnd().split("----").toSpliced(1, 1), [email(2), clientId, refreshToken])
      assert.deepStrictEqual([...simulator.importLines({ format: "ndjson", from: 2499 })].length, 1)
    }))

  it.live("reaches accounts, mailboxes, counters and options", () =>
    Effect.gen(function* () {
      const { control, redeem, simulator } = yield* provider({ accounts: 3 })
      const at = (method: string, path: string, body?: unknown) => Effect.promise(() => control(method, path, body))
      const one = email(1)
      assert.strictEqual((yield* at("POST", `accounts/${one}/lock`, { code: 50057 })).status, 204)
      assert.strictEqual((yield* Effect.promise(() => redeem(one))).status, 400)
      yield* at("DELETE", `accounts/${one}/lock`)
      assert.strictEqual((yield* Effect.promise(() => redeem(one))).status, 200)
      const Delivered = Schema.Array(
        Schema.Struct({ id: Schema.String, folderId: Schema.String, isRead: Schema.Boolean }),
      )
      const [message] = json(Delivered, yield* at("POST", `mailboxes/${one}/messages`, { subject: "Hello", count: 2 }))
      yield* at("PATCH", `mailboxes/${one}/messages/${message?.id}`, { isRead: true })
      const Folder = Schema.Struct({ id: Schema.String })
      const folder = json(
        Folder,
        yield* at("POST", `mailboxes/${one}/folders`, { displayName: "New", parent: "inbox" }),
      )
      yield* at("POST", `mailboxes/${one}/messages/${message?.id}/move`, { folder: folder.id })
      const found = simulator.mailbox(one).messages.find(({ id }) => id === message?.id)
      assert.deepStrictEqual([found?.folderId, found?.isRead, found?.subject], [folder.id, true, "Hello"])
      yield* at("DELETE", `mailboxes/${one}/messages/${message?.id}`)
      assert.isUndefined(simulator.mailbox(one).messages.find(({ id }) => id === message?.id))

      const Counters = Schema.Struct({ token: Schema.Struct({ requests: Schema.Number, statuses: Schema.Unknown }) })
      assert.deepStrictEqual(json(Counters, yield* at("GET", "counters")).token, {
        requests: 2,
        statuses: { 200: 1, 400: 1 },
      })
      yield* at("POST", "counters/reset")
      assert.strictEqual(simulator.counters().token.requests, 0)
      yield* at("PATCH", "options", { latency: "20 millis", tokenConcurrencyLimit: null })
      const start = performance.now()
      yield* Effect.promise(() => redeem(one))
      assert.isTrue(performance.now() - start >= 19)

      assert.strictEqual((yield* at("POST", "accounts/nobody@sim.example/revoke", { code: 50173 })).status, 404)
      assert.strictEqual((yield* at("POST", `accounts/${one}/lock`, { code: "x" })).status, 422)
      assert.strictEqual((yield* at("GET", "nothing")).status, 404)
    }))
})
