import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { GraphMessage, messageSelect, toChange } from "../../../src/mail/graph/GraphMessage.ts"

const change = (message: object) => toChange(Schema.decodeUnknownSync(GraphMessage)({ id: "1", ...message }))
const fields = (message: object) => {
  const one = change(message)
  return one._tag === "Upsert" ? one.fields : assert.fail("removed")
}

describe("GraphMessage", () => {
  it("leaves out what did not come, and empties what came as null", () => {
    assert.deepStrictEqual(fields({}), {})
    assert.deepStrictEqual(
      fields({
        subject: null,
        from: null,
        toRecipients: null,
        isRead: null,
        categories: null,
        body: null,
        flag: null,
        receivedDateTime: null,
      }),
      {
        subject: "",
        from: null,
        to: [],
        receivedAt: null,
        isRead: false,
        isFlagged: false,
        categories: [],
        html: null,
        text: null,
      },
    )
  })

  it("maps what Graph sends", () => {
    const mapped = fields({
      "@odata.etag": 'W/"1"',
      from: { emailAddress: { name: "Ada", address: "ada@example.com" } },
      toRecipients: [{ emailAddress: { address: "lin@example.com" } }, { emailAddress: null }, null],
      isRead: "true",
      flag: { flagStatus: "flagged" },
      receivedDateTime: "2026-09-01T08:00:00Z",
      conversationId: "C",
      body: { contentType: "HTML", content: '<p>Hello <b>you</b></p><img src=x><a href="https://e.example">go</a>' },
      somethingNew: { a: 1 },
    })
    const { html, receivedAt, text, ...rest } = mapped
    assert.deepStrictEqual(rest, {
      from: { name: "Ada", address: "ada@example.com" },
      to: [{ name: "", address: "lin@example.com" }, { name: "", address: "" }],
      isRead: true,
      isFlagged: true,
      threadId: "C",
    })
    assert.strictEqual(receivedAt?.epochMilliseconds, Date.UTC(2026, 8, 1, 8))
    assert.include(html ?? "", "<b>you</b>")
    assert.strictEqual(text, "Hello you\n\ngo [https://e.example]")
  })

  it("keeps a plain body as it is, without HTML", () => {
    assert.deepStrictEqual(fields({ body: { contentType: "text", content: "a <b> c" } }), {
      html: null,
      text: "a <b> c",
    })
  })

  it("takes a body that comes for all there is only where nothing can be attached", () => {
    const html = (content: string) => ({ body: { contentType: "html", content } })
    assert.deepInclude(fields({ hasAttachments: false, ...html("<p>Hi</p>") }), {
      bodyState: "complete",
      bodyReason: null,
      attachments: [],
      text: "Hi",
    })
    for (const message of [{ hasAttachments: true, ...html("<p>Hi</p>") }, html("<p>Hi</p>")]) {
      assert.notProperty(fields(message), "bodyState")
    }
    assert.notProperty(fields({ hasAttachments: false, ...html('<img src="cid:1">') }), "bodyState")
  })

  it("takes times that are none, or of other ages, as unknown", () => {
    for (const receivedDateTime of ["", "yesterday", "+275760-09-13T00:00:00Z", "2026-13-01T00:00:00Z"]) {
      assert.deepStrictEqual(fields({ receivedDateTime }), { receivedAt: null })
    }
    assert.strictEqual(
      fields({ sentDateTime: "0001-01-01T00:00:00Z" }).sentAt?.epochMilliseconds,
      Date.parse("0001-01-01T00:00:00Z"),
    )
  })

  it("knows a removal whatever its reason", () => {
    for (const reason of ["deleted", "changed"]) {
      assert.deepStrictEqual(change({ "@removed": { reason } }), { _tag: "Removed", remoteId: "1" })
    }
  })

  it("asks for every field that it maps, but for bodies", () => {
    assert.strictEqual(
      messageSelect,
      "subject,from,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,isRead,isDraft,flag,importance,categories,hasAttachments,bodyPreview,internetMessageId,conversationId",
    )
  })
})
