import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { Buffer } from "node:buffer"
import { AttachmentReader } from "../../../src/mail/gmail/GmailAttachment.ts"
import { folderOf, foldersOf, labelFields, namesOf } from "../../../src/mail/gmail/GmailFolders.ts"
import { HistoryPage, lastWords } from "../../../src/mail/gmail/GmailHistory.ts"
import { GmailMessage, toUpsert } from "../../../src/mail/gmail/GmailMessage.ts"
import { decodeText, findPart } from "../../../src/mail/gmail/GmailParts.ts"

const data = (text: string, encoding: BufferEncoding = "utf8") => ({
  size: text.length,
  data: Buffer.from(text, encoding).toString("base64url"),
})

const header = (name: string, value: string) => ({ name, value })

const names = new Map([["Label_1", "Zoo"], ["Label_2", "Art/Modern"]])

const decode = (message: unknown) => Schema.decodeUnknownSync(GmailMessage)(message)

const fields = (payload: unknown, more: object = {}) =>
  toUpsert(decode({ id: "1", payload, ...more }), "full", names).fields

describe("Gmail messages", () => {
  it("become what this house knows", () => {
    const upsert = toUpsert(
      decode({
        id: "19aa",
        threadId: "19a0",
        labelIds: ["UNREAD", "IMPORTANT", "STARRED", "Label_1", "Label_2", "CATEGORY_SOCIAL", "INBOX", "Label_9"],
        snippet: "Tom &amp; Jerry&#39;s &lt;b&gt; &quot;x&quot; &#x1F600; &unknown;",
        historyId: "18446744073709551615",
        internalDate: "1764000000123",
        sizeEstimate: 1234,
        payload: {
          partId: "",
          mimeType: "text/plain",
          filename: "",
          headers: [
            header("From", '"O\'Neil, Pat" <pat@shop.example>'),
            header("TO", "Team: ada@x.example, Bo <bo@x.example>;"),
            header("Cc", "undisclosed-recipients:;"),
            header("Reply-To", "=?utf-8?B?R3LDvMOfZQ==?= <g@x.example>"),
            header("Subject", "=?iso-8859-1?Q?Gr=FC=DFe?="),
            header("Date", "Mon, 24 Nov 2025 16:00:00 +0000 (UTC)"),
            header("Message-Id", " <m@x> "),
            header("Content-Type", "text/plain; charset=utf-8"),
          ],
          body: data("Grüße 👋"),
        },
      }),
      "full",
      names,
    )
    assert.deepStrictEqual([upsert.remoteId, upsert.folderRemoteId, upsert.ifKnown], ["19aa", "INBOX", undefined])
    const { receivedAt, sentAt, ...rest } = upsert.fields
    assert.strictEqual(DateTime.toEpochMillis(receivedAt!), 1764000000123)
    assert.strictEqual(DateTime.formatIso(sentAt!), "2025-11-24T16:00:00.000Z")
    assert.deepStrictEqual(rest, {
      preview: 'Tom & Jerry\'s <b> "x" 😀 &unknown;',
      threadId: "19a0",
      size: 1234,
      subject: "Grüße",
      from: { name: "O'Neil, Pat", address: "pat@shop.example" },
      to: [{ name: "", address: "ada@x.example" }, { name: "Bo", address: "bo@x.example" }],
      cc: [],
      bcc: [],
      replyTo: [{ name: "Grüße", address: "g@x.example" }],
      internetMessageId: "<m@x>",
      text: "Grüße 👋",
      html: null,
      attachments: [],
      bodyState: "complete",
      bodyReason: null,
      hasAttachments: false,
      isRead: false,
      isFlagged: true,
      isDraft: false,
      importance: "high",
      categories: ["Art/Modern", "Zoo", "CATEGORY_SOCIAL"],
    })
    // Next to nothing, as JSON leaves out what is empty.
    const bare = toUpsert(decode({ id: "2" }), "full", names)
    assert.deepStrictEqual([bare.folderRemoteId, bare.fields.bodyState, bare.fields.isRead], [
      "ALL_MAIL",
      "refused",
      true,
    ])
    assert.isNull(fields({ mimeType: "text/plain" }, { internalDate: "99999999999999999" }).receivedAt)
    assert.isNull(fields({ headers: [header("Date", "yesterday")] }).sentAt)
  })

  it("text and HTML are found in nested parts, files beside them", () => {
    const related = {
      partId: "0.1",
      mimeType: "multipart/related",
      parts: [
        { partId: "0.1.0", mimeType: "text/html", body: data("<p>Hi <img src='cid:pic'></p>") },
        {
          partId: "0.1.1",
          mimeType: "image/png",
          filename: "pic.png",
          headers: [header("Content-ID", "<pic>"), header("Content-Disposition", 'inline; filename="pic.png"')],
          body: { attachmentId: "x", size: 9 },
        },
      ],
    }
    const payload = {
      partId: "",
      mimeType: "multipart/mixed",
      parts: [
        {
          partId: "0",
          mimeType: "multipart/alternative",
          parts: [
            { partId: "0.0", mimeType: "text/plain", body: data("Hi") },
            { partId: "0.2", mimeType: "text/x-amp-html", body: data("<html amp>") },
            related,
            { partId: "0.3", mimeType: "text/calendar", body: data("BEGIN:VCALENDAR") },
          ],
        },
        { partId: "1", mimeType: "application/PDF", filename: "a.pdf", body: { attachmentId: "y", size: 10 } },
        { partId: "2", mimeType: "text/plain", filename: "notes.txt", body: { attachmentId: "z", size: 11 } },
        { partId: "3", mimeType: "text/plain", body: data("-- list footer") },
        {
          partId: "4",
          mimeType: "message/rfc822",
          filename: "forwarded.eml",
          body: { attachmentId: "w", size: 12 },
          parts: [{ partId: "4.0", mimeType: "text/plain", body: data("not of this message") }],
        },
      ],
    }
    const { attachments, bodyState, hasAttachments, html, text } = fields(payload)
    assert.deepStrictEqual([text, html, bodyState, hasAttachments], [
      "Hi\n-- list footer",
      "<p>Hi <img src='cid:pic'></p>\n<pre>-- list footer</pre>",
      "complete",
      true,
    ])
    assert.deepStrictEqual(attachments!.map((file) => [file.remoteId, file.name, file.contentType, file.inline]), [
      ["0.1.1", "pic.png", "image/png", true],
      ["0.3", "", "text/calendar", false],
      ["1", "a.pdf", "application/pdf", false],
      ["2", "notes.txt", "text/plain", false],
      ["4", "forwarded.eml", "message/rfc822", false],
    ])
    assert.strictEqual(attachments![0]!.contentId, "pic")
    assert.strictEqual(findPart(decode({ id: "1", payload }).payload!, "0.1.1")?.body?.attachmentId, "x")

    assert.deepInclude(fields({ partId: "", mimeType: "text/html", body: data("<p>Hi <b>you</b></p>") }), {
      html: "<p>Hi <b>you</b></p>",
      text: "Hi you",
    })
    const whole = { partId: "", mimeType: "image/png", filename: "a.png", body: { attachmentId: "q", size: 1 } }
    assert.deepInclude(fields(whole), { text: null, html: null, hasAttachments: true })
    assert.strictEqual(findPart(whole, fields(whole).attachments![0]!.remoteId)?.body?.attachmentId, "q")
    // A text so long that it comes as a file.
    const long = fields({ partId: "", mimeType: "text/plain", body: { attachmentId: "l", size: 9_000_000 } })
    assert.deepStrictEqual([long.bodyState, long.attachments!.length, long.text], ["truncated", 1, null])
  })

  it("text is read by its charset, unless it is UTF-8 all the same", () => {
    const bytes = (text: string, encoding: BufferEncoding) => new Uint8Array(Buffer.from(text, encoding))
    assert.strictEqual(decodeText(bytes("Größe", "latin1"), "iso-8859-1"), "Größe")
    assert.strictEqual(decodeText(bytes("Größe", "utf8"), "iso-8859-1"), "Größe")
    assert.strictEqual(decodeText(bytes("Größe", "latin1"), "utf-8"), "Gr\ufffd\ufffde")
    assert.strictEqual(decodeText(bytes("Größe", "latin1"), "x-unknown"), "Größe")
    assert.strictEqual(decodeText(bytes("\u001b$B$3$s\u001b(B", "latin1"), "iso-2022-jp"), "こん")
  })

  it("lie in one folder, by precedence; labels nest by their names", () => {
    const cases = [
      [["INBOX", "TRASH", "SENT"], "TRASH"],
      [["Label_1", "SPAM"], "SPAM"],
      [["DRAFT", "INBOX"], "DRAFT"],
      [["SENT", "INBOX", "Label_1"], "INBOX"],
      [["Label_1", "SENT"], "SENT"],
      [["Label_1", "Label_2", "UNREAD"], "Label_2"],
      [["Label_9", "CATEGORY_FORUMS"], "ALL_MAIL"],
      [[], "ALL_MAIL"],
    ] as const
    for (const [labels, folder] of cases) assert.strictEqual(folderOf(labels, names), folder)
    assert.deepStrictEqual(labelFields([], names), {
      isRead: true,
      isFlagged: false,
      isDraft: false,
      importance: "normal",
      categories: [],
    })
    const labels = [
      { id: "INBOX", name: "INBOX", type: "system" },
      { id: "CHAT", name: "CHAT" },
      { id: "Label_1", name: "a", type: "user" },
      { id: "Label_2", name: "a/b/c", type: "user" },
      { id: "Label_3", name: "a/b/c/d/e" },
      { id: "Label_4", name: "/x", type: "user" },
      { id: "Label_5" },
    ]
    assert.deepStrictEqual([...namesOf(labels).keys()], ["Label_1", "Label_2", "Label_3", "Label_4", "Label_5"])
    assert.deepStrictEqual(
      foldersOf(labels, new Map([["Label_1", 3]])).map((
        f,
      ) => [f.remoteId, f.parentRemoteId, f.displayName, f.totalItems]),
      [
        ["ALL_MAIL", null, "All Mail", null],
        ["INBOX", null, "Inbox", null],
        ["Label_1", null, "a", 3],
        ["Label_2", "Label_1", "b/c", null],
        ["Label_3", "Label_2", "d/e", null],
        ["Label_4", null, "/x", null],
        ["Label_5", null, "Label_5", null],
      ],
    )
  })

  it("of a history the last word on each message counts", () => {
    const page = Schema.decodeUnknownSync(HistoryPage)({
      historyId: "9100000000000000009",
      history: [
        { id: "1", messages: [{ id: "a" }], messagesAdded: [{ message: { id: "a", labelIds: ["INBOX"] } }] },
        { id: "2", labelsRemoved: [{ message: { id: "a", labelIds: [] }, labelIds: ["INBOX"] }] },
        { id: "3", labelsAdded: [{ message: { id: "b", labelIds: ["INBOX", "STARRED"] }, labelIds: ["STARRED"] }] },
        { id: "4", labelsRemoved: [{ message: { id: "b" }, labelIds: ["STARRED", "INBOX"] }] },
        { id: "5", labelsAdded: [{ message: { id: "c" }, labelIds: ["STARRED"] }] },
        { id: "6", messagesAdded: [{ message: { id: "d" } }] },
        { id: "8", messagesDeleted: [{ message: { id: "d" } }, {}] },
        { id: "9" },
      ],
    })
    assert.deepStrictEqual([...lastWords(page)], [["a", "added"], ["b", []], ["c", "labels"], ["d", "gone"]])
    assert.deepStrictEqual([...lastWords(Schema.decodeUnknownSync(HistoryPage)({ historyId: "1" }))], [])
    assert.throws(() => Schema.decodeUnknownSync(HistoryPage)({ historyId: 9100000000000000009 }))
  })

  const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 }))).check(
    Schema.isMinLength(1),
  )

  it.effect.prop(
    "attachments are decoded however their JSON is cut",
    [Schema.String, Cuts, Schema.Literals(["", "=", "\\u003d"])],
    ([text, cuts, padding]) =>
      Effect.sync(() => {
        const content = Buffer.from(text)
        const json = `{\n  "attachmentId": "no",\n  "size": 1,\n "data" : "${
          content.toString("base64url")
        }${padding}",\n "more": "data"}`
        const bytes = new TextEncoder().encode(json)
        const reader = new AttachmentReader()
        const pieces: Array<Uint8Array> = []
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const size = cuts[n % cuts.length]!
          pieces.push(reader.read(bytes.subarray(at, at + size)))
          at += size
        }
        assert.strictEqual(Buffer.concat(pieces).compare(content), 0)
        assert.isTrue(reader.isWhole)
      }),
  )

  it("attachments that end too soon are not whole", () => {
    const reader = new AttachmentReader()
    reader.read(new TextEncoder().encode('{"data":"aGVs'))
    assert.isFalse(reader.isWhole)
  })
})
