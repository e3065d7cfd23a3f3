/** Webhooks over HTTP: made, changed, tested, replayed; and what is refused. */
import { assert } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import { WebhookWithSecret } from "../../src/api/Webhooks.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Run } from "../../src/domain/Run.ts"
import { DeliveryOutcome, Webhook, WebhookDelivery } from "../../src/domain/Webhook.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { addAccount, logged, refused, send, server, taken } from "./stack.ts"

const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

const url = "https://93.184.216.34/hooks?token=x"

const make = (more: Record<string, unknown> = {}) =>
  taken(WebhookWithSecret, 201, "/v1/webhooks", { json: { url, ...more } })

const patch = (id: string, json: unknown) => taken(Webhook, 200, `/v1/webhooks/${id}`, { method: "PATCH", json })

await onDatabases("Webhooks over HTTP", server, (it) => {
  it.effect("a webhook is made, shown without its secret, changed and deleted", () =>
    Effect.gen(function* () {
      const answer = yield* send("/v1/webhooks", {
        json: { url, description: "ours", events: ["message.created", "run.finished"], tags: ["vip"] },
      })
      assert.strictEqual(answer.status, 201)
      const made = Schema.decodeUnknownSync(Schema.toCodecJson(WebhookWithSecret))(answer.json)
      const secret = Redacted.value(made.secret)
      assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
      assert.strictEqual(answer.headers.get("location"), `/v1/webhooks/${made.id}`)
      const { secret: _, ...shown } = made
      assert.deepInclude(shown, {
        url,
        description: "ours",
        events: ["message.created", "run.finished"],
        origins: ["live"],
        tags: ["vip"],
        enabled: true,
        waiting: 0,
        failures: 0,
        previousSecretUntil: null,
      })
      assert.deepStrictEqual(yield* taken(Webhook, 200, `/v1/webhooks/${made.id}`), shown)
      assert.notInclude((yield* send("/v1/webhooks?limit=500")).text, secret)
      assert.isFalse((yield* logged).some((line) => line.includes(secret)))

      const changed = yield* patch(made.id, { enabled: false, events: null, tags: null, origins: ["backfill", "live"] })
      assert.deepInclude({ ...changed }, {
        enabled: false,
        events: null,
        tags: null,
        origins: ["backfill", "live"],
        url,
      })
      const rotated = yield* taken(WebhookWithSecret, 200, `/v1/webhooks/${made.id}/rotate-secret`, { method: "POST" })
      assert.notStrictEqual(Redacted.value(rotated.secret), secret)
      assert.isNotNull(rotated.previousSecretUntil)
      const { items } = yield* taken(pageOf(Webhook), 200, "/v1/webhooks?limit=500")
      assert.include(items.map(({ id }) => id), made.id)
      assert.strictEqual((yield* send(`/v1/webhooks/${made.id}`, { method: "DELETE" })).status, 204)
      yield* refused(404, "not_found", `/v1/webhooks/${made.id}`)
    }))

  it.effect("what is no webhook is refused by field", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [Record<string, unknown>, string]> = [
        [{ url: "nowhere" }, "url"],
        [{ url: "ftp://example.com" }, "url"],
        [{ url: "https://user:pass@example.com/" }, "url"],
        [{ url: "http://127.0.0.1/" }, "url"],
        [{ url: "http://2130706433/" }, "url"],
        [{ url: "http://[::ffff:169.254.169.254]/" }, "url"],
        [{ url: "http://localhost:5432/" }, "url"],
        [{ events: [] }, "events"],
        [{ events: ["message.read"] }, "events.0"],
        [{ origins: [] }, "origins"],
        [{ origins: ["dead"] }, "origins.0"],
        [{ tags: [] }, "tags"],
        [{ tags: ["a,b"] }, "tags.0"],
        [{ description: "x".repeat(201) }, "description"],
        [{ enabled: "yes" }, "enabled"],
        [{ secret: "whsec_mine" }, "secret"],
      ]
      for (const [json, field] of wrong) {
        const { problem } = yield* refused(422, "invalid_body", "/v1/webhooks", { json: { url, ...json } })
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], JSON.stringify(json))
      }
      const { id } = yield* make()
      yield* refused(422, "invalid_body", `/v1/webhooks/${id}`, { method: "PATCH", json: { url: "http://10.0.0.1/" } })
      yield* refused(422, "invalid_body", `/v1/webhooks/${id}`, { method: "PATCH", json: {} })
      const { problem } = yield* refused(422, "invalid_body", `/v1/webhooks/${id}/replay`, { json: { after: "x" } })
      assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), ["after"])
      yield* refused(400, "invalid_cursor", `/v1/webhooks/${id}/deliveries?cursor=x`)
      yield* refused(400, "invalid_request", `/v1/webhooks/${id}/deliveries?state=lost`)
      for (const none of [newId(), "x"]) {
        yield* refused(404, "not_found", `/v1/webhooks/${none}`)
        yield* refused(404, "not_found", `/v1/webhooks/${none}`, { method: "PATCH", json: { enabled: true } })
        yield* refused(404, "not_found", `/v1/webhooks/${none}`, { method: "DELETE" })
        yield* refused(404, "not_found", `/v1/webhooks/${none}/test`, { method: "POST" })
        yield* refused(404, "not_found", `/v1/webhooks/${none}/rotate-secret`, { method: "POST" })
        yield* refused(404, "not_found", `/v1/webhooks/${none}/deliveries`)
        const after = "0001-0000000000000000000"
        yield* refused(404, "not_found", `/v1/webhooks/${none}/replay`, { json: { after } })
      }
    }))

  it.effect("a test says that a target came to be forbidden", () =>
    Effect.gen(function* () {
      // A name that does not resolve is taken: it may do so later, and is looked at then.
      const { id } = yield* make({ url: "https://nowhere.invalid/", enabled: false })
      const outcome = yield* taken(DeliveryOutcome, 200, `/v1/webhooks/${id}/test`, { method: "POST" })
      assert.deepInclude({ ...outcome }, {
        delivered: false,
        status: null,
        error: "the name nowhere.invalid has no address",
      })
    }))

  it.effect("a position can be replayed, and deliveries are listed", () =>
    Effect.gen(function* () {
      const { id, position } = yield* make()
      const replayed = yield* taken(Webhook, 200, `/v1/webhooks/${id}/replay`, {
        json: { after: "0001-0000000000000000000" },
      })
      assert.isTrue(replayed.position <= position)
      const { items } = yield* taken(pageOf(WebhookDelivery), 200, `/v1/webhooks/${id}/deliveries`)
      assert.deepStrictEqual(items, [])
    }))

  it.effect("a run that has ended is told once", () =>
    Effect.gen(function* () {
      const { id } = yield* addAccount(`${newId()}@hooks.example`)
      const run = yield* taken(Run, 202, "/v1/refreshes", { json: { accountIds: [id] } })
      const told = pageOf(Schema.Struct({
        id: Schema.String,
        at: Schema.String,
        kind: Schema.Literal("run.finished"),
        subject: Schema.String,
        code: Schema.String,
        message: Schema.String,
      }))
      const { items } = yield* eventually(
        "it is told",
        taken(told, 200, `/v1/events?kind=run.finished&subject=${run.id}`),
        ({ items }) => items.length > 0,
      )
      assert.deepInclude({ ...items[0]! }, {
        code: "completed",
        message: "the refresh is completed: of 1 item 1 succeeded, 0 failed and 0 were skipped",
      })
      yield* refused(409, "run_ended", `/v1/runs/${run.id}/cancel`, { method: "POST" })
      assert.lengthOf((yield* taken(told, 200, `/v1/events?kind=run.finished&subject=${run.id}`)).items, 1)
    }))
})
