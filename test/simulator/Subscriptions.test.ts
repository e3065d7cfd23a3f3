import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { serve } from "../support/simulator.ts"
import { email, json, provider } from "./provider.ts"

const one = email(1)

const Subscription = Schema.Struct({
  id: Schema.String,
  resource: Schema.String,
  expirationDateTime: Schema.String,
  clientState: Schema.Null,
})

/** Whoever is notified: answers handshakes unless told otherwise, and notifications with `status`. */
const listener = Effect.fnUntraced(function* () {
  const state = { shakesHands: true, status: 202, requests: 0 }
  const told: Array<Record<string, unknown>> = []
  const origin = yield* serve(async (request) => {
    const token = new URL(request.url).searchParams.get("validationToken")
    if (token !== null) {
      return new Response(state.shakesHands ? token : "no", { headers: { "content-type": "text/plain" } })
    }
    const { value }: { value: ReadonlyArray<Record<string, unknown>> } = await request.json()
    state.requests++
    if (state.status === 202) told.push(...value)
    return new Response(null, { status: state.status })
  })
  return { state, told, url: `${origin}/n` }
})

const inMinutes = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString()

describe("subscriptions", () => {
  it.live("are made after a handshake, within the documented limits, and notify of what happens", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 2, personal: 0 })
      const { state, told, url } = yield* listener()
      const token = yield* Effect.promise(() => it.signedIn(one))
      const body = (more: object = {}) => ({
        changeType: "created,updated,deleted",
        notificationUrl: url,
        lifecycleNotificationUrl: url,
        resource: "/me/messages",
        expirationDateTime: inMinutes(100),
        clientState: "s",
        ...more,
      })
      const ask = (more: object = {}) => Effect.promise(() => it.call("POST", "/subscriptions", token, body(more)))

      for (
        const [status, more] of [
          [400, { expirationDateTime: inMinutes(10_090) }],
          [400, { expirationDateTime: inMinutes(-1) }],
          [400, { clientState: "s".repeat(129) }],
          [400, { notificationUrl: "http://example.com/n" }],
          [400, { resource: "/me/events" }],
          [403, { resource: `/users/${email(2)}/messages` }],
        ] as const
      ) assert.strictEqual((yield* ask(more)).status, status, JSON.stringify(more))
      state.shakesHands = false
      assert.strictEqual((yield* ask()).status, 400)
      state.shakesHands = true

      const made = yield* ask()
      assert.strictEqual(made.status, 201)
      const { id } = json(Subscription, made)
      assert.strictEqual((yield* ask()).status, 409)
      const short = yield* ask({ resource: "/me/mailFolders('inbox')/messages", expirationDateTime: inMinutes(1) })
      assert.isAbove(Date.parse(json(Subscription, short).expirationDateTime), Date.parse(inMinutes(40)))

      const [message] = it.simulator.deliver(one, { folder: "archive" })
      it.simulator.editMessage(one, message!.id, { isRead: true })
      it.simulator.removeMessage(one, message!.id)
      yield* Effect.sleep("100 millis")
      assert.strictEqual(state.requests, 1)
      assert.deepStrictEqual(told.map(({ changeType, subscriptionId }) => [changeType, subscriptionId]), [
        ["created", id],
        ["updated", id],
        ["deleted", id],
      ])
      assert.deepInclude(told[0], { clientState: "s", tenantId: it.simulator.account(one).tenant })
      it.simulator.deliver(one)
      yield* Effect.sleep("100 millis")
      assert.lengthOf(told, 5)

      it.simulator.sendLifecycle(one, "missed")
      yield* Effect.sleep("100 millis")
      assert.deepInclude(told.at(-1), { lifecycleEvent: "missed" })
      assert.notProperty(told.at(-1), "resourceData")
      it.simulator.sendLifecycle(one, "subscriptionRemoved")
      assert.lengthOf(it.simulator.subscriptions(one), 0)
      const gone = yield* Effect.promise(() =>
        it.call("PATCH", `/subscriptions/${id}`, token, { expirationDateTime: inMinutes(100) })
      )
      assert.strictEqual(gone.status, 404)
    }))

  it.live("notify again until it is acknowledged; or twice, or never, as the options say", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1 })
      const { state, told, url } = yield* listener()
      const token = yield* Effect.promise(() => it.signedIn(one))
      const resource = "/me/messages"
      yield* Effect.promise(() =>
        it.call("POST", "/subscriptions", token, {
          changeType: "created",
          notificationUrl: url,
          resource,
          expirationDateTime: inMinutes(100),
        })
      )
      state.status = 503
      it.simulator.deliver(one)
      yield* Effect.sleep("200 millis")
      state.status = 202
      yield* Effect.sleep("600 millis")
      assert.lengthOf(told, 1)
      assert.deepStrictEqual(it.simulator.notifications(), { sent: 2, acknowledged: 1, failed: 1 })
      it.simulator.configure({ notifications: "twice" })
      it.simulator.deliver(one)
      yield* Effect.sleep("100 millis")
      assert.lengthOf(told, 3)
      it.simulator.configure({ notifications: "lost" })
      it.simulator.deliver(one)
      yield* Effect.sleep("100 millis")
      assert.lengthOf(told, 3)
    }))
})

describe("attachments", () => {
  const Listed = Schema.Struct({ value: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })
  const Expanded = Schema.Struct({ attachments: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)) })

  it.live("are listed, expanded and read as documented", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const get = (path: string) => Effect.promise(() => it.get(path, token))
      const [{ id } = { id: "" }] = it.simulator.deliver(one, {
        html: true,
        attachments: [
          { name: "a.png", contentType: "image/png", inline: true, contentId: "a@x", content: "größe" },
          { kind: "reference", name: "plan" },
        ],
      })
      const message = `/me/messages/${id}`
      const whole = yield* get(message)
      assert.include(whole.text, "cid:a@x")
      assert.include(whole.text, '"hasAttachments":true')
      const fields = "id,name,contentType,size,isInline"
      const { value } = json(Listed, yield* get(`${message}/attachments`))
      assert.deepInclude(value[0], { contentId: "a@x", size: 7, isInline: true, contentBytes: "Z3LDtsOfZQ==" })
      const [file] = json(Listed, yield* get(`${message}/attachments?$select=${fields}`)).value
      assert.notProperty(file, "contentBytes")
      assert.notProperty(file, "contentId")
      assert.strictEqual((yield* get(`${message}/attachments?$select=${fields},contentId`)).status, 400)
      const cast = "microsoft.graph.fileAttachment/contentId"
      const expanded = yield* get(`${message}?$select=id&$expand=attachments($select=${fields},${cast})`)
      const [first, second] = json(Expanded, expanded).attachments
      assert.deepInclude(first, { contentId: "a@x" })
      assert.strictEqual((yield* get(`${message}/attachments/${first!["id"]}/$value`)).text, "größe")
      assert.strictEqual((yield* get(`${message}/attachments/${second!["id"]}/$value`)).status, 405)
      assert.strictEqual((yield* get(`${message}/attachments/x/$value`)).status, 404)
    }))

  it.live("messages are listed by time, newest or oldest first", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1, messages: 40 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const times = (order: string) =>
        Effect.map(
          Effect.promise(() =>
            it.get(`/me/messages?$select=receivedDateTime&$top=40&$orderby=receivedDateTime ${order}`, token)
          ),
          (answer) => json(Listed, answer).value.map(({ receivedDateTime }) => String(receivedDateTime)),
        )
      const newest = yield* times("desc")
      assert.lengthOf(newest, 40)
      assert.deepStrictEqual(newest, newest.toSorted().reverse())
      assert.deepStrictEqual(yield* times("asc"), newest.toReversed())
    }))
})
