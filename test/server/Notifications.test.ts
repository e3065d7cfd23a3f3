import { assert } from "@effect/vitest"
import { DateTime, Effect, Redacted } from "effect"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Subscriptions } from "../../src/storage/mail/Subscriptions.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, refused, send, server } from "./stack.ts"

const path = "/v1/notifications/graph"

const post = (body: unknown, query = "") => send(`${path}${query}`, { key: null, json: body })

const waiting = Effect.flatMap(
  Database,
  ({ sql, tables: t }) => Effect.map(orDie(sql`select 1 from ${t.notifications}`), (rows) => rows.length),
)

/** Microsoft's notifications of an outcome that this process has counted, in whatever test. */
const counted = Effect.map(send("/metrics"), ({ text }) => (outcome: string): number => {
  const line = new RegExp(`^mailfleet_notifications_total\\{provider="microsoft",outcome="${outcome}"\\} (\\d+)$`, "m")
  return Number(line.exec(text)?.[1] ?? 0)
})

await onDatabases("Notifications over HTTP", server, (it) => {
  it.effect("the handshake is answered with the token as it was meant, and nothing else", () =>
    Effect.gen(function* () {
      const token = "Validation: <b>&ü+%> 1"
      const answer = yield* send(`${path}?validationToken=${encodeURIComponent(token)}`, {
        key: null,
        method: "POST",
        headers: { "content-type": "text/plain; charset=utf-8" },
      })
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.text, token)
      assert.match(answer.headers.get("content-type") ?? "", /^text\/plain/)
      assert.strictEqual(answer.headers.get("x-content-type-options"), "nosniff")
    }))

  it.effect("true ones are stored, all others are answered alike and left aside", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount("push@example.com")
      const subscriptions = yield* Subscriptions
      yield* subscriptions.enroll("microsoft")
      yield* subscriptions.begin(id, {
        clientState: Redacted.make("CANARY-client-state"),
        resource: "/me/messages",
        notificationUrl: "https://here.example",
      })
      yield* subscriptions.made(id, {
        id: "5b5c",
        expiresAt: DateTime.makeUnsafe("2036-01-01T00:00:00Z"),
        dueInMillis: 1_000_000,
      })
      const { sql, tables: t } = yield* Database
      yield* orDie(sql`delete from ${t.notifications}`)
      const before = yield* counted
      const forged = [
        { subscriptionId: "5b5c", clientState: "CANARY-another" },
        { subscriptionId: "5b5c" },
        { subscriptionId: "unknown", clientState: "CANARY-client-state" },
        { subscriptionId: "no\0thing\ud800", clientState: "CANARY-client-state" },
      ]
      for (const one of forged) {
        const answer = yield* post({ value: [one] })
        assert.deepStrictEqual([answer.status, answer.text], [202, ""])
      }
      assert.strictEqual((yield* post({ value: [] })).status, 202)
      assert.strictEqual(yield* waiting, 0)
      const value = [{
        subscriptionId: "5b5c",
        clientState: "CANARY-client-state",
        changeType: "created",
        tenantId: "t",
      }]
      assert.strictEqual((yield* post({ value: [...forged, ...value, ...value] })).status, 202)
      assert.strictEqual((yield* post({ value })).status, 202)
      assert.strictEqual(yield* waiting, 1)
      const after = yield* counted
      const grown = (outcome: string) => after(outcome) - before(outcome)
      assert.deepStrictEqual(["accepted", "forged", "unknown"].map(grown), [3, 4, 4])
      const metrics = (yield* send("/metrics")).text
      assert.match(metrics, /^mailfleet_subscriptions\{state="active"\} 1$/m)
      assert.match(metrics, /^mailfleet_notifications_waiting 1$/m)
    }))

  it.effect("what is no notification is refused", () =>
    Effect.gen(function* () {
      for (
        const body of [
          "",
          "{",
          "[]",
          '{"value":1}',
          '{"value":[{"clientState":"x"}]}',
          '{"value":[{"subscriptionId":1}]}',
        ]
      ) {
        yield* refused(400, "invalid_request", path, {
          key: null,
          method: "POST",
          body,
          headers: { "content-type": "application/json" },
        })
      }
      yield* refused(413, "body_too_large", path, { key: null, json: { value: [], more: "x".repeat(1_100_000) } })
      yield* refused(405, "method_not_allowed", path, { key: null })
    }))

  it.effect("those of Gmail are taken with the token that was set, and for addresses that there are", () =>
    Effect.gen(function* () {
      const gmail = "/v1/notifications/gmail"
      const { sql, tables: t } = yield* Database
      const { id } = yield* addAccount("ada@gmail.example")
      yield* orDie(sql`update ${t.accounts} set provider = 'google' where id = ${id}`)
      yield* orDie(sql`delete from ${t.notifications}`)
      const message = (emailAddress: string, historyId: string | number) => ({
        message: {
          data: btoa(JSON.stringify({ emailAddress, historyId })).replaceAll("=", ""),
          messageId: "1",
          publishTime: "2026-01-01T00:00:00Z",
        },
        subscription: "projects/p/subscriptions/s",
      })
      yield* refused(401, "unauthorized", `${gmail}?token=wrong`, {
        key: null,
        json: message("ada@gmail.example", "1"),
      })
      yield* refused(401, "unauthorized", gmail, { key: null, json: message("ada@gmail.example", "1") })
      assert.strictEqual(yield* waiting, 0)
      const right = `${gmail}?token=CANARY-push-token`
      for (
        const [email, historyId] of [["nobody@gmail.example", "1"], ["ada@gmail.example", "9876543210"], [
          "ada@gmail.example",
          7,
        ]] as const
      ) {
        assert.strictEqual((yield* send(right, { key: null, json: message(email, historyId) })).status, 202)
      }
      assert.strictEqual(yield* waiting, 1)
      for (const data of ["", "!!!", btoa("{}"), btoa("no")]) {
        yield* refused(400, "invalid_request", right, { key: null, json: { message: { data } } })
      }
    }))
})
