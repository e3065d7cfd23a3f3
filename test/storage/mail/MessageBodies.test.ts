/** Bodies that come later, what of the mail an account keeps, and what is tidied up. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Option } from "effect"
import type { OwnMailChoice } from "../../../src/domain/MailChoice.ts"
import { Settings } from "../../../src/domain/Settings.ts"
import type { RemoteBody, RemoteMessage } from "../../../src/mail/Mailbox.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { MailKeeping } from "../../../src/storage/mail/MailKeeping.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { type LeaseKey, SyncLeases } from "../../../src/storage/mail/SyncLeases.ts"
import { onDatabases } from "../../support/databases.ts"
import { changesOf, mailStorage, middlePage, page, removed, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const storage = Layer.mergeAll(mailStorage, Accounts.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({})))))

const body = (text: string, more: Partial<RemoteBody> = {}): RemoteBody => ({
  text,
  html: null,
  attachments: [],
  bodyState: "complete",
  bodyReason: null,
  ...more,
})

const daysAgo = (days: number) => Effect.map(DateTime.now, (now) => DateTime.subtract(now, { days }))

const old = Effect.fnUntraced(function* (remoteId: string, days: number, fields: Partial<RemoteMessage> = {}) {
  return upsert(remoteId, { subject: remoteId, receivedAt: yield* daysAgo(days), ...fields })
})

const choose = (accountId: string, mail: OwnMailChoice | null) =>
  Effect.flatMap(Accounts, (accounts) => accounts.patch(accountId, { mail }))

const search = (accountId: string, q: string) =>
  Effect.flatMap(Messages, (messages) =>
    Effect.map(
      messages.list({ accountId, q, limit: 50 }),
      ({ items }) => items.map(({ subject }) => subject).toSorted(),
    ))

const backlog = ({ lease }: { readonly lease: LeaseKey }) =>
  Effect.flatMap(MessageWriter, (writer) => Effect.map(writer.bodyBacklog(lease, 10), ({ wanted }) => wanted))

await onDatabases("Message bodies", storage, (it) => {
  it.effect("wants the bodies of the last 90 days that are not stored, and keeps a backlog of the others", () =>
    Effect.gen(function* () {
      const writer = yield* MessageWriter
      const messages = yield* Messages
      const box = yield* mailbox()
      const changes = [
        yield* old("new", 1),
        yield* old("old", 100),
        yield* old("whole", 1, { text: "here" }),
        upsert("no time", { subject: "no time" }),
        { ...(yield* old("unknown", 1)), ifKnown: true },
        removed("gone"),
        yield* old("late", 2),
      ]
      const wanted = yield* writer.wanting(box.lease, box.folder("A"), changes)
      assert.deepStrictEqual(wanted, ["new", "no time", "late"])
      yield* box.apply("A", page(...changes, upsert("new", body("hello"))))
      assert.deepStrictEqual(yield* writer.wanting(box.lease, box.folder("A"), changes), ["no time", "late"])
      assert.deepStrictEqual(yield* backlog(box), [
        { folderRemoteId: "A", remoteIds: ["no time", "late"] },
      ])
      // One at a time, and each once.
      const first = yield* writer.bodyBacklog(box.lease, 1)
      const second = yield* writer.bodyBacklog(box.lease, 1, first.end)
      const third = yield* writer.bodyBacklog(box.lease, 1, second.end)
      assert.deepStrictEqual([first, second].map(({ wanted }) => wanted[0]!.remoteIds), [["no time"], ["late"]])
      assert.deepStrictEqual(third, { wanted: [], end: undefined })
      yield* box.log
      // Moved in the meantime: the body finds it.
      yield* box.apply("B", page(upsert("late", {})))
      yield* writer.storeBodies(
        box.lease,
        "A",
        new Map([
          [
            "late",
            body("later", {
              html: "<p>later</p>",
              attachments: [{
                remoteId: "part 2",
                name: "a\0b.pdf",
                contentType: "application/pdf",
                size: 3,
                inline: false,
                contentId: null,
              }],
            }),
          ],
          ["no time", body("", { bodyState: "refused", bodyReason: "broken MIME" })],
          ["unknown", body("x")],
        ]),
      )
      assert.deepStrictEqual(yield* box.log, [
        "moved B",
        "updated B attachments+bodyState+text+html",
        "updated A bodyState+bodyReason+text",
      ])
      assert.deepStrictEqual(yield* backlog(box), [])
      assert.deepStrictEqual(yield* search(box.account.id, "later"), ["late"])
      const { items } = yield* messages.list({ accountId: box.account.id, folder: box.folder("B").id, limit: 9 })
      assert.deepStrictEqual(items[0]!.attachments, [{
        id: "1",
        name: "ab.pdf",
        contentType: "application/pdf",
        size: 3,
        inline: false,
        contentId: null,
      }])
      const source = Option.getOrThrow(yield* messages.attachment(items[0]!.id, "1"))
      assert.deepStrictEqual(
        [source.folderRemoteId, source.remoteId, source.attachmentRemoteId, source.account.id],
        ["B", "late", "part 2", box.account.id],
      )
      for (const id of ["0", "2", "x", ""]) assert.isTrue(Option.isNone(yield* messages.attachment(items[0]!.id, id)))

      // A look at the headers takes no body away; a draft may have another text.
      const look = page(upsert("late", { bodyState: "headers", text: null, html: null, attachments: [] }))
      yield* box.apply("B", look)
      assert.deepStrictEqual(yield* box.log, [])
      yield* box.apply("B", page(upsert("late", { isDraft: true })))
      assert.deepStrictEqual(yield* writer.wanting(box.lease, box.folder("B"), [upsert("late", {})]), ["late"])
    }))

  it.effect("writes fresh mail of a first listing as live, once", () =>
    Effect.gen(function* () {
      const writer = yield* MessageWriter
      const box = yield* mailbox()
      yield* box.apply("A", middlePage(upsert("1", { subject: "1" })))
      yield* writer.applyNewest(box.lease, box.folder("A"), [upsert("2", { subject: "2" })])
      yield* box.apply("A", page(upsert("2", { subject: "2" }), upsert("3", { subject: "3" })))
      const entries = yield* changesOf(box.account.id)
      assert.deepStrictEqual(entries.map(({ origin }) => origin), ["backfill", "live", "backfill"])
      assert.deepStrictEqual(yield* box.holds, { A: ["1", "2", "3"], B: [], C: [] })
    }))

  it.effect("follows a larger and a smaller choice of bodies", () =>
    Effect.gen(function* () {
      const writer = yield* MessageWriter
      const keeping = yield* MailKeeping
      const box = yield* mailbox()
      yield* box.apply(
        "A",
        page(yield* old("new", 1, body("words")), yield* old("mid", 50, body("words")), yield* old("old", 100)),
      )
      yield* box.log
      yield* choose(box.account.id, { bodyDays: null })
      assert.deepStrictEqual(yield* backlog(box), [{ folderRemoteId: "A", remoteIds: ["old"] }])
      assert.strictEqual(yield* keeping.eraseBodies, 0)
      yield* choose(box.account.id, { bodyDays: 10 })
      assert.deepStrictEqual(yield* backlog(box), [])
      assert.strictEqual(yield* keeping.eraseBodies, 1)
      assert.deepStrictEqual(yield* box.log, ["updated A bodyState+text+html"])
      assert.deepStrictEqual(yield* search(box.account.id, "words"), ["new"])
      yield* choose(box.account.id, { bodyDays: 0 })
      assert.strictEqual(yield* keeping.eraseBodies, 1)
      assert.deepStrictEqual(yield* search(box.account.id, "words"), [])
      assert.deepStrictEqual(yield* writer.wanting(box.lease, box.folder("A"), [yield* old("fresh", 0)]), [])
      yield* choose(box.account.id, { bodyDays: 60 })
      assert.deepStrictEqual(yield* backlog(box), [{
        folderRemoteId: "A",
        remoteIds: ["new", "mid"],
      }])
      assert.strictEqual(yield* keeping.eraseBodies, 0)
    }))

  it.effect("stores no mail from before the window, and lists afresh when it grows", () =>
    Effect.gen(function* () {
      const leases = yield* SyncLeases
      const box = yield* mailbox()
      const account = Option.getOrThrow(yield* choose(box.account.id, { windowDays: 30 }))
      assert.deepStrictEqual(account.mail, { windowDays: 30, bodyDays: 90, folders: null, retentionDays: null })
      const all = [
        yield* old("in", 29),
        yield* old("out", 31),
        upsert("no time", { receivedAt: null, subject: "no time" }),
      ]
      assert.deepStrictEqual(yield* box.apply("A", page(...all)).pipe(Effect.map(({ changes }) => changes)), 2)
      // Changes of a message that was left out.
      yield* box.apply("A", page(upsert("out", { isRead: true })))
      assert.deepStrictEqual(yield* box.holds, { A: ["in", "no time"], B: [], C: [] })
      assert.deepStrictEqual(yield* MessageWriter.use((writer) => writer.wanting(box.lease, box.folder("A"), all)), [
        "in",
        "no time",
      ])
      yield* choose(box.account.id, { windowDays: 60 })
      assert.strictEqual((yield* Effect.flip(box.apply("A", page(...all))))._tag, "LeaseLost")
      yield* leases.release(box.lease)
      yield* box.refresh
      assert.isNull(box.folder("A").cursor)
      yield* box.apply("A", page(...all))
      yield* box.settle
      assert.deepStrictEqual(yield* box.holds, { A: ["in", "no time", "out"], B: [], C: [] })
      assert.deepStrictEqual(yield* box.log, ["created A", "created A", "created A"])
    }))

  it.effect("prunes what is past its retention, and does not take it back", () =>
    Effect.gen(function* () {
      const keeping = yield* MailKeeping
      const box = yield* mailbox()
      const all = [
        yield* old("in", 5),
        yield* old("out", 15),
        yield* old("far", 400),
        upsert("no time", { receivedAt: null, subject: "no time" }),
      ]
      yield* box.apply("A", page(...all))
      yield* choose(box.account.id, { retentionDays: 10 })
      yield* box.log
      assert.strictEqual(yield* keeping.prune, 2)
      assert.strictEqual(yield* keeping.prune, 0)
      yield* box.apply("A", page(...all))
      assert.deepStrictEqual(yield* box.log, ["deleted A", "deleted A"])
      assert.deepStrictEqual(yield* box.holds, { A: ["in", "no time"], B: [], C: [] })
      assert.deepStrictEqual(yield* search(box.account.id, "far"), [])
      assert.strictEqual(Option.getOrThrow(yield* choose(box.account.id, null)).mail.retentionDays, null)
    }))

  it.effect("fills in what messages of before the upgrade are found by", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const keeping = yield* MailKeeping
      const box = yield* mailbox()
      const many = Array.from({ length: 1_100 }, (_, n) => upsert(`m${n}`, { subject: `ancient ${n}`, text: "scroll" }))
      yield* box.apply("A", page(...many, upsert("bare", { subject: "bare" })))
      // As the migration leaves them.
      yield* orDie(sql`delete from ${t.message_index}`)
      yield* orDie(sql`update ${t.messages} set body_state = 'complete'`)
      yield* orDie(sql`insert into ${t.meta} (name, value)
        values ('messages_indexed', '00000000-0000-0000-0000-000000000000')`)
      assert.deepStrictEqual(yield* search(box.account.id, "ancient"), [])
      assert.isAtLeast(yield* keeping.fillIndex, 1_101)
      assert.strictEqual(yield* keeping.fillIndex, 0)
      assert.deepStrictEqual(yield* search(box.account.id, "ancient 777 scroll"), ["ancient 777"])
      assert.deepStrictEqual(yield* backlog(box), [{ folderRemoteId: "A", remoteIds: ["bare"] }])
    }))
})
