import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { TestClock } from "effect/testing"
import type { SimulatorOptions } from "../../src/simulator/Simulator.ts"
import { gmail, provider, tokens } from "./provider.ts"

const one = gmail(1)

const Ref = Schema.Struct({ id: Schema.String, threadId: Schema.optionalKey(Schema.String) })
const Labelled = Schema.Struct({
  message: Schema.Struct({ id: Schema.String, labelIds: Schema.optionalKey(Schema.Array(Schema.String)) }),
  labelIds: Schema.optionalKey(Schema.Array(Schema.String)),
})
const Failed = Schema.Struct({
  error: Schema.Struct({
    code: Schema.Number,
    status: Schema.String,
    errors: Schema.Array(Schema.Struct({ reason: Schema.String })),
  }),
})
const History = Schema.Struct({
  history: Schema.optionalKey(Schema.Array(Schema.Struct({
    id: Schema.String,
    messagesAdded: Schema.optionalKey(Schema.Array(Labelled)),
    messagesDeleted: Schema.optionalKey(Schema.Array(Labelled)),
    labelsAdded: Schema.optionalKey(Schema.Array(Labelled)),
    labelsRemoved: Schema.optionalKey(Schema.Array(Labelled)),
  }))),
  nextPageToken: Schema.optionalKey(Schema.String),
  historyId: Schema.String,
})
const Listed = Schema.Struct({
  messages: Schema.optionalKey(Schema.Array(Ref)),
  nextPageToken: Schema.optionalKey(Schema.String),
})
const Profile = Schema.Struct({ emailAddress: Schema.String, messagesTotal: Schema.Number, historyId: Schema.String })
const Message = Schema.Struct({
  id: Schema.String,
  labelIds: Schema.optionalKey(Schema.Array(Schema.String)),
  historyId: Schema.String,
  internalDate: Schema.String,
  payload: Schema.optionalKey(Schema.Struct({
    mimeType: Schema.String,
    headers: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })),
    parts: Schema.optionalKey(Schema.Array(Schema.Unknown)),
  })),
})
const Label = Schema.Struct({ id: Schema.String, name: Schema.String, type: Schema.String })
const Labels = Schema.Struct({ labels: Schema.Array(Label) })

/** A signed-in user's calls. */
const user = Effect.fnUntraced(function* (options: Partial<SimulatorOptions> = {}) {
  const it = yield* provider({ accounts: 2, googleAccounts: 2, messages: 30, gmailUnits: 1_000_000, ...options })
  const signIn = Effect.map(Effect.promise(() => it.redeemGoogle(one)), (answer) => tokens(answer).access_token)
  let token = yield* signIn
  const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    Effect.promise(async () => {
      const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body)
      const response = await fetch(path.startsWith("/") ? it.base + path : `${it.base}/gmail/v1/users/me/${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...headers },
        ...(text === undefined ? {} : { body: text }),
      })
      return { status: response.status, headers: response.headers, text: await response.text() }
    })
  return {
    ...it,
    send,
    renew: Effect.tap(signIn, (fresh) => Effect.sync(() => token = fresh)),
    get: <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string) =>
      Effect.map(send("GET", path), ({ status, text }) => {
        assert.strictEqual(status, 200, text)
        return Schema.decodeUnknownSync(schema)(JSON.parse(text)) as S["Type"]
      }),
    failed: (method: string, path: string, body?: unknown) =>
      Effect.map(send(method, path, body), ({ status, text }) => {
        const { error } = Schema.decodeUnknownSync(Failed)(JSON.parse(text))
        assert.strictEqual(error.code, status)
        return [status, error.errors[0]?.reason, error.status]
      }),
  }
})

const batchOf = (paths: ReadonlyArray<string>): string =>
  paths.map((path, n) =>
    `--b\r\nContent-Type: application/http\r\nContent-ID: <item-${n}>\r\n\r\nGET ${path} HTTP/1.1\r\n\r\n\r\n`
  ).join("") + "--b--"

describe("The Gmail API", () => {
  it.live("lists messages newest first, without spam and trash unless asked for, page by page", () =>
    Effect.gen(function* () {
      const { get, simulator } = yield* user()
      const held = simulator.mailbox(one).messages
      const hidden = held.filter(({ labels }) => labels?.some((label) => label === "SPAM" || label === "TRASH")).length
      assert.isAbove(hidden, 0)
      const everything: Array<string> = []
      for (let page = "";;) {
        const listed = yield* get(Listed, `messages?includeSpamTrash=true&maxResults=7${page}`)
        everything.push(...(listed.messages ?? []).map(({ id }) => id))
        if (listed.nextPageToken === undefined) break
        page = `&pageToken=${listed.nextPageToken}`
      }
      assert.deepStrictEqual(everything, held.map(({ id }) => id))
      assert.lengthOf((yield* get(Listed, "messages?maxResults=500")).messages ?? [], 30 - hidden)
      const inbox = yield* get(Listed, "messages?labelIds=INBOX&labelIds=UNREAD")
      assert.deepStrictEqual(
        inbox.messages?.map(({ id }) => id),
        held.filter(({ labels }) => labels?.includes("INBOX") && labels.includes("UNREAD")).map(({ id }) => id),
      )
      // What is empty is left out.
      assert.deepStrictEqual(yield* get(Listed, "messages?labelIds=CHAT"), {})
    }))

  it.live("messages come in formats, with ids of attachments that differ each time", () =>
    Effect.gen(function* () {
      const { get, send, simulator } = yield* user()
      const held = simulator.mailbox(one).messages
      const minimal = yield* get(Message, `messages/${held[0]!.id}?format=minimal`)
      assert.isUndefined(minimal.payload)
      assert.deepStrictEqual(minimal.labelIds ?? [], held[0]!.labels)
      const metadata = yield* get(Message, `messages/${held[0]!.id}?format=metadata&metadataHeaders=subject`)
      assert.deepStrictEqual(metadata.payload?.headers, [{ name: "Subject", value: held[0]!.subject }])
      const { id } = simulator.deliver(one, {
        attachments: [{ name: "a.txt", content: "one" }, {
          name: "b.png",
          inline: true,
          contentId: "b",
          content: "two",
        }],
      })[0]!
      const ids = (text: string) => [...text.matchAll(/"attachmentId":"([^"]+)"/g)].map(([, id]) => id)
      const first = yield* Effect.map(send("GET", `messages/${id}`), ({ text }) => ids(text))
      const second = yield* Effect.map(send("GET", `messages/${id}`), ({ text }) => ids(text))
      assert.lengthOf(first, 2)
      assert.notDeepEqual(first, second)
      for (const attachment of [first[1], second[1]]) {
        const { text } = yield* send("GET", `messages/${id}/attachments/${attachment}`)
        assert.deepInclude(JSON.parse(text), { size: 3, data: btoa("two") })
      }
    }))

  it.live("the history has ids with gaps, beyond what numbers hold, and ends at some time", () =>
    Effect.gen(function* () {
      const { failed, get, send, simulator } = yield* user()
      const { emailAddress, historyId, messagesTotal } = yield* get(Profile, "profile")
      assert.deepStrictEqual([emailAddress, messagesTotal], [one, 30])
      assert.isAbove(Number(historyId), Number.MAX_SAFE_INTEGER)
      assert.deepStrictEqual(yield* get(History, `history?startHistoryId=${historyId}`), { historyId })

      const [a, b] = simulator.mailbox(one).messages.filter(({ labels }) => labels?.includes("INBOX"))
      yield* send("POST", `messages/${a!.id}/modify`, { addLabelIds: ["STARRED"], removeLabelIds: ["INBOX"] })
      yield* send("POST", `messages/${b!.id}/trash`)
      const { id } = simulator.deliver(one, { isRead: true })[0]!
      assert.strictEqual((yield* send("DELETE", `messages/${id}`)).status, 204)
      const told = yield* get(History, `history?startHistoryId=${historyId}`)
      assert.deepStrictEqual(
        (told.history ?? []).map(({ id: _, labelsAdded, labelsRemoved, messagesAdded, messagesDeleted }) =>
          labelsAdded?.[0]?.labelIds ?? labelsRemoved?.[0]?.labelIds ?? messagesAdded?.[0]?.message.labelIds ??
            messagesDeleted?.[0]?.message.id
        ),
        [["INBOX"], ["STARRED"], ["INBOX"], ["TRASH"], ["INBOX"], id],
      )
      const ids = (told.history ?? []).map((record) => BigInt(record.id))
      assert.isTrue(ids.every((id, n) => n === 0 || id > ids[n - 1]!))
      assert.isTrue(ids.some((id, n) => n > 0 && id > ids[n - 1]! + 1n))
      const few = yield* get(History, `history?startHistoryId=${historyId}&maxResults=2`)
      const rest = yield* get(History, `history?startHistoryId=${historyId}&pageToken=${few.nextPageToken}`)
      assert.deepStrictEqual([...few.history ?? [], ...rest.history ?? []], told.history)
      const typed = yield* get(History, `history?startHistoryId=${historyId}&historyTypes=messageDeleted`)
      assert.lengthOf(typed.history ?? [], 1)

      simulator.expireCursors(one)
      assert.deepStrictEqual(yield* failed("GET", `history?startHistoryId=${historyId}`), [
        404,
        "notFound",
        "NOT_FOUND",
      ])
      assert.strictEqual((yield* failed("GET", "history?startHistoryId=x"))[0], 400)
      assert.strictEqual((yield* failed("GET", `messages/${id}`))[0], 404)
      assert.strictEqual((yield* failed("GET", "messages?pageToken=mine"))[0], 400)
    }))

  it.live("labels are made, renamed with what nests in them, and removed", () =>
    Effect.gen(function* () {
      const { get, failed, send, simulator } = yield* user()
      const make = (name: string) =>
        Effect.map(send("POST", "labels", { name }), ({ text }) => Schema.decodeUnknownSync(Label)(JSON.parse(text)))
      const made = yield* make("Outer")
      const inner = yield* make("Outer/Inner")
      assert.deepStrictEqual(yield* failed("POST", "labels", { name: "outer" }), [409, "aborted", "ALREADY_EXISTS"])
      yield* send("PATCH", `labels/${made.id}`, { name: "Other" })
      const named = (id: string) =>
        Effect.map(get(Labels, "labels"), (all) => all.labels.find((one) => one.id === id)?.name)
      assert.strictEqual(yield* named(inner.id), "Other/Inner")
      const message = simulator.mailbox(one).messages[0]!
      simulator.relabel(one, message.id, { add: [inner.id] })
      assert.strictEqual((yield* send("DELETE", `labels/${inner.id}`)).status, 204)
      assert.isUndefined(yield* named(inner.id))
      assert.notInclude((yield* get(Message, `messages/${message.id}?format=minimal`)).labelIds ?? [], inner.id)
      assert.strictEqual((yield* failed("DELETE", "labels/INBOX"))[0], 400)
    }))

  it.live("a batch answers each of its calls by itself, and holds at most a hundred", () =>
    Effect.gen(function* () {
      const { send, simulator } = yield* user()
      const ids = simulator.mailbox(one).messages.map(({ id }) => id)
      const paths = [...ids.slice(0, 20), "19ffffffffffffff"].map((id) =>
        `/gmail/v1/users/me/messages/${id}?format=minimal`
      )
      const type = { "content-type": "multipart/mixed; boundary=b" }
      const answer = yield* send("POST", "/batch/gmail/v1", batchOf(paths), type)
      assert.match(answer.headers.get("content-type") ?? "", /^multipart\/mixed; boundary=/)
      const named = [...answer.text.matchAll(/Content-ID: <response-item-(\d+)>\r\n\r\nHTTP\/1\.1 (\d+)/g)]
      assert.deepStrictEqual(named.map(([, n]) => Number(n)).toSorted((a, b) => a - b), paths.map((_, n) => n))
      assert.notDeepEqual(named.map(([, n]) => Number(n)), paths.map((_, n) => n))
      assert.strictEqual(named.find(([, n]) => n === "20")?.[2], "404")
      assert.strictEqual(named.filter(([, , status]) => status === "200").length, 20)
      const many = yield* send("POST", "/batch/gmail/v1", batchOf(Array(101).fill(paths[0])), type)
      assert.strictEqual(many.status, 400)
      assert.deepStrictEqual(simulator.violations().counts, { "batch-too-large": 1 })
    }))

  it.effect("units are counted by user and minute, and told of in either form when they are spent", () =>
    Effect.gen(function* () {
      const { failed, get, renew, send, simulator } = yield* user({ gmailUnits: 100 })
      const [message] = simulator.mailbox(one).messages
      for (let n = 0; n < 4; n++) yield* get(Message, `messages/${message!.id}`)
      simulator.spendRequests(one, 15)
      const forms = new Set<unknown>()
      for (let n = 0; n < 30; n++) forms.add((yield* failed("GET", `messages/${message!.id}/attachments/x?${n}`))[1])
      assert.deepStrictEqual([...forms].toSorted(), ["rateLimitExceeded", "userRateLimitExceeded"])
      // What is cheaper still fits in.
      yield* get(Profile, "profile")
      yield* TestClock.adjust("61 seconds")
      yield* renew
      yield* get(Message, `messages/${message!.id}`)
      assert.isAbove(simulator.violations().counts["mailbox-rate"] ?? 0, 0)
      simulator.spendRequests(one, 80)
      assert.strictEqual((yield* send("GET", "messages/1")).status >= 400, true)
    }))

  it.live("tokens are good for what was consented to, and for the own mailbox", () =>
    Effect.gen(function* () {
      const { base, failed, get, renew, send, simulator } = yield* user()
      const consent = (...names: ReadonlyArray<string>) => {
        simulator.consent(one, names.map((name) => `https://www.googleapis.com/auth/gmail.${name}`))
        return renew
      }
      const id = simulator.mailbox(one).messages[0]!.id
      yield* consent("metadata")
      yield* get(Message, `messages/${id}?format=metadata`)
      assert.strictEqual((yield* failed("GET", `messages/${id}`))[0], 403)
      assert.strictEqual((yield* failed("GET", "messages?q=after:1"))[0], 403)
      yield* consent("readonly")
      yield* get(Message, `messages/${id}`)
      const denied = [403, "insufficientPermissions", "PERMISSION_DENIED"]
      assert.deepStrictEqual(yield* failed("POST", `messages/${id}/modify`, {}), denied)
      yield* consent("labels")
      yield* get(Labels, "labels")
      assert.deepStrictEqual(yield* failed("GET", "messages"), denied)
      yield* consent("modify")
      assert.deepStrictEqual(yield* failed("DELETE", `messages/${id}`), denied)
      assert.deepStrictEqual((yield* failed("GET", `/gmail/v1/users/${gmail(2)}/profile`))[0], 403)
      yield* get(Profile, `/gmail/v1/users/${one}/profile`)

      const microsoft = yield* Effect.promise(() => fetch(`${base}/gmail/v1/users/me/profile`))
      assert.strictEqual(microsoft.status, 401)
      yield* Effect.promise(() => microsoft.text())
      simulator.withdrawAccessTokens(one)
      assert.deepStrictEqual(yield* failed("GET", "profile"), [401, "authError", "UNAUTHENTICATED"])
      yield* Effect.sleep(5)
      yield* renew
      simulator.refuseMailbox(one, { status: 403, code: "domainPolicy" })
      assert.deepStrictEqual((yield* failed("GET", "profile"))[1], "domainPolicy")
      simulator.refuseMailbox(one, null)
      simulator.script({ endpoint: "gmail", email: one, answers: [{ fault: "throttled" }, { status: 418, body: "x" }] })
      const throttled = yield* send("GET", "profile")
      assert.deepStrictEqual([throttled.status, throttled.headers.get("retry-after")], [429, "1"])
      assert.strictEqual((yield* send("GET", "profile")).status, 418)
      assert.throws(() => simulator.script({ endpoint: "graph", email: one, answers: [] }))
      assert.isAbove(simulator.counters().gmail.requests, 10)
    }))
})
