/** Webhooks from the log to a receiver: signed, in order, and none lost whatever the receiver does. */
import { assert } from "@effect/vitest"
import { Array, Duration, Effect, Layer, Option, Redacted } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database } from "../../src/storage/Database.ts"
import { Events } from "../../src/storage/Events.ts"
import { Webhooks } from "../../src/storage/webhooks/Webhooks.ts"
import { onDatabases } from "../support/databases.ts"
import { makeAccount } from "../support/mail.ts"
import { eventually } from "../support/processes.ts"
import {
  append,
  makeWebhook,
  numbered,
  numbersOf,
  type Receiver,
  startReceiver,
  startSending,
  takenBy,
  webhookServices,
  webhookSettings,
} from "../support/webhooks.ts"

const quick = { webhookRetryAfter: Duration.millis(20) }

const storage = Layer.mergeAll(
  webhookServices(quick),
  Events.layer,
  Accounts.layer.pipe(Layer.provide(webhookSettings())),
)

const arrived = (receiver: Receiver, count: number) =>
  eventually(`${count} arrive`, Effect.sync(() => takenBy(receiver)), (all) => all.length >= count)

const tell = (kind: "account.needs_reauth" | "app.faulted", subject: string) =>
  Effect.flatMap(Events, (events) => events.record({ kind, subject, message: "what to do" }))

const shown = (id: string) => Effect.flatMap(Webhooks, (webhooks) => Effect.map(webhooks.get(id), Option.getOrThrow))

await onDatabases("Webhooks", storage, (it, engine) => {
  it.effect("sends what happens, signed, and nothing from before it was made", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const account = yield* makeAccount({ email: `${newId()}@hooks.example` })
      yield* append(numbered(account.id, 0, 1))
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      const [messageId, folderId] = [newId(), newId()]
      yield* append([
        { accountId: account.id, kind: "message.created", origin: "live", messageId, folderId },
        { accountId: account.id, kind: "message.created", origin: "backfill", messageId: newId(), folderId },
        { accountId: account.id, kind: "account.status", origin: "live", fields: ["active", "blocked"] },
        { accountId: newId(), kind: "message.created", origin: "live", messageId: newId(), folderId },
      ])
      yield* tell("account.needs_reauth", account.id)
      const [created, dead] = yield* arrived(receiver, 2)
      assert.deepStrictEqual([created!.signedWith, dead!.signedWith], [receiver.secrets, receiver.secrets])
      assert.strictEqual(created!.type, "message.created")
      assert.strictEqual(created!.id, `chg_${created!.data.position}`)
      const { at, position: _, ...data } = created!.data
      assert.strictEqual(created!.timestamp, at)
      assert.deepStrictEqual(data, {
        accountId: account.id,
        email: account.email,
        kind: "message.created",
        origin: "live",
        messageId,
        folderId,
      })
      assert.deepInclude({ ...dead, data: undefined, signedWith: 0, timestamp: 0 }, { type: "account.needs_reauth" })
      assert.deepInclude(dead!.data, { accountId: account.id, email: account.email, message: "what to do" })
      assert.match(dead!.data.reconnectUrl, /\/reconnect\//)
      yield* eventually("all is stored", shown(webhook.id), ({ waiting }) => waiting === 0)
      const { items } = yield* (yield* Webhooks).deliveries(webhook.id, { limit: 10 })
      assert.deepStrictEqual(items.map(({ state, status }) => [state, status]), [["delivered", 200], [
        "delivered",
        200,
      ]])
      assert.deepInclude(yield* shown(webhook.id), { waiting: 0, failures: 0, enabled: true })
    }))

  it.effect("sends what was chosen: events, origins, tags", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const receiver = yield* startReceiver
      const [tagged, other] = [yield* makeAccount({}), yield* makeAccount({})]
      yield* sql`update ${t.accounts} set tags = '{vip,x}' where id = ${tagged.id}`
      yield* makeWebhook(receiver, {
        events: ["message.updated", "app.faulted"],
        origins: ["backfill"],
        tags: ["vip"],
      })
      yield* startSending(quick)
      const changes = [tagged, other].flatMap(({ id }) =>
        (["live", "backfill"] as const).flatMap((origin) =>
          (["message.updated", "message.created"] as const).map((kind) => ({ accountId: id, kind, origin }))
        )
      )
      yield* append(changes)
      yield* tell("account.needs_reauth", tagged.id)
      const app = `microsoft:${newId()}`
      yield* tell("app.faulted", app)
      yield* append([{ accountId: tagged.id, kind: "message.updated", origin: "backfill", fields: ["last"] }])
      const all = yield* eventually(
        "the last arrives",
        Effect.sync(() => takenBy(receiver)),
        (all) => all.some(({ data }) => data.fields?.[0] === "last"),
      )
      assert.sameDeepMembers(all.map(({ data, type }) => [type, data.accountId ?? data.subject]), [
        ["message.updated", tagged.id],
        ["message.updated", tagged.id],
        ["app.faulted", app],
      ])
    }))

  it.effect("keeps the order of each account, and lets no account wait for another", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const accounts = yield* Effect.forEach(Array.range(1, 5), () => makeAccount({}))
      const [stuck, ...others] = accounts
      let open = false
      receiver.answer = ({ data }) => data.accountId === stuck!.id && data.fields[0] === "3" && !open ? 500 : 200
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      for (const n of Array.range(0, 9)) yield* append(accounts.flatMap(({ id }) => numbered(id, n, 1)))
      yield* eventually(
        "the others have all",
        Effect.sync(() => others.map(({ id }) => numbersOf(receiver, id).length)),
        (counts) => counts.every((count) => count === 10),
      )
      assert.deepStrictEqual(numbersOf(receiver, stuck!.id), [0, 1, 2])
      const [retrying] = (yield* (yield* Webhooks).deliveries(webhook.id, { limit: 1, state: "retrying" })).items
      assert.deepInclude({ ...retrying }, { accountId: stuck!.id, status: 500, error: "it answered 500" })
      open = true
      yield* eventually(
        "the stuck one goes on",
        Effect.sync(() => numbersOf(receiver, stuck!.id)),
        (numbers) => numbers.length === 10,
      )
      for (const { id } of accounts) assert.deepStrictEqual(numbersOf(receiver, id), Array.range(0, 9))
    }))

  it.effect("a receiver that is down is asked now and then, and gets everything when it is back", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const accounts = yield* Effect.forEach(Array.range(1, 20), () => makeAccount({}))
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      yield* receiver.die
      yield* append(accounts.flatMap(({ id }) => numbered(id, 0, 5)))
      const down = yield* eventually("it counts as down", shown(webhook.id), ({ failures }) => failures >= 6)
      assert.isAbove(down.waiting, 99)
      yield* receiver.live
      yield* arrived(receiver, 100)
      for (const { id } of accounts) assert.deepStrictEqual(numbersOf(receiver, id), Array.range(0, 4))
      assert.deepInclude(yield* eventually("it is well", shown(webhook.id), ({ waiting }) => waiting === 0), {
        failures: 0,
        pausedUntil: null,
      })
    }))

  it.effect("a receiver that takes nothing for too long is disabled with an event; enabled again it goes on where it stood", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const account = yield* makeAccount({})
      receiver.answer = () => ({ status: 302, headers: { location: "http://127.0.0.1:1/" } })
      const webhook = yield* makeWebhook(receiver)
      yield* startSending({ ...quick, webhookRetryFor: Duration.seconds(1) })
      yield* append(numbered(account.id, 0, 3))
      const disabled = yield* eventually("it is disabled", shown(webhook.id), ({ enabled }) => !enabled)
      assert.include(disabled.disabledReason, "redirects are not followed")
      const told = yield* Effect.flatMap(Events, (events) => events.list({ limit: 10, subject: webhook.id }))
      assert.deepStrictEqual(told.items.map(({ kind }) => kind), ["webhook.disabled"])
      assert.include(told.items[0]!.message, "mailfleet webhooks update")
      assert.notInclude(told.items[0]!.message, "/hook")

      yield* append(numbered(account.id, 3, 2))
      receiver.answer = () => 200
      yield* (yield* Webhooks).update(webhook.id, { enabled: true })
      yield* eventually("it goes on", Effect.sync(() => numbersOf(receiver, account.id)), ({ length }) => length === 5)
      assert.deepStrictEqual(numbersOf(receiver, account.id), Array.range(0, 4))
    }))

  it.effect("410 disables at once; 429 and 503 are asked again when they want to be", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const account = yield* makeAccount({})
      const times: Array<number> = []
      receiver.answer = () => {
        times.push(performance.now())
        return times.length === 1 ? { status: 429, headers: { "retry-after": "1" } } : times.length === 2 ? 200 : 410
      }
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      yield* append(numbered(account.id, 0, 2))
      const disabled = yield* eventually("it is gone", shown(webhook.id), ({ enabled }) => !enabled)
      assert.isAtLeast(times[1]! - times[0]!, 1_000)
      assert.include(disabled.disabledReason, "410")
      assert.strictEqual(disabled.waiting, 1)
      assert.lengthOf(times, 3)
    }))

  it.effect("a hanging and a rude receiver is tried again, with the same id", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const account = yield* makeAccount({})
      const answers = ["hang", "reset", 500, 200] as const
      let n = 0
      receiver.answer = () => answers[n++] ?? 200
      const webhook = yield* makeWebhook(receiver)
      yield* startSending({ ...quick, webhookTimeout: Duration.millis(500) })
      yield* append(numbered(account.id, 0, 1))
      yield* arrived(receiver, 1)
      assert.strictEqual(new Set(receiver.received.map(({ id }) => id)).size, 1)
      const done = yield* eventually("all is stored", shown(webhook.id), ({ waiting }) => waiting === 0)
      assert.isNotNull(done.deliveredAt)
    }))

  it.effect("secrets are rotated with overlap", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const receiver = yield* startReceiver
      const account = yield* makeAccount({})
      const webhooks = yield* Webhooks
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      const rotated = Option.getOrThrow(yield* webhooks.rotateSecret(webhook.id))
      receiver.secrets.push(Redacted.value(rotated.secret))
      assert.isNotNull(rotated.webhook.previousSecretUntil)
      yield* append(numbered(account.id, 0, 1))
      const [both] = yield* arrived(receiver, 1)
      assert.deepStrictEqual(both!.signedWith, receiver.secrets)
      yield* sql`update ${t.webhooks} set previous_secret_until = now() where id = ${webhook.id}`
      yield* append(numbered(account.id, 1, 1))
      const [, one] = yield* arrived(receiver, 2)
      assert.deepStrictEqual(one!.signedWith, receiver.secrets.slice(1))
      const stored = yield* sql<{ row: string }>`select w::text as row from ${t.webhooks} w`
      for (const secret of receiver.secrets) assert.isFalse(stored.some(({ row }) => row.includes(secret)))
    }))

  it.effect("replays from a position, with the ids of before", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const account = yield* makeAccount({})
      const webhooks = yield* Webhooks
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      yield* append(numbered(account.id, 0, 5))
      yield* arrived(receiver, 5)
      const before = receiver.received.splice(0)
      yield* webhooks.replay(webhook.id, before[1]!.data.position)
      yield* arrived(receiver, 3)
      yield* append(numbered(account.id, 5, 1))
      yield* arrived(receiver, 4)
      assert.deepStrictEqual(numbersOf(receiver, account.id), [2, 3, 4, 5])
      assert.deepStrictEqual(receiver.received.slice(0, 3).map(({ id }) => id), before.slice(2).map(({ id }) => id))
      assert.strictEqual((yield* Effect.flip(webhooks.replay(webhook.id, "x")))._tag, "InvalidCursor")
      assert.isTrue(Option.isNone(yield* webhooks.replay(newId(), before[0]!.data.position)))
    }))

  it.effect("a deleted account takes along what waits of it, and a deleted webhook all", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const receiver = yield* startReceiver
      receiver.answer = () => 500
      const account = yield* makeAccount({})
      const webhook = yield* makeWebhook(receiver)
      yield* startSending(quick)
      yield* append(numbered(account.id, 0, 3))
      yield* eventually("it waits", shown(webhook.id), ({ waiting }) => waiting === 3)
      yield* (yield* Accounts).remove(account.id)
      assert.strictEqual((yield* shown(webhook.id)).waiting, 0)
      const other = yield* makeAccount({})
      receiver.answer = () => 200
      yield* append(numbered(other.id, 0, 1))
      yield* arrived(receiver, 1)
      yield* (yield* Webhooks).remove(webhook.id)
      assert.isEmpty(yield* sql`select from ${t.webhook_deliveries} where webhook_id = ${webhook.id}`)
    }))

  if (engine === "postgres") {
    it.effect("of several processes one sends, and another takes over when it is silent", () =>
      Effect.gen(function* () {
        const { sql, tables: t } = yield* Database
        const receiver = yield* startReceiver
        const account = yield* makeAccount({})
        const webhook = yield* makeWebhook(receiver)
        yield* startSending(quick)
        yield* startSending(quick)
        yield* append(numbered(account.id, 0, 50))
        yield* arrived(receiver, 50)
        assert.lengthOf(receiver.received, 50)
        // As if its process had been silent.
        yield* sql`update ${t.webhooks} set lease_until = now() - interval '1 second' where id = ${webhook.id}`
        yield* eventually(
          "it is taken over",
          sql<{ fence: bigint }>`select fence from ${t.webhooks} where id = ${webhook.id}`,
          ([row]) => row!.fence > 1n,
        )
        yield* append(numbered(account.id, 50, 50))
        yield* arrived(receiver, 100)
        assert.deepStrictEqual(numbersOf(receiver, account.id), Array.range(0, 99))
      }))
  }
})
