/** What is taken from the logs for webhooks, and what is kept of it. */
import { assert } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Option } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Database } from "../../../src/storage/Database.ts"
import { Sweeps } from "../../../src/storage/Sweeps.ts"
import { type ClaimedWebhook, WebhookOutbox } from "../../../src/storage/webhooks/WebhookOutbox.ts"
import { Webhooks } from "../../../src/storage/webhooks/Webhooks.ts"
import { Vault } from "../../../src/oauth/Vault.ts"
import { onDatabases } from "../../support/databases.ts"
import { makeAccount } from "../../support/mail.ts"
import { eventually } from "../../support/processes.ts"
import { append, numbered, webhookSettings } from "../../support/webhooks.ts"

const storage = Layer.mergeAll(WebhookOutbox.layer, Webhooks.layer, Sweeps.layer).pipe(
  Layer.provide(Vault.layerConfigured),
  Layer.provide(webhookSettings()),
  Layer.orDie,
)

/** A webhook that is held here. */
const hold = Effect.gen(function* () {
  const outbox = yield* WebhookOutbox
  const { webhook } = yield* (yield* Webhooks).create({ url: "http://127.0.0.1/" })
  const claimed = (yield* outbox.claim(1_000)).find(({ id }) => id === webhook.id)!
  return { outbox, claimed }
})

/** What is taken, once there is something: the look for it is kept for a quarter of a second. */
const next = (outbox: WebhookOutbox["Service"], claimed: ClaimedWebhook) =>
  eventually(
    "something is taken",
    Effect.andThen(outbox.glance, outbox.take(claimed)),
    ({ queued }) => queued.length > 0,
  ).pipe(
    Effect.flatMap(({ queued }) => outbox.load(claimed, queued.map(({ id }) => id))),
    Effect.map((all) => all.map(({ source }) => "event" in source ? source.event.subject : source.change.fields?.[0])),
  )

const told = (subject: string) =>
  Effect.flatMap(
    Database,
    ({ sql, tables: t }) =>
      sql`insert into ${t.events} (kind, subject, message) values ('app.faulted', ${subject}, 'x')`,
  )

/** The embedded database tells the time in milliseconds: within one, neither log is before the other. */
const tick = Effect.sleep("5 millis")

await onDatabases("WebhookOutbox", storage, (it, engine) => {
  it.effect("takes both logs in the order of time, each entry once", () =>
    Effect.gen(function* () {
      const { claimed, outbox } = yield* hold
      const { id } = yield* makeAccount({})
      yield* append(numbered(id, 1, 2))
      yield* tick
      yield* told("between")
      yield* tick
      yield* append(numbered(id, 3, 1))
      const all = [...(yield* next(outbox, claimed))]
      while (all.length < 4) all.push(...(yield* next(outbox, claimed)))
      assert.deepStrictEqual(all, ["1", "2", "between", "3"])
      assert.deepStrictEqual(yield* outbox.take(claimed), { queued: [], complete: true })
      yield* append(numbered(id, 4, 1_500))
      assert.lengthOf(yield* next(outbox, claimed), 1_000)
      assert.lengthOf((yield* outbox.take(claimed)).queued, 500)
    }))

  if (engine === "postgres") {
    it.effect("never skips an event that commits late", () =>
      Effect.gen(function* () {
        const { sql } = yield* Database
        const { claimed, outbox } = yield* hold
        const inserted = yield* Deferred.make<void>()
        const commit = yield* Deferred.make<void>()
        const late = yield* Effect.forkChild(sql.withTransaction(
          told("late").pipe(
            Effect.andThen(Deferred.succeed(inserted, undefined)),
            Effect.andThen(Deferred.await(commit)),
          ),
        ))
        yield* Deferred.await(inserted)
        yield* told("early")
        assert.deepStrictEqual(yield* next(outbox, claimed), ["early"])
        yield* Deferred.succeed(commit, undefined)
        yield* Fiber.join(late)
        assert.deepStrictEqual(yield* next(outbox, claimed), ["late"])
      }))
  }

  it.effect("whoever has lost a webhook takes, loads and stores nothing", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { claimed, outbox } = yield* hold
      const { id } = yield* makeAccount({})
      yield* append(numbered(id, 1, 2))
      yield* next(outbox, claimed)
      const [first] = yield* outbox.waiting(claimed)
      yield* sql`update ${t.webhooks} set lease_until = now() - interval '1 second' where id = ${claimed.id}`
      const successor = (yield* outbox.claim(1_000)).find(({ id }) => id === claimed.id)!
      yield* append(numbered(id, 3, 1))
      assert.deepStrictEqual(yield* outbox.take(claimed), { queued: [], complete: true })
      assert.deepStrictEqual(yield* outbox.load(claimed, [first!.id]), [])
      const attempt = { id: first!.id, delivered: true, status: 200, error: null, waitMillis: 0 }
      yield* outbox.record(claimed, [attempt], { failures: 0, pausedMillis: 0, recovered: false }, Duration.days(1))
      yield* outbox.disable(claimed, "x")
      assert.strictEqual((yield* outbox.renew([claimed])).size, 0)
      assert.deepStrictEqual([...(yield* outbox.renew([successor]))], [claimed.id])
      assert.lengthOf(yield* outbox.waiting(successor), 2)
      assert.isTrue(Option.getOrThrow(yield* (yield* Webhooks).get(claimed.id)).enabled)
    }))

  it.effect("keeps what waits, and the newest of what arrived", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { claimed, outbox } = yield* hold
      const { id } = yield* makeAccount({})
      yield* append(numbered(id, 1, 1_200))
      yield* next(outbox, claimed)
      yield* outbox.take(claimed)
      const arrived = (yield* outbox.waiting(claimed)).slice(10).map(({ id }) => id)
      yield* sql`update ${t.webhook_deliveries} set delivered_at = now()
        where webhook_id = ${claimed.id} and id >= ${arrived[0]!}`
      yield* (yield* Sweeps).deliveries
      const rows = yield* sql<
        { delivered: boolean; count: number; last: bigint }
      >`select delivered_at is not null as delivered,
          count(*)::int as count, max(id) as last
        from ${t.webhook_deliveries} where webhook_id = ${claimed.id} group by 1 order by 1`
      assert.deepStrictEqual(rows.map(({ count }) => count), [10, 1_000])
      assert.strictEqual(rows[1]!.last, arrived.at(-1))
    }))

  it.effect("an event that is swept takes its deliveries along", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { claimed, outbox } = yield* hold
      const subject = newId()
      yield* told(subject)
      assert.deepStrictEqual(yield* next(outbox, claimed), [subject])
      yield* sql`delete from ${t.events} where subject = ${subject}`
      assert.deepStrictEqual(yield* outbox.waiting(claimed), [])
    }))
})
