import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { RemoteBody } from "../../../src/mail/Mailbox.ts"
import { Dovecot, letter, within, writerOf } from "../../support/dovecot.ts"
import { imapProxy, outlookLacks } from "../../support/imapProxy.ts"
import { newUser, openMailbox } from "./imapWorld.ts"

const mixed = (
  ...parts: ReadonlyArray<string>
) => [
  "Content-Type: multipart/mixed; boundary=mix",
  "MIME-Version: 1.0",
  "",
  ...parts.map((part) => `--mix\r\n${part}`),
  "--mix--",
  "",
]

const source = (...lines: ReadonlyArray<string>) =>
  ["Message-ID: <m@example.org>", "From: a@example.org", "Subject: s", ...lines].join("\r\n")

const text = (content: string) => `Content-Type: text/plain; charset=utf-8\r\n\r\n${content}\r\n`

const base64 = (content: string) => btoa(content).replace(/.{76}/g, "$&\r\n")

const file = (name: string, content: string, head = "") =>
  `Content-Type: application/pdf\r\nContent-Disposition: attachment; ${name}\r\n${head}Content-Transfer-Encoding: base64\r\n\r\n${
    base64(content)
  }\r\n`

/** Fields and body of each message in an inbox that holds these, by the order they were put in. */
const readInbox = Effect.fnUntraced(function* (sources: ReadonlyArray<string | Uint8Array>, url?: string) {
  const { seed } = yield* Dovecot
  const email = newUser()
  yield* Effect.promise(() => seed(email, "INBOX", sources))
  const { mailbox, replica } = yield* openMailbox({ email, ...(url === undefined ? {} : { url }) })
  yield* replica.round(mailbox)
  const messages = [...replica.folders.get("INBOX")!.messages].sort(([a], [b]) =>
    Number(a.split(".").at(-1)) - Number(b.split(".").at(-1))
  )
  const bodies = yield* mailbox.bodies!("INBOX", messages.map(([id]) => id))
  return {
    mailbox,
    email,
    messages: messages.map(([id, fields]) => ({ id, fields, body: bodies.get(id) as RemoteBody | undefined })),
  }
})

const collect = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(stream), (pieces) => {
    const all = new Uint8Array(pieces.reduce((size, piece) => size + piece.byteLength, 0))
    let end = 0
    for (const piece of pieces) {
      all.set(piece, end)
      end += piece.byteLength
    }
    return all
  })

layer(Dovecot.layer, { timeout: "60 seconds", excludeTestServices: true })("Messages over IMAP", (it) => {
  it.effect("have what their headers tell", () =>
    Effect.gen(function* () {
      const { messages: [answer, first, bare] } = yield* readInbox([
        letter({
          id: "answer@example.org",
          subject: "=?utf-8?b?R3LDvMOfZQ==?=",
          headers: [
            "In-Reply-To: <two@example.org>",
            "References: <one@example.org> <two@example.org>",
            "Importance: High",
            "Cc: =?iso-8859-1?q?J=F6rg?= <joerg@example.org>, group: x@example.org, y@example.org;",
          ],
        }),
        letter({ id: "first@example.org", headers: ["X-Priority: 5 (Lowest)"] }),
        "\r\n",
      ])
      assert.deepInclude(answer!.fields, {
        subject: "Grüße",
        from: { name: "Ada Lovelace", address: "ada@example.org" },
        internetMessageId: "<answer@example.org>",
        threadId: "<one@example.org>",
        importance: "high",
        hasAttachments: false,
        isRead: false,
        isFlagged: false,
        isDraft: false,
        categories: [],
        attachments: [],
      })
      assert.deepInclude(answer!.fields.cc!, { name: "Jörg", address: "joerg@example.org" })
      assert.strictEqual(answer!.fields.sentAt?.epochMilliseconds, Date.UTC(2026, 10, 2, 10))
      assert.isNotNull(answer!.fields.receivedAt)
      assert.deepInclude(first!.fields, { threadId: "<first@example.org>", importance: "low" })
      assert.deepInclude(bare!.fields, {
        subject: "",
        from: null,
        to: [],
        internetMessageId: null,
        threadId: null,
        sentAt: null,
      })
      assert.deepInclude(bare!.body!, { bodyState: "complete", html: null })
    }).pipe(Effect.scoped))

  it.effect("have their texts, and attachments by whatever names they bear", () =>
    Effect.gen(function* () {
      const { mailbox, messages: [one, forwarded] } = yield* readInbox([
        source(
          "Content-Type: multipart/mixed; boundary=mix",
          "",
          "--mix",
          "Content-Type: multipart/related; boundary=rel",
          "",
          "--rel",
          "Content-Type: multipart/alternative; boundary=alt",
          "",
          "--alt",
          text("plain Ä"),
          "--alt",
          "Content-Type: text/html; charset=utf-8",
          "Content-Transfer-Encoding: quoted-printable",
          "",
          '<p>rich =C3=84 <img src=3D"cid:pic"></p>',
          "--alt--",
          "--rel",
          "Content-Type: image/png",
          "Content-ID: <pic>",
          "Content-Transfer-Encoding: base64",
          "",
          base64("picture"),
          "--rel--",
          "--mix",
          file("filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.pdf", "%PDF one"),
          "--mix",
          file('filename="=?utf-8?q?Zw=C3=B6lf.pdf?="', "%PDF two"),
          "--mix",
          file("filename*0=long-; filename*1=name.pdf", "%PDF three"),
          "--mix",
          "Content-Type: text/plain; name=notes.txt",
          "Content-Disposition: attachment",
          "",
          "notes",
          "--mix--",
        ),
        source(...mixed(text("see below"), `Content-Type: message/rfc822\r\n\r\n${letter({ subject: "Inner" })}`)),
      ])
      assert.strictEqual(one!.body!.text?.trim(), "plain Ä")
      assert.include(one!.body!.html, "rich Ä")
      assert.deepStrictEqual(
        one!.body!.attachments.map(({ contentId, contentType, inline, name, remoteId }) => [
          remoteId,
          name,
          contentType,
          inline,
          contentId,
        ]),
        [
          ["1.2", "", "image/png", true, "pic"],
          ["2", "Übersicht €.pdf", "application/pdf", false, null],
          ["3", "Zwölf.pdf", "application/pdf", false, null],
          ["4", "long-name.pdf", "application/pdf", false, null],
          ["5", "notes.txt", "text/plain", false, null],
        ],
      )
      assert.isTrue(one!.fields.hasAttachments)
      assert.deepStrictEqual(one!.fields.attachments, one!.body!.attachments)
      const read = (id: string, part: string) =>
        Effect.map(collect(mailbox.attachment!("INBOX", id, part)), (all) => new TextDecoder().decode(all))
      assert.strictEqual(yield* read(one!.id, "2"), "%PDF one")
      assert.strictEqual(yield* read(one!.id, "1.2"), "picture")
      assert.strictEqual((yield* read(one!.id, "5")).trim(), "notes")

      assert.strictEqual(forwarded!.body!.text?.trim(), "see below")
      assert.deepInclude(forwarded!.body!.attachments[0]!, {
        remoteId: "2",
        name: "Inner.eml",
        contentType: "message/rfc822",
      })
      assert.include(yield* read(forwarded!.id, "2"), "Subject: Inner")

      for (const [id, part] of [[one!.id, "9"], [`${one!.id}9`, "2"], [one!.id, "x"], ["INBOX/1.1", "2"]] as const) {
        const error = yield* Effect.flip(collect(mailbox.attachment!("INBOX", id, part)))
        assert.deepInclude(error, { _tag: "MessageGone" })
      }
    }).pipe(Effect.scoped))

  it.effect("keep texts that lie behind large attachments, and the beginning of those that are large themselves", () =>
    Effect.gen(function* () {
      const large = "x".repeat(1_500_000)
      const { messages: [behind, before, huge] } = yield* readInbox([
        source(
          ...mixed(
            file("filename=a.pdf", large),
            text("behind"),
            "Content-Type: text/html\r\n\r\n<p>rich behind</p>\r\n",
          ),
        ),
        source(...mixed(text("before"), file("filename=a.pdf", large))),
        source("Content-Type: text/plain", "", "word ".repeat(300_000)),
      ])
      assert.deepStrictEqual(
        [behind!.body!.text?.trim(), behind!.body!.html?.trim(), behind!.body!.bodyState],
        ["behind", "<p>rich behind</p>", "complete"],
      )
      assert.deepStrictEqual([before!.body!.text?.trim(), before!.body!.bodyState], ["before", "complete"])
      assert.approximately(before!.body!.attachments[0]!.size!, 1_500_000, 2_000)
      assert.strictEqual(huge!.body!.bodyState, "truncated")
      assert.isNotNull(huge!.body!.bodyReason)
      assert.approximately(huge!.body!.text!.length, 1_048_576, 1_000)
    }).pipe(Effect.scoped))

  it.effect("however hostile, do not hold up the folder they lie in", () =>
    Effect.gen(function* () {
      let nested = "Content-Type: text/plain\r\n\r\ndeep\r\n"
      for (let n = 0; n < 110; n++) {
        nested = `Content-Type: multipart/mixed; boundary=b${n}\r\n\r\n--b${n}\r\n${nested}\r\n--b${n}--\r\n`
      }
      let forwards = "Subject: innermost\r\n\r\nx\r\n"
      for (let n = 0; n < 110; n++) forwards = `Subject: ${n}\r\nContent-Type: message/rfc822\r\n\r\n${forwards}`
      const recipients = Array.from({ length: 10_000 }, (_, n) => `"P ${n}" <p${n}@example.org>`).join(",\r\n ")
      const junk = Uint8Array.from({ length: 4_000 }, (_, n) => (n * 7919) % 256)
      const { messages } = yield* readInbox([
        source(nested.trimStart()),
        forwards,
        source(`To: ${recipients}`, "", "to many"),
        source("Subject: nul\0nul", 'From: "\0" <\0@\0>', "", "a\0b"),
        source("Content-Type: text/plain; charset=klingon", "", "qapla'"),
        source("Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: base64", "", "!!! not base64 ==="),
        source("Content-Type: multipart/mixed", "", "without a boundary"),
        source("Date: the day before yesterday", "", "no date"),
        source(`X-Long: ${"y".repeat(300_000)}`, "", "long header"),
        source(`Subject: ${"=?utf-8?q?a?= ".repeat(5_000)}`, "", "many words"),
        source("Subject: \u{1f600} raw utf-8 Ünïcode", "", "8 bit"),
        junk,
        new Uint8Array([...new TextEncoder().encode("Subject: "), 0xff, 0xfe, 0xe9, 13, 10, 13, 10, 0xe9, 0xff]),
        source("Content-Type: text/plain", "", "the last one"),
      ])
      assert.strictEqual(messages.length, 14)
      for (const { body, fields } of messages) {
        assert.isDefined(body)
        assert.include(["complete", "refused"], body!.bodyState)
        const all = JSON.stringify([fields, body])
        assert.notInclude(all, "\\u0000")
        assert.isTrue(all.isWellFormed())
      }
      assert.strictEqual(messages[2]!.fields.to!.length, 10_000)
      // Dovecot sends NUL as another byte.
      assert.match(messages[3]!.body!.text!.trim(), /^a.?b$/)
      assert.strictEqual(messages.at(-1)!.body!.text?.trim(), "the last one")
    }).pipe(Effect.scoped), 60_000)

  it.effect("that are copied or moved are known again", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port, { hidden: outlookLacks })
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        await writer.append("INBOX", letter({ id: "moved@example.org" }))
        await writer.append("INBOX", letter({ id: "copied@example.org" }))
        // Without a Message-ID.
        await writer.append("INBOX", "From: a@example.org\r\nSubject: bare\r\n\r\nx\r\n")
      })
      const { mailbox, replica } = yield* openMailbox({ url: proxy.url, email })
      const twins = new Map<string, string>()
      const listing = yield* mailbox.page("INBOX", null)
      for (const change of listing.changes) if (change._tag === "Upsert") twins.set(change.remoteId, change.twinKey!)
      assert.strictEqual(new Set(twins.values()).size, 3)
      yield* within(writer, "INBOX", async () => {
        await writer.messageMove("1,3", "Archive")
        await writer.messageCopy("1", "Archive")
      })
      const there = yield* mailbox.page("Archive", null)
      assert.deepStrictEqual(
        there.changes.map((change) => "twinKey" in change ? change.twinKey : "").sort(),
        [...twins.values()].sort(),
      )
      const ids = [...twins.keys()]
      const present = yield* mailbox.present!("INBOX", ids)
      assert.deepStrictEqual([...present].map((id) => twins.get(id)), ["<copied@example.org>"])
      assert.deepStrictEqual(yield* mailbox.ids!("INBOX"), [...present])
      yield* replica.list(mailbox)
    }).pipe(Effect.scoped))

  it.effect("are read no faster than they are taken", () =>
    Effect.gen(function* () {
      const { port, seed } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      const email = newUser()
      yield* Effect.promise(() =>
        seed(email, "INBOX", [source(...mixed(text("x"), file("filename=a.bin", "y".repeat(20_000_000))))])
      )
      const { mailbox } = yield* openMailbox({ url: proxy.url, email })
      const page = yield* mailbox.page("INBOX", null)
      let taken = 0
      const reader = yield* mailbox.attachment!("INBOX", page.changes[0]!.remoteId, "2").pipe(
        Stream.runForEach((piece) => {
          taken += piece.byteLength
          return taken > 300_000 ? Effect.never : Effect.void
        }),
        Effect.forkChild,
      )
      while (taken <= 300_000) yield* Effect.sleep("20 millis")
      yield* Effect.sleep("1 second")
      const received = proxy.received
      assert.isBelow(received, 4_000_000)
      yield* Effect.sleep("500 millis")
      assert.strictEqual(proxy.received, received)
      yield* Fiber.interrupt(reader)
      // The connection, and the mailbox's turn, are free again.
      yield* mailbox.folders([])
    }).pipe(Effect.scoped), 30_000)
})
