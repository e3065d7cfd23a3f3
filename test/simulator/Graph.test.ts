import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { email, json, mailScope, page, type Provider, provider, type Reply, round, tokens } from "./provider.ts"

const one = email(1)
const inbox = "/me/mailFolders/inbox/messages/delta?$select=subject,isRead,receivedDateTime"

const GraphError = Schema.Struct({
  error: Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    innerError: Schema.Struct({ date: Schema.String, "request-id": Schema.String, "client-request-id": Schema.String }),
  }),
})
const codeOf = (answer: Reply): string => json(GraphError, answer).error.code

const inFolder = ({ simulator }: Provider, wellKnown: string) => {
  const { folders, messages } = simulator.mailbox(one)
  const id = folders.find((folder) => folder.wellKnown === wellKnown)?.id
  return messages.filter((message) => message.folderId === id).map((message) => message.id)
}

describe("folders", () => {
  it.live("lists all with paging, children and hidden ones apart, and names real ids for well-known ones", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 40 })
      const languages = new Set<unknown>()
      for (let n = 1; n <= 40; n++) {
        const token = yield* Effect.promise(() => it.signedIn(email(n)))
        const names: Array<string> = []
        let link: string | undefined = "/me/mailFolders?$top=3&includeHiddenFolders=true"
        while (link !== undefined) {
          const path: string = link
          const { "@odata.nextLink": next, value } = page(yield* Effect.promise(() => it.get(path, token)))
          for (const folder of value) {
            names.push(String(folder.id))
            if (Number(folder.childFolderCount) > 0) {
              const children = page(
                yield* Effect.promise(() => it.get(`/me/mailFolders/${folder.id}/childFolders`, token)),
              )
              assert.strictEqual(children.value.length, Number(folder.childFolderCount))
            }
          }
          link = next
        }
        const found = json(
          Schema.Struct({ id: Schema.String, displayName: Schema.String }),
          yield* Effect.promise(() => it.get("/me/mailFolders('Inbox')", token)),
        )
        languages.add(found.displayName)
        assert.include(names, found.id)
        const root = it.simulator.mailbox(email(n)).folders[0]?.id
        assert.strictEqual(
          names.length,
          it.simulator.mailbox(email(n)).folders.filter((f) => f.parentId === root).length,
        )
      }
      assert.isTrue(languages.size >= 3)
      const token = yield* Effect.promise(() => it.signedIn(one))
      assert.strictEqual(
        codeOf(yield* Effect.promise(() => it.get("/me/mailFolders/clutter", token))),
        "ErrorItemNotFound",
      )
      assert.strictEqual((yield* Effect.promise(() => it.get(`/users/${one}/mailFolders`, token))).status, 200)
      assert.strictEqual((yield* Effect.promise(() => it.get(`/users/${email(2)}/mailFolders`, token))).status, 403)
    }))
})

describe("delta", () => {
  it.live("lists a folder whole, odd pages and all, and then only what changed", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 2, messages: 200, oddPages: 0.5 })
      const { simulator } = it
      const token = yield* Effect.promise(() => it.signedIn(one))
      const paged = { prefer: 'odata.maxpagesize=7, IdType="ImmutableId"' }
      const first = yield* Effect.promise(() => round(it, inbox, token, paged))
      const present = inFolder(it, "inbox")
      assert.deepStrictEqual(new Set(first.items.map((item) => item.id)), new Set(present))
      assert.isTrue(first.items.length > present.length, "some items come twice")
      assert.isTrue(first.empty > 0, "some pages are empty")
      assert.deepStrictEqual(
        Object.keys(first.items[0] ?? {}).sort(),
        ["@odata.etag", "@odata.type", "id", "isRead", "receivedDateTime", "subject"],
      )

      const [read, moved, gone] = [present[3] ?? "", present[5] ?? "", present[8] ?? ""]
      simulator.editMessage(one, read, { isRead: true })
      simulator.moveMessage(one, moved, "archive")
      simulator.removeMessage(one, gone)
      const [fresh] = simulator.deliver(one, { subject: "Fresh" })
      const second = yield* Effect.promise(() => round(it, first.deltaLink, token, paged))
      const byId = new Map(second.items.map((item) => [item.id, item]))
      assert.strictEqual(byId.size, 4)
      assert.deepStrictEqual(Object.keys(byId.get(read) ?? {}).sort(), ["@odata.etag", "@odata.type", "id", "isRead"])
      assert.strictEqual(byId.get(fresh?.id)?.subject, "Fresh")
      assert.property(byId.get(moved), "@removed")
      assert.deepStrictEqual(byId.get(gone)?.["@removed"], { reason: "deleted" })
      const nothing = yield* Effect.promise(() => round(it, second.deltaLink, token, paged))
      assert.deepStrictEqual(nothing.items, [])

      const archive = yield* Effect.promise(() => round(it, inbox.replace("inbox", "archive"), token))
      assert.include(archive.items.map((item) => item.id), moved)
      assert.strictEqual(simulator.counters().violations["rebuilt-delta-url"], undefined)
      yield* Effect.promise(() => it.get(`${nothing.deltaLink}&$select=subject`, token))
      assert.strictEqual(simulator.counters().violations["rebuilt-delta-url"], 1)
    }))

  it.live("what changes during a round comes in the next one", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1, messages: 60 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const start = page(yield* Effect.promise(() => it.get(`${inbox}&$top=5`, token)))
      const [fresh] = it.simulator.deliver(one)
      it.simulator.removeMessage(one, String(start.value[0]?.id))
      const rest = yield* Effect.promise(() => round(it, start["@odata.nextLink"] ?? "", token))
      assert.notInclude(rest.items.map((item) => item.id), fresh?.id)
      const next = yield* Effect.promise(() => round(it, rest.deltaLink, token))
      assert.deepStrictEqual(next.items.map((item) => item.id), [fresh?.id, start.value[0]?.id])
    }))

  it.live("loses its state in both documented forms, and by age", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1, messages: 60 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const { deltaLink, items } = yield* Effect.promise(() => round(it, inbox, token))
      it.simulator.expireCursors(one, "410")
      const gone = yield* Effect.promise(() => it.get(deltaLink, token))
      assert.strictEqual(gone.status, 410)
      const location = gone.headers.get("location") ?? ""
      assert.isTrue(location.endsWith("$deltatoken="), location)
      const again = yield* Effect.promise(() => round(it, location, token))
      assert.strictEqual(again.items.length, items.length)

      const middle = page(yield* Effect.promise(() => it.get(`${inbox}&$top=5`, token)))["@odata.nextLink"] ?? ""
      assert.strictEqual(
        (yield* Effect.promise(() => it.control("POST", `mailboxes/${one}/expire-cursors`, { form: "code" }))).status,
        204,
      )
      const lost = yield* Effect.promise(() => it.get(middle, token))
      assert.deepStrictEqual([lost.status, codeOf(lost)], [400, "syncStateNotFound"])

      const fresh = yield* Effect.promise(() => round(it, inbox, token))
      it.simulator.configure({ deltaLifetime: 0 })
      yield* Effect.sleep("5 millis")
      assert.strictEqual((yield* Effect.promise(() => it.get(fresh.deltaLink, token))).status, 400)
    }))
})

describe("messages", () => {
  it.live("have immutable ids that survive a move, and default ids that do not", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const id = inFolder(it, "inbox")[0] ?? ""
      const byDefault = page(
        yield* Effect.promise(() => it.get("/me/mailFolders/inbox/messages?$top=1", token, { prefer: "" })),
      )
      const old = String(byDefault.value[0]?.id)
      assert.notStrictEqual(old, id)
      assert.strictEqual((yield* Effect.promise(() => it.get(`/me/messages/${old}`, token))).status, 200)
      const move = yield* Effect.promise(() =>
        it.call("POST", `/me/messages/${id}/move`, token, { destinationId: "junkemail" })
      )
      assert.strictEqual(move.status, 201)
      assert.strictEqual((yield* Effect.promise(() => it.get(`/me/messages/${id}`, token))).status, 200)
      assert.strictEqual(codeOf(yield* Effect.promise(() => it.get(`/me/messages/${old}`, token))), "ErrorItemNotFound")
      assert.strictEqual((yield* Effect.promise(() => it.get("/me/messages/nonsense", token))).status, 400)
      const swapped = id.replace(/[A-Za-z](?=AAA=$)/, (c) => c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())
      assert.notStrictEqual((yield* Effect.promise(() => it.get(`/me/messages/${swapped}`, token))).status, 200)
      assert.strictEqual(it.simulator.counters().violations["missing-immutable-id"], 1)
    }))

  it.live("have the documented fields, in many scripts, and drafts have no sender", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1, messages: 300 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const { items } = yield* Effect.promise(() => round(it, "/me/mailFolders/inbox/messages/delta?$top=100", token))
      const drafts = yield* Effect.promise(() => round(it, "/me/mailFolders/drafts/messages/delta", token))
      const Body = Schema.Struct({ contentType: Schema.Literals(["html", "text"]), content: Schema.String })
      const kinds = new Set<string>()
      for (const item of items) {
        assert.isTrue(String(item.bodyPreview).length <= 255)
        kinds.add(Schema.decodeUnknownSync(Body)(item.body).contentType)
        assert.property(item, "from")
      }
      assert.strictEqual(kinds.size, 2)
      assert.isTrue(items.some((item) => String(item.bodyPreview).length === 255))
      assert.isTrue(items.some((item) => /[\u4e00-\u9fff]/.test(String(item.subject))))
      assert.isTrue(drafts.items.length > 0)
      for (const draft of drafts.items) assert.notProperty(draft, "from")
      const html = items.find((item) => Schema.decodeUnknownSync(Body)(item.body).contentType === "html")
      const asText = yield* Effect.promise(() =>
        it.get(`/me/messages/${html?.id}?$select=body`, token, {
          prefer: 'IdType="ImmutableId", outlook.body-content-type="text"',
        })
      )
      assert.strictEqual(json(Schema.Struct({ body: Body }), asText).body.contentType, "text")
      const mime = yield* Effect.promise(() => it.get(`/me/messages/${html?.id}/$value`, token))
      assert.match(mime.text, /^From: [\s\S]*\r\nMessage-ID: <.*>\r\n/)
    }))
})

describe("limits of a mailbox", () => {
  it.live("bears 4 requests at once and 10,000 in 10 minutes, and notes who disregards Retry-After", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 2, latency: 40, retryAfter: 2000 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const ask = () => it.get("/me/mailFolders", token)
      const answers = yield* Effect.promise(() => Promise.all(Array.from({ length: 6 }, ask)))
      const refused = answers.filter(({ status }) => status === 429)
      assert.strictEqual(refused.length, 2)
      assert.strictEqual(refused[0]?.headers.get("retry-after"), "2")
      yield* Effect.sleep("150 millis")
      yield* Effect.promise(ask)
      const { mailboxes, violations } = it.simulator.counters()
      assert.strictEqual(mailboxes.peak, 6)
      assert.deepStrictEqual(mailboxes.busiest[0]?.email, one)
      assert.deepStrictEqual(violations, { "mailbox-concurrency": 2, "before-retry-after": 1 })

      it.simulator.resetCounters()
      it.simulator.spendRequests(one, 10_000)
      const over = yield* Effect.promise(ask)
      assert.strictEqual(over.status, 429)
      assert.isTrue(Number(over.headers.get("retry-after")) > 500)
      const other = yield* Effect.promise(() => it.signedIn(email(2)))
      assert.strictEqual((yield* Effect.promise(() => it.get("/me/mailFolders", other))).status, 200)
    }))

  it.live("refuses expired, withdrawn and made-up tokens", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 2, accessTokenLifetime: 30 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      yield* Effect.sleep("40 millis")
      assert.strictEqual(codeOf(yield* Effect.promise(() => it.get("/me", token))), "InvalidAuthenticationToken")
      it.simulator.configure({ accessTokenLifetime: "random" })
      const withdrawn = tokens(
        yield* Effect.promise(() => it.redeem(one, undefined, { scope: mailScope })),
      ).access_token
      it.simulator.withdrawAccessTokens(one)
      assert.strictEqual((yield* Effect.promise(() => it.get("/me", withdrawn))).status, 401)
      assert.strictEqual((yield* Effect.promise(() => it.get("/me", `${withdrawn}x`))).status, 401)
      const other = yield* Effect.promise(() => it.signedIn(email(2)))
      it.simulator.refuseMailbox(email(2), { status: 404, code: "MailboxNotEnabledForRESTAPI" })
      assert.strictEqual(
        codeOf(yield* Effect.promise(() => it.get("/me/mailFolders", other))),
        "MailboxNotEnabledForRESTAPI",
      )
    }))
})

describe("batch", () => {
  const Answers = Schema.Struct({
    responses: Schema.Array(Schema.Struct({
      id: Schema.String,
      status: Schema.Number,
      headers: Schema.Record(Schema.String, Schema.String),
      body: Schema.optionalKey(Schema.Unknown),
    })),
  })

  it.live("answers in any order, part by part", () =>
    Effect.gen(function* () {
      const it = yield* provider({ accounts: 1, messages: 60 })
      const token = yield* Effect.promise(() => it.signedIn(one))
      const [a = "", b = ""] = inFolder(it, "inbox")
      const part = (id: string, url: string) => ({
        id,
        method: "GET",
        url,
        headers: { Prefer: 'IdType="ImmutableId"' },
      })
      it.simulator.script({ endpoint: "graph", answers: [{ fault: "throttled" }] })
      const requests = [
        part("1", `/me/messages/${a}?$select=subject`),
        part("2", `/me/messages/${b}?$select=body`),
        part("3", "/me/messages/nonsense"),
        { ...part("4", `/me/messages/${a}`), dependsOn: ["3"] },
        {
          id: "5",
          method: "PATCH",
          url: `/me/messages/${a}`,
          headers: { "Content-Type": "application/json", Prefer: 'IdType="ImmutableId"' },
          body: { isRead: true },
        },
        ...Array.from({ length: 15 }, (_, i) => part(`m${i}`, "/me/mailFolders")),
      ]
      const answer = yield* Effect.promise(() => it.call("POST", "/$batch", token, { requests }))
      const { responses } = json(Answers, answer)
      const byId = new Map(responses.map((response) => [response.id, response]))
      assert.deepStrictEqual(["1", "2", "3", "4", "5"].map((id) => byId.get(id)?.status), [429, 200, 400, 424, 200])
      assert.strictEqual(byId.get("1")?.headers["Retry-After"], "1")
      assert.notDeepEqual(responses.map(({ id }) => id), requests.map(({ id }) => id))
      const tooMany = yield* Effect.promise(() =>
        it.call("POST", "/$batch", token, { requests: [...requests, part("x", "/me")] })
      )
      assert.strictEqual(tooMany.status, 400)
      assert.strictEqual(it.simulator.counters().violations["batch-too-large"], 1)
    }))
})
