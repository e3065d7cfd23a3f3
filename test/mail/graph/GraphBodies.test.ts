import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import { Mailboxes } from "../../../src/mail/Mailboxes.ts"
import { graphOver, plainTokens, Provider } from "../../support/simulator.ts"
import { failure, refused, scripted } from "./scriptedGraph.ts"

const Batch = Schema.fromJsonString(Schema.Struct({
  requests: Schema.Array(Schema.Struct({
    id: Schema.String,
    method: Schema.String,
    url: Schema.String,
    headers: Schema.Record(Schema.String, Schema.String),
  })),
}))

const partsOf = (body: string) => Schema.decodeUnknownSync(Batch)(body).requests

interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: unknown
}

/** A batch whose parts are answered one by one, the last one first. */
const batched = (body: string, answer: (url: string) => Answer) =>
  Response.json({
    responses: partsOf(body).map(({ id, url }) => ({ id, status: 200, headers: {}, ...answer(url) })).reverse(),
  })

const idIn = (url: string): string => decodeURIComponent(/messages\/([^/?]+)/.exec(url)?.[1] ?? "")

const message = (url: string, more: object = {}) => ({
  id: idIn(url),
  hasAttachments: false,
  bodyPreview: "",
  body: { contentType: "html", content: `<p>${idIn(url)}</p>` },
  ...more,
})

const ids = (count: number) => Array.from({ length: count }, (_, n) => `M/${n}=`)

describe("bodies", () => {
  it.live("come twenty in a request, each asked for by its path with its own preference", () =>
    Effect.gen(function* () {
      const box = yield* scripted(
        (_request, _origin, _count, body) => batched(body, (url) => ({ body: message(url) })),
        {
          byName: true,
          email: "ada+x@example.com",
        },
      )
      const wanted = ids(45)
      const bodies = yield* box.mailbox.bodies!("F", wanted)
      assert.deepStrictEqual([...bodies.keys()], wanted)
      assert.deepStrictEqual(bodies.get("M/3="), {
        text: "M/3=",
        html: "<p>M/3=</p>",
        preview: "",
        hasAttachments: false,
        attachments: [],
        bodyState: "complete",
        bodyReason: null,
      })
      assert.deepStrictEqual(
        box.asked.map(({ method, path }) => `${method} ${path}`),
        Array(3).fill("POST /v1.0/$batch"),
      )
      assert.deepStrictEqual(box.asked.map(({ body }) => partsOf(body).length), [20, 20, 5])
      const [first] = partsOf(box.asked[0]!.body)
      assert.deepStrictEqual(first, {
        id: "0",
        method: "GET",
        url: "/users/ada%2Bx%40example.com/messages/M%2F0%3D?$select=body,bodyPreview,hasAttachments",
        headers: { Prefer: 'IdType="ImmutableId"' },
      })
    }))

  it.live("that were throttled are asked for again after the longest wait, and no others", () =>
    Effect.gen(function* () {
      const waits: ReadonlyArray<Record<string, string>> = [{ "Retry-After": "0.1" }, { "retry-after": "0.4" }, {
        "RETRY-AFTER": "0.2",
      }]
      const box = yield* scripted((_request, _origin, count, body) =>
        batched(
          body,
          (url) =>
            count === 1 && Number(idIn(url).at(2)) < 3
              ? { status: 429, headers: waits[Number(idIn(url).at(2))]!, body: { error: { code: "TooManyRequests" } } }
              : { body: message(url) },
        )
      )
      const bodies = yield* box.mailbox.bodies!("F", ids(8))
      assert.deepStrictEqual(new Set([...bodies.values()].map(({ bodyState }) => bodyState)), new Set(["complete"]))
      assert.deepStrictEqual(box.asked.map(({ body }) => partsOf(body).map(({ url }) => idIn(url))), [
        ids(8),
        ids(3),
      ])
      assert.isAtLeast(box.asked[1]!.at - box.asked[0]!.at, 395)
    }))

  it.live("are left for later where the wait is long, and the mailbox is paused", () =>
    Effect.gen(function* () {
      const box = yield* scripted((_request, _origin, _count, body) =>
        batched(body, (url) =>
          idIn(url) === "M/1="
            ? { status: 429, headers: { "Retry-After": "120" }, body: { error: { code: "" } } }
            : { body: message(url) })
      )
      const bodies = yield* box.mailbox.bodies!("F", ids(3))
      assert.deepStrictEqual([...bodies.keys()], ["M/0=", "M/2="])
      assert.strictEqual(yield* failure(box.mailbox.page("F", null)), "throttled")
      assert.strictEqual(box.asked.length, 1)
    }))

  it.live("of which none comes are an error that says how long to wait", () =>
    Effect.gen(function* () {
      const box = yield* scripted((request, _origin, _count, body) =>
        request.method === "POST"
          ? batched(body, () => ({ status: 429, headers: { "Retry-After": "120" }, body: {} }))
          : refused(429, "", { "retry-after": "120" })
      )
      const error = yield* Effect.flip(box.mailbox.bodies!("F", ids(3)))
      assert.deepInclude(error, { class: "throttled", retryAfterMillis: 120_000 })
      const alone = yield* scripted(() => refused(429, "", { "retry-after": "60" }))
      assert.strictEqual(yield* failure(alone.mailbox.bodies!("F", ids(1))), "throttled")
    }))

  it.live("are told apart: gone, refused for good, failing for now", () =>
    Effect.gen(function* () {
      const box = yield* scripted((_request, _origin, count, body) =>
        batched(body, (url): Answer => {
          switch (idIn(url)) {
            case "M/0=":
              return { status: 404, body: { error: { code: "ErrorItemNotFound" } } }
            case "M/1=":
              return { status: 403, body: { error: { code: "ErrorAccessDenied" } } }
            case "M/2=":
              return count < 3 ? { status: 424, body: { error: { code: "FailedDependency" } } } : { body: message(url) }
            case "M/3=":
              return { status: 503, body: { error: { code: "ErrorMailboxStoreUnavailable" } } }
            case "M/4=":
              return { body: { error: { code: "ErrorInternalServerError" } } }
            default:
              return { body: message(url, { body: { contentType: "text", content: "plain" } }) }
          }
        })
      )
      const bodies = yield* box.mailbox.bodies!("F", ids(6))
      assert.deepStrictEqual([...bodies].map(([id, { bodyState }]) => [id, bodyState]), [
        ["M/1=", "refused"],
        ["M/2=", "complete"],
        ["M/5=", "complete"],
      ])
      assert.include(bodies.get("M/1=")?.bodyReason ?? "", "ErrorAccessDenied")
      assert.deepInclude(bodies.get("M/5="), { html: null, text: "plain" })

      const closed = yield* scripted((_request, _origin, _count, body) =>
        batched(body, () => ({ status: 404, body: { error: { code: "MailboxNotEnabledForRESTAPI" } } }))
      )
      assert.strictEqual(yield* failure(closed.mailbox.bodies!("F", ids(2))), "blocked")
    }))

  for (const status of [400, 404, 405, 501]) {
    it.live(`are read one by one where batches are answered ${status}, and batches tried no more`, () =>
      Effect.gen(function* () {
        const box = yield* scripted((request) =>
          request.method === "POST"
            ? refused(status, "BadRequest")
            : idIn(request.url) === "M/1="
            ? refused(404, "ErrorItemNotFound")
            : Response.json(message(request.url))
        )
        const bodies = yield* box.mailbox.bodies!("F", ids(6))
        assert.deepStrictEqual([...bodies.keys()], ids(6).filter((id) => id !== "M/1="))
        const posts = () => box.asked.filter(({ method }) => method === "POST").length
        const before = posts()
        yield* box.mailbox.bodies!("F", ids(3))
        assert.strictEqual(posts(), before)
      }))
  }

  it.live("bring what is attached, where anything can be", () =>
    Effect.gen(function* () {
      const contents: Record<string, object> = {
        "M/0=": {},
        "M/1=": { hasAttachments: true },
        "M/2=": { body: { contentType: "html", content: '<img src="CID:logo@x">' } },
      }
      const attachments = [
        {
          "@odata.type": "#microsoft.graph.fileAttachment",
          id: "A1",
          name: "a.pdf",
          contentType: "Application/PDF; x=1",
          size: 7,
        },
        { "@odata.type": "#microsoft.graph.itemAttachment", id: "A2", contentType: null, name: null, isInline: false },
        { id: "A3", isInline: "true", contentId: "<logo@x>" },
        { name: "has no id" },
      ]
      const expected = [
        { remoteId: "A1", name: "a.pdf", contentType: "application/pdf", size: 7, inline: false, contentId: null },
        { remoteId: "A2", name: "", contentType: "message/rfc822", size: null, inline: false, contentId: null },
        {
          remoteId: "A3",
          name: "",
          contentType: "application/octet-stream",
          size: null,
          inline: true,
          contentId: "logo@x",
        },
      ]
      const body = (url: string) => message(url, contents[idIn(url)])
      const providers: Record<string, (url: string) => Answer> = {
        "expands": (url) => ({ body: url.includes("$expand=") ? { ...message(url), attachments } : body(url) }),
        "ignores $expand": (url) =>
          url.includes("/attachments?") ? { body: { value: attachments } } : { body: body(url) },
        "knows no casts": (url) =>
          url.includes("fileAttachment/")
            ? { status: 400, body: { error: { code: "RequestBroker--ParseUri" } } }
            : url.includes("/attachments?")
            ? { body: { value: attachments } }
            : { body: body(url) },
      }
      for (const [name, answer] of Object.entries(providers)) {
        const box = yield* scripted((request, _origin, _count, body) => {
          if (request.method === "POST") return batched(body, answer)
          const { body: found, status = 200 } = answer(request.url)
          return Response.json(found, { status })
        })
        const bodies = yield* box.mailbox.bodies!("F", ids(3))
        assert.deepStrictEqual(
          [...bodies.values()].map(({ attachments }) => attachments),
          [[], expected, expected],
          name,
        )
        assert.deepStrictEqual(new Set([...bodies.values()].map(({ bodyState }) => bodyState)), new Set(["complete"]))
      }
    }))
})

const simulated = (options: Parameters<typeof Provider.layer>[0] = {}) =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      Layer.unwrap(Effect.map(Provider, ({ origin }) => graphOver(origin))).pipe(
        Layer.provide(plainTokens),
        Layer.provideMerge(Provider.layer({ accounts: 1, ...options })),
      ),
    )
    const { grants, simulator } = Context.get(context, Provider)
    const email = "sim00001@sim.example"
    grants.set("g", email)
    const { clientId } = simulator.account(email)
    const account = {
      id: "a",
      email,
      provider: "microsoft",
      channel: "graph",
      grantId: "g",
      clientId,
      byName: false,
    } as const
    const mailbox = yield* Context.get(context, Mailboxes).open(account, { ids: () => Effect.succeed([]) })
    const folder = simulator.mailbox(email).folders.find(({ wellKnown }) => wellKnown === "inbox")!.id
    return { email, folder, mailbox, simulator }
  })

describe("over the simulator", () => {
  it.live("every body comes, within the limits, whatever befalls the parts of a batch", () =>
    Effect.gen(function* () {
      const { email, folder, mailbox, simulator } = yield* simulated({
        messages: 150,
        faultRate: 0.1,
        faultKinds: ["throttled", "throttled-bare", "unavailable", "error"],
        retryAfter: "200 millis",
      })
      const wanted = simulator.mailbox(email).messages.filter(({ folderId }) => folderId === folder).map(({ id }) => id)
      const bodies = yield* mailbox.bodies!(folder, wanted)
      assert.strictEqual(bodies.size, wanted.length)
      for (const { attachments, bodyState, hasAttachments, html, text } of bodies.values()) {
        assert.strictEqual(bodyState, "complete")
        assert.isNotNull(text)
        assert.strictEqual(attachments.some(({ inline }) => !inline), hasAttachments)
        const [picture] = attachments.filter(({ inline }) => inline)
        if (picture !== undefined) assert.include(html ?? "", `cid:${picture.contentId}`)
      }
      assert.deepStrictEqual(simulator.counters().violations, {})
    }), 60_000)

  it.live("pages bring no bodies, the newest come first, and ids are those that there are", () =>
    Effect.gen(function* () {
      const { email, folder, mailbox, simulator } = yield* simulated({ messages: 2_500 })
      const { changes } = yield* mailbox.page(folder, null)
      assert.strictEqual(changes.length, 200)
      for (const change of changes) if (change._tag === "Upsert") assert.notProperty(change.fields, "html")
      const there = simulator.mailbox(email).messages.filter(({ folderId }) => folderId === folder).map(({ id }) => id)
      const fresh = simulator.deliver(email, { count: 3 }).map(({ id }) => id)
      const newest = yield* mailbox.newest!(folder)
      assert.deepStrictEqual(
        newest.map(({ remoteId }) => remoteId),
        [...fresh.toReversed(), ...there].slice(0, 50),
      )
      assert.sameMembers([...yield* mailbox.ids!(folder)], [...fresh, ...there])
      assert.strictEqual(yield* failure(mailbox.newest!("AQMkADAwATMwMAItZDk00000999AAA=")), "FolderGone")
    }))

  it.live("links of a listing that was begun with bodies go on bringing them", () =>
    Effect.gen(function* () {
      const { folder, mailbox } = yield* simulated({ messages: 300 })
      const first = yield* mailbox.page(folder, null)
      const url = new URL(first.cursor)
      const asked = `${url.origin}${url.pathname}?$select=subject,hasAttachments,body`
      const old = yield* mailbox.page(folder, asked)
      const { changes } = yield* mailbox.page(folder, old.cursor)
      assert.isNotEmpty(changes)
      const states = new Set<unknown>()
      for (const change of changes) {
        if (change._tag === "Removed") continue
        assert.isNotNull(change.fields.text)
        states.add(change.fields.bodyState)
        assert.strictEqual(change.fields.hasAttachments && change.fields.bodyState !== undefined, false)
      }
      assert.deepStrictEqual(states, new Set(["complete", undefined]))
    }))

  it.live("files and items are streamed, links are told to be links, and what is gone is gone", () =>
    Effect.gen(function* () {
      const { email, folder, mailbox, simulator } = yield* simulated()
      const content = "größer ".repeat(200_000)
      const [{ id } = { id: "" }] = simulator.deliver(email, {
        attachments: [
          { name: "a.txt", content },
          { kind: "item", name: "Fwd: Hello", contentType: null, content: "Subject: Hello\r\n\r\nHi" },
          { kind: "reference", name: "plan.xlsx", contentType: null },
        ],
      })
      const { attachments = [] } = (yield* mailbox.bodies!(folder, [id])).get(id) ?? {}
      assert.deepStrictEqual(attachments.map(({ contentType, name }) => [name, contentType]), [
        ["a.txt", "text/plain"],
        ["Fwd: Hello", "message/rfc822"],
        ["plan.xlsx", "application/octet-stream"],
      ])
      const read = (place: number) => mailbox.attachment!(folder, id, attachments[place]!.remoteId)
      const text = yield* Stream.mkString(Stream.decodeText(read(0)))
      assert.strictEqual(text, content)
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(read(1))), "Subject: Hello\r\n\r\nHi")
      const link = yield* Effect.flip(Stream.runDrain(read(2)))
      assert.deepInclude(link, { _tag: "ProviderError", code: "attachment_is_a_link" })
      assert.strictEqual(yield* failure(Stream.runDrain(mailbox.attachment!(folder, id, "nothing"))), "MessageGone")
      // Whoever goes away in the middle leaves no place taken.
      yield* Effect.forEach(Array(6), () => Stream.runDrain(Stream.take(read(0), 1)))
      assert.strictEqual((yield* mailbox.page(folder, null)).changes.length > 0, true)
    }))
})
