import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { encodeCursor } from "../../../src/mail/imap/ImapCursor.ts"
import { renames } from "../../../src/mail/imap/ImapFolders.ts"
import { Dovecot, letter, writerOf } from "../../support/dovecot.ts"
import { imapProxy, outlookLacks } from "../../support/imapProxy.ts"
import { heldBy, newUser, openMailbox } from "./imapWorld.ts"

layer(Dovecot.layer, { timeout: "60 seconds", excludeTestServices: true })("Folders over IMAP", (it) => {
  it.effect("have their roles by SPECIAL-USE", () =>
    Effect.gen(function* () {
      const { mailbox } = yield* openMailbox()
      const roles = (yield* mailbox.folders([])).map(({ remoteId, role }) => [remoteId, role])
      assert.deepStrictEqual(Object.fromEntries(roles), {
        INBOX: "inbox",
        Sent: "sent",
        Drafts: "drafts",
        Trash: "trash",
        Archive: "archive",
        Junk: "junk",
      })
    }).pipe(Effect.scoped))

  it.effect("have their roles by name in the mailbox's language, where the server tells nothing", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port, { hidden: outlookLacks })
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        for (
          const name of [
            "Gesendete Elemente",
            "Entwürfe",
            "Gelöschte Elemente",
            "Junk-E-Mail",
            "Archiv",
            "Kunden/Gesendet",
            "日本語/下書き",
          ]
        ) await writer.mailboxCreate(name)
      })
      const { mailbox } = yield* openMailbox({ url: proxy.url, email })
      const folders = yield* mailbox.folders([])
      assert.deepStrictEqual(
        Object.fromEntries(
          folders.map((folder) => [folder.remoteId, [folder.displayName, folder.parentRemoteId, folder.role]]),
        ),
        {
          INBOX: ["INBOX", null, "inbox"],
          "Gesendete Elemente": ["Gesendete Elemente", null, "sent"],
          "Entwürfe": ["Entwürfe", null, "drafts"],
          "Gelöschte Elemente": ["Gelöschte Elemente", null, "trash"],
          "Junk-E-Mail": ["Junk-E-Mail", null, "junk"],
          Archiv: ["Archiv", null, "archive"],
          Kunden: ["Kunden", null, null],
          "Kunden/Gesendet": ["Gesendet", "Kunden", null],
          日本語: ["日本語", null, null],
          "日本語/下書き": ["下書き", "日本語", null],
        },
      )
    }).pipe(Effect.scoped, Effect.provide(Dovecot.layerWith({ SPECIAL_FOLDERS: "no" }))))

  it.effect("are not taken for gone where a listing comes without them", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      const { mailbox } = yield* openMailbox({ url: proxy.url })
      proxy.answer = (command) => command.startsWith("LIST") ? "TAG OK List completed." : undefined
      assert.deepInclude(yield* Effect.flip(mailbox.folders([])), { class: "unknown" })
    }).pipe(Effect.scoped))

  it.effect("that hold folders only are shown, and have no messages", () =>
    Effect.gen(function* () {
      const { maildir, port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        await writer.mailboxCreate("A/B")
        await writer.append("A/B", letter())
        // Dovecot then lists A as \Noselect.
        await Deno.remove(`${maildir(email)}/.A`, { recursive: true }).catch(() => {})
      })
      const { mailbox, replica } = yield* openMailbox({ url: proxy.url, email })
      yield* replica.round(mailbox)
      assert.deepInclude(replica.folders.get("A")?.folder, { totalItems: 0, parentRemoteId: null })
      assert.strictEqual(replica.folders.get("A/B")?.folder.parentRemoteId, "A")
      assert.strictEqual(replica.folders.get("A/B")?.messages.size, 1)
      yield* replica.round(mailbox)
      assert.isFalse(proxy.commands.some((command) => command === "EXAMINE A"))
    }).pipe(Effect.scoped))

  it.effect("that are renamed keep their messages, and those beneath them too", () =>
    Effect.gen(function* () {
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        await writer.mailboxCreate("Old")
        // UIDVALIDITY is the time in seconds, and one more where that is taken.
        await writer.mailboxCreate("Old/Beneath")
        for (let n = 0; n < 3; n++) await writer.append("Old", letter())
        await writer.append("Old/Beneath", letter())
      })
      const { mailbox, replica } = yield* openMailbox({ email })
      yield* replica.round(mailbox)
      const before = [...replica.folders.get("Old")!.messages.keys()]
      yield* Effect.promise(() => writer.mailboxRename("Old", "New name"))
      const listed = yield* replica.list(mailbox)
      assert.deepStrictEqual(
        listed.flatMap(({ remoteId, renamedFrom }) => renamedFrom === undefined ? [] : [[remoteId, renamedFrom]])
          .sort(),
        [["New name", "Old"], ["New name/Beneath", "Old/Beneath"]],
      )
      yield* Effect.promise(async () => {
        await writer.append("New name", letter())
        await writer.mailboxOpen("New name")
        await writer.messageFlagsAdd("1", ["\\Flagged"])
        await writer.mailboxClose()
      })
      yield* replica.round(mailbox)
      assert.strictEqual(replica.lost, 0)
      assert.includeMembers([...replica.folders.get("New name")!.messages.keys()], before)
      assert.deepStrictEqual(replica.held, yield* heldBy(writer))
      // What is asked about them afterwards is found under their names of before.
      assert.deepStrictEqual(
        [...(yield* mailbox.ids!("New name"))].sort(),
        [...replica.folders.get("New name")!.messages.keys()].sort(),
      )
      assert.strictEqual((yield* mailbox.bodies!("New name", before)).size, 3)
      assert.deepStrictEqual(yield* mailbox.present!("New name", before), new Set(before))
    }).pipe(Effect.scoped))

  it.effect("that are gone say so", () =>
    Effect.gen(function* () {
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        await writer.mailboxCreate("Passing")
        await writer.append("Passing", letter())
      })
      const { mailbox, replica } = yield* openMailbox({ email })
      yield* replica.round(mailbox)
      yield* replica.list(mailbox)
      yield* Effect.promise(async () => {
        await writer.append("Passing", letter())
        await writer.mailboxDelete("Passing")
      })
      // The STATUS of the listing would still tell of it.
      yield* mailbox.page("Passing", replica.folders.get("Passing")!.cursor)
      const error = yield* Effect.flip(mailbox.page("Passing", replica.folders.get("Passing")!.cursor))
      assert.strictEqual(error._tag, "FolderGone")
      assert.strictEqual((yield* Effect.flip(mailbox.page("Never there", null)))._tag, "FolderGone")
      assert.strictEqual((yield* Effect.flip(mailbox.bodies!("Never there", ["Never there/1.1"])))._tag, "FolderGone")
    }).pipe(Effect.scoped))

  it.effect("that count their messages anew have lost their cursors", () =>
    Effect.gen(function* () {
      const { maildir } = yield* Dovecot
      const email = newUser()
      const writer = yield* writerOf(email)
      yield* Effect.promise(async () => {
        for (let n = 0; n < 5; n++) await writer.append("INBOX", letter())
      })
      const { mailbox, replica } = yield* openMailbox({ email })
      yield* replica.round(mailbox)
      const before = [...replica.folders.get("INBOX")!.messages.keys()]
      yield* Effect.promise(async () => {
        for (
          const name of [
            "dovecot-uidlist",
            "dovecot-uidvalidity",
            "dovecot.index",
            "dovecot.index.log",
            "dovecot.index.cache",
          ]
        ) {
          await Deno.remove(`${maildir(email)}/${name}`).catch(() => {})
        }
        for await (const { name } of Deno.readDir(maildir(email))) {
          if (name.startsWith("dovecot-uidvalidity.")) await Deno.remove(`${maildir(email)}/${name}`)
        }
        // It is the time in seconds.
        await new Promise((resolve) => setTimeout(resolve, 1_100))
      })
      const again = yield* openMailbox({ email, replica })
      yield* replica.round(again.mailbox)
      assert.strictEqual(replica.lost, 1)
      assert.strictEqual(replica.folders.get("INBOX")!.messages.size, 5)
      assert.isTrue([...replica.folders.get("INBOX")!.messages.keys()].every((id) => !before.includes(id)))
      assert.strictEqual((yield* again.mailbox.present!("INBOX", before)).size, 0)
    }).pipe(Effect.scoped))
})

describe("A renamed folder", () => {
  const known = (remoteId: string, uidValidity: string, next = 5) => ({
    remoteId,
    role: null,
    cursor: encodeCursor({ v: 1, key: remoteId, uidValidity, next }),
  })
  const listed = (path: string, uidValidity: bigint, uidNext = 5) => ({ path, status: { path, uidValidity, uidNext } })

  it("is known by its UIDVALIDITY", () =>
    assert.deepStrictEqual([...renames([known("A", "7"), known("B", "8")], [listed("C", 7n), listed("B", 8n)])], [[
      "C",
      "A",
    ]]))

  it("is not guessed where two may be it", () => {
    assert.strictEqual(renames([known("A", "7"), known("B", "7")], [listed("C", 7n)]).size, 0)
    assert.strictEqual(renames([known("A", "7")], [listed("C", 7n), listed("D", 7n)]).size, 0)
  })

  it("has not gone back in its count", () =>
    assert.strictEqual(renames([known("A", "7", 9)], [listed("C", 7n, 8)]).size, 0))

  it("is not one that is still there", () =>
    assert.strictEqual(renames([known("A", "7")], [listed("A", 7n), listed("C", 7n)]).size, 0))
})
