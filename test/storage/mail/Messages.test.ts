import { assert } from "@effect/vitest"
import { Array, DateTime, Effect } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Folders } from "../../../src/storage/mail/Folders.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../../support/databases.ts"
import { acquireLease, mailStorage, makeAccount, page, remoteFolder, upsert } from "../../support/mail.ts"

const at = (minute: number) => DateTime.makeUnsafe(Date.UTC(2026, 0, 1, 0, minute))

/** An account with an inbox of `count` messages, one a minute, every third of them at the time of the one before. */
const inboxOf = Effect.fnUntraced(function* (count: number) {
  const folders = yield* Folders
  const writer = yield* MessageWriter
  const account = yield* makeAccount({})
  const lease = yield* acquireLease(account.id)
  const [inbox, other] = yield* folders.store(lease, [], [
    remoteFolder("INBOX", { role: "inbox" }),
    remoteFolder("OTHER", { displayName: "Other", parentRemoteId: "INBOX" }),
  ])
  yield* writer.applyPage(
    lease,
    inbox!,
    page(
      ...Array.range(1, count).map((n) =>
        upsert(`m${n}`, { subject: `number ${n}`, receivedAt: at(n - (n % 3 === 0 ? 1 : 0)) })
      ),
    ),
  )
  return { account, lease, inbox: inbox!, other: other!, writer }
})

await onDatabases("Messages", mailStorage, (it) => {
  it.effect("lists newest first, page by page, each message once", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(20)
      yield* writer.applyPage(
        lease,
        other,
        page(upsert("none", { subject: "no time" }), upsert("none 2", { receivedAt: null })),
      )
      const seen = []
      let cursor: string | undefined
      do {
        const { items, nextCursor } = yield* messages.list({ accountId: account.id, limit: 3, cursor })
        seen.push(...items)
        cursor = nextCursor ?? undefined
      } while (cursor !== undefined)
      assert.strictEqual(seen.length, 22)
      assert.strictEqual(new Set(seen.map(({ id }) => id)).size, 22)
      const times = seen.map(({ receivedAt }) => receivedAt?.epochMilliseconds ?? -Infinity)
      assert.deepStrictEqual(times, times.toSorted((a, b) => b - a))
    }))

  it.effect("finds folders by id and by role, and nothing under names that mean nothing", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, inbox, other } = yield* inboxOf(4)
      const count = (options: object) =>
        Effect.map(messages.list({ accountId: account.id, limit: 50, ...options }), ({ items }) => items.length)
      assert.strictEqual(yield* count({ folder: "inbox" }), 4)
      assert.strictEqual(yield* count({ folder: inbox.id }), 4)
      assert.strictEqual(yield* count({ folder: inbox.id, accountId: undefined }), 4)
      assert.isAtLeast(yield* count({ folder: "inbox", accountId: undefined }), 4)
      assert.strictEqual(yield* count({ folder: other.id }), 0)
      for (const folder of ["trash", "nonsense", newId()]) assert.strictEqual(yield* count({ folder }), 0)
      for (const accountId of ["nonsense", newId()]) {
        assert.strictEqual(yield* count({ accountId }), 0)
        assert.strictEqual(yield* count({ accountId, folder: "inbox" }), 0)
      }
    }))

  it.effect("finds words of subject, people, attachments, preview and text, in any script", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(3)
      const file = { remoteId: "1", contentType: "a/b", size: 1, inline: false, contentId: null }
      yield* writer.applyPage(
        lease,
        other,
        page(
          upsert("a", { subject: "100% Ünïcode Stromrechnung INV-2026-0077" }),
          upsert("b", {
            from: { name: "Ada Lovelace", address: "ADA.King@example.com" },
            to: [{ name: "Grüße", address: "lin@sub.example.org" }],
          }),
          upsert("c", {
            preview: "snake_case",
            text: "C:\\temp, write to bob+news@example.net. It's raining in Straße 7",
          }),
          upsert("d", { subject: "東京都庁へようこそ", text: "ขอบคุณมาก 대한민국에서" }),
          upsert("e", { text: "الْعَرَبِيَّة ـ Ёлка Ἀθῆναι", attachments: [{ ...file, name: "Jahres_Bericht.pdf" }] }),
        ),
      )
      const found = (q: string, more: object = {}) =>
        Effect.map(
          messages.list({ accountId: account.id, limit: 50, q, ...more }),
          ({ items }) => items.length,
        )
      const expected = {
        "100%": 1,
        "%": 0,
        "ünï": 1,
        "UNICODE": 1,
        // A part of a word, in a subject only.
        "rechnung": 1,
        "echn inv": 1,
        "aining": 0,
        '"rechnung"': 0,
        "0077": 1,
        "inv-2026-00": 1,
        "2026-inv": 0,
        "lovelace": 1,
        "love": 1,
        "love lace": 0,
        "lovelace ada": 1,
        '"king ada"': 0,
        '"ada lovelace': 1,
        "ada@EXAMPLE": 0,
        "ada.king@EXAMPLE": 1,
        "ADA.KING@example.com": 1,
        "king": 1,
        "@sub.example.org": 1,
        "bob+news@example.net": 1,
        "example": 2,
        "grusse": 1,
        "strasse": 1,
        "snake_case": 1,
        "snakeXcase": 0,
        "c:\\TEMP": 1,
        "it’s": 1,
        "number": 3,
        "東京": 1,
        "京都": 1,
        "都庁へ": 1,
        "東庁": 0,
        "庁": 1,
        "そ": 1,
        "ยมา": 0,
        "คุณ": 1,
        "한국": 0,
        "민국": 1,
        "العربية": 1,
        "елка": 1,
        "αθηναι": 1,
        "bericht": 1,
        "\0": 8,
        "": 8,
      }
      const got: Record<string, number> = {}
      for (const q of Object.keys(expected)) got[q] = yield* found(q)
      assert.deepStrictEqual(got, expected)
      assert.strictEqual(yield* found("example", { accountId: undefined, from: "ada.KING@example.com" }), 1)
      assert.strictEqual(yield* found("", { from: "@example.com" }), 1)
      assert.strictEqual(yield* found("", { from: "king@example.com" }), 0)
      assert.strictEqual(yield* found("example", { accountId: newId() }), 0)
    }))

  it.effect("forgets old words and finds new ones when a message changes", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(1)
      const first = yield* writer.applyPage(lease, other, page(upsert("a", { subject: "before", text: "body" })))
      const found = (q: string) =>
        Effect.map(messages.list({ accountId: account.id, limit: 9, q }), ({ items }) => items.length)
      yield* writer.applyPage(lease, first.folder, page(upsert("a", { subject: "after", isRead: true })))
      const counts = []
      for (const q of ["before", "after", "body", "after body"]) counts.push(yield* found(q))
      assert.deepStrictEqual(counts, [0, 1, 1, 1])
    }))

  it.effect("bears texts of any size and kind", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(1)
      const words = Array.range(1, 200_000).map((n) => `w${n}`).join(" ")
      yield* writer.applyPage(
        lease,
        other,
        page(
          upsert("a", { subject: "x".repeat(5_000), text: words }),
          upsert("b", { subject: "'quoted' \\ & | ! <-> :* ()", text: `${"same ".repeat(100_000)}` }),
          upsert("c", {
            subject: "長".repeat(30_000),
            internetMessageId: `<${"é".repeat(4_000)}@x>`,
            threadId: "t".repeat(9_000),
          }),
          upsert("d", { text: "y".repeat(5_000_000), html: "z" }),
        ),
      )
      for (const q of ["w1", "w1000", "quoted", "same", "長長長", "'quoted' \\ & | ! <-> :* ()"]) {
        assert.strictEqual((yield* messages.list({ accountId: account.id, limit: 9, q })).items.length, 1, q)
      }
      const { items } = yield* messages.list({ accountId: account.id, folder: other.id, limit: 9 })
      assert.deepStrictEqual(items.map(({ bodyState }) => bodyState).toSorted(), [
        "complete",
        "complete",
        "headers",
        "truncated",
      ])
      const cut = items.find(({ bodyState }) => bodyState === "truncated")!
      assert.strictEqual(cut.bodyReason, "only the first 4 Mi characters are stored")
      const whole = yield* messages.get(cut.id)
      assert.strictEqual(whole._tag === "Some" && whole.value.text?.length, 4 * 1024 * 1024)
    }))

  it.effect("pages through what a search finds, few hits and very many, wherever in time they are", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(20)
      const read = Effect.fnUntraced(function* (options: object, limit: number) {
        const seen: Array<string> = []
        let cursor: string | undefined
        do {
          const { items, nextCursor } = yield* messages.list({ accountId: account.id, limit, cursor, ...options })
          seen.push(...items.map(({ id }) => id))
          cursor = nextCursor ?? undefined
        } while (cursor !== undefined)
        return seen
      })
      assert.deepStrictEqual(yield* read({ q: "number" }, 3), yield* read({}, 50))

      const now = yield* DateTime.now
      const day = 86_400_000
      const times = Array.range(1, 4_600).map((n) => {
        // 2,500 on one day, a thousand over three years, some in 1985, some ahead and some without a time.
        if (n <= 2_500) return DateTime.makeUnsafe(Date.UTC(2012, 4, 1) + n * 1_000)
        if (n <= 3_500) return DateTime.subtract(now, { hours: n * 7 })
        if (n <= 4_500) return DateTime.makeUnsafe(Date.UTC(1985, 0, 1) + n * day)
        return n <= 4_550 ? DateTime.add(now, { days: n }) : null
      })
      let folder = other
      for (const chunk of Array.chunksOf(times.map((receivedAt, n) => ({ n, receivedAt })), 500)) {
        folder = (yield* writer.applyPage(
          lease,
          folder,
          page(
            ...chunk.map(({ n, receivedAt }) => upsert(`x${n}`, { subject: "crowd", receivedAt, isRead: n % 10 > 0 })),
          ),
        )).folder
      }
      const all = yield* read({ folder: other.id }, 500)
      assert.strictEqual(all.length, 4_600)
      assert.deepStrictEqual(yield* read({ q: "crowd" }, 500), all)
      assert.deepStrictEqual(
        yield* read({ q: "crowd", unread: true }, 100),
        yield* read({ folder: other.id, unread: true }, 100),
      )
    }))

  it.effect("filters by thread, reader, attachment and time, and groups threads", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(1)
      yield* writer.applyPage(
        lease,
        other,
        page(
          upsert("a", { threadId: "T", receivedAt: at(10), subject: "first", isRead: true }),
          upsert("b", { threadId: "T", receivedAt: at(30), subject: "second", hasAttachments: true }),
          upsert("c", { threadId: "U", receivedAt: at(20), subject: "other", isRead: true }),
        ),
      )
      const subjects = (more: object) =>
        Effect.map(
          messages.list({ accountId: account.id, folder: other.id, limit: 9, ...more }),
          ({ items }) => items.map(({ subject }) => subject),
        )
      assert.deepStrictEqual(yield* subjects({ threadId: "T" }), ["second", "first"])
      assert.deepStrictEqual(yield* subjects({ unread: true }), ["second"])
      assert.deepStrictEqual(yield* subjects({ unread: false }), ["other", "first"])
      assert.deepStrictEqual(yield* subjects({ hasAttachments: true }), ["second"])
      assert.deepStrictEqual(yield* subjects({ receivedAfter: at(20) }), ["second", "other"])
      assert.deepStrictEqual(yield* subjects({ receivedBefore: at(20) }), ["first"])
      assert.deepStrictEqual(yield* subjects({ q: "second", unread: false }), [])
      assert.deepStrictEqual(yield* subjects({ q: "first", threadId: "T" }), ["first"])

      const page1 = yield* messages.threads(account.id, { limit: 2 })
      const page2 = yield* messages.threads(account.id, { limit: 2, cursor: page1.nextCursor! })
      assert.deepStrictEqual(
        [...page1.items, ...page2.items].map(({ messages, subject, threadId, unread }) => [
          threadId,
          subject,
          messages,
          unread,
        ]),
        [["T", "second", 2, 1], ["U", "other", 1, 0], [null, "number 1", 1, 1]],
      )
      assert.isNull(page2.nextCursor)
    }))

  it.effect("reads one message with its body, and none under an id that is not known", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, lease, other, writer } = yield* inboxOf(1)
      yield* writer.applyPage(lease, other, page(upsert("x", { html: "<b>x</b>", text: "x" })))
      const [item] = (yield* messages.list({ accountId: account.id, folder: other.id, limit: 1 })).items
      const whole = yield* messages.get(item!.id)
      assert.deepStrictEqual(whole._tag === "Some" && whole.value, { ...item!, html: "<b>x</b>", text: "x" })
      for (const id of ["nonsense", newId()]) assert.strictEqual((yield* messages.get(id))._tag, "None")
    }))

  it.effect("refuses a cursor that it did not hand out", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      for (const parts of [[], ["none"], ["none", "x"], ["soon", newId()], [1e300, newId()], [newId(), 1]]) {
        const cursor = btoa(JSON.stringify(parts))
        assert.strictEqual((yield* Effect.flip(messages.list({ limit: 1, cursor })))._tag, "InvalidCursor")
      }
    }))

  it.effect("shows folders with their parents and counts", () =>
    Effect.gen(function* () {
      const folders = yield* Folders
      const { account, inbox, other } = yield* inboxOf(2)
      const [first, second] = yield* folders.list(account.id)
      assert.deepStrictEqual(
        [first!.id, first!.role, first!.parentId, first!.messages, first!.syncedAt !== null],
        [inbox.id, "inbox", undefined, 2, true],
      )
      assert.deepStrictEqual(
        [second!.id, second!.role, second!.parentId, second!.messages, second!.syncedAt],
        [other.id, undefined, inbox.id, 0, null],
      )
      for (const id of ["nonsense", newId()]) assert.deepStrictEqual(yield* folders.list(id), [])
    }))
})
