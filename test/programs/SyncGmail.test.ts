/** Accounts at Gmail are in step: one history for all labels, through the store and back out of it. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { MailAccount } from "../../src/mail/Mailbox.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { onDatabases } from "../support/databases.ts"
import { changesOf } from "../support/mail.ts"
import { Provider, simulatedAccount, syncing } from "../support/simulator.ts"

const sync = (account: MailAccount) => Effect.flatMap(SyncAccount, (program) => program.sync(account.id))

/** What is stored is what the provider holds: folders, messages, and where they are. */
const inStep = Effect.fnUntraced(function* (account: MailAccount) {
  const { simulator } = yield* Provider
  const { sql, tables: t } = yield* Database
  const remote = simulator.mailbox(account.email)
  const rows = yield* orDie(
    sql<{ remote_id: string; folder: string; subject: string; is_read: boolean; flagged: boolean }>`
    select m.remote_id, f.remote_id as folder, m.subject, m.is_read, m.is_flagged as flagged
    from ${t.messages} m join ${t.folders} f on f.account_id = m.account_id and f.id = m.folder_id
    where m.account_id = ${account.id}`,
  )
  assert.deepStrictEqual(
    rows.map((row) => [row.remote_id, row.folder, row.subject, row.is_read, row.flagged].join(" ")).toSorted(),
    remote.messages.map((m) => [m.id, m.folderId, m.subject, m.isRead, m.flagStatus === "flagged"].join(" "))
      .toSorted(),
  )
  const folders = yield* Effect.flatMap(Folders, (folders) => folders.list(account.id))
  assert.deepStrictEqual(
    folders.map(({ displayName }) => displayName).toSorted(),
    remote.folders.map(({ displayName, id, wellKnown }) =>
      wellKnown === null || id === "ALL_MAIL" ? displayName : names.get(id) ?? ""
    ).toSorted(),
  )
  return { remote, folders }
})

const names = new Map([["TRASH", "Trash"], ["SPAM", "Spam"], ["DRAFT", "Drafts"], ["INBOX", "Inbox"], ["SENT", "Sent"]])

const kinds = (account: MailAccount, from = 0) =>
  Effect.map(
    changesOf(account.id),
    (entries) =>
      entries.slice(from).map(({ fields, kind, origin }) =>
        [kind.replace("message.", ""), origin, ...(fields ?? [])].join(" ")
      ),
  )

let next = 0
/** An account that no other test has. */
const anAccount = Effect.suspend(() => simulatedAccount(++next, "google"))

const messages = 130

await onDatabases(
  "Sync of Gmail",
  syncing({ accounts: 60, googleAccounts: 60, messages, oddPages: 0.3, gmailUnits: 1_000_000 }),
  (it) => {
    it.effect("stores a whole mailbox, and asks little of it when nothing happened", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        const { changes } = yield* sync(account)
        assert.strictEqual(changes, messages)
        const { folders } = yield* inStep(account)
        assert.deepStrictEqual(new Set(yield* kinds(account)), new Set(["created backfill"]))
        assert.strictEqual(folders.find(({ role }) => role === "archive")?.remoteMessages, messages)
        assert.isTrue(folders.every(({ remoteMessages }) => remoteMessages !== null))
        simulator.resetCounters()
        assert.deepStrictEqual(yield* sync(account), { changes: 0 })
        assert.strictEqual(simulator.counters().gmail.requests, 2)
        assert.deepStrictEqual(simulator.violations().counts, {})
      }))

    it.effect("brings what was delivered, flagged, labelled, moved and deleted, each once", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        yield* sync(account)
        const from = (yield* kinds(account)).length
        const { email } = account
        const inbox = simulator.mailbox(email).messages.filter(({ folderId, isRead, labels }) =>
          folderId === "INBOX" && isRead && !labels?.includes("STARRED") && !labels?.includes("Label_1")
        )
        const [a, b, c, d, e] = inbox.map(({ id }) => id)
        simulator.deliver(email, { count: 2, subject: "fresh" })
        simulator.editMessage(email, a!, { isRead: false, flagStatus: "flagged" })
        simulator.relabel(email, b!, { add: ["Label_1"] })
        simulator.moveMessage(email, c!, "Label_1")
        simulator.moveMessage(email, d!, "deleteditems")
        simulator.removeMessage(email, e!)
        yield* sync(account)
        yield* inStep(account)
        const happened = yield* kinds(account, from)
        assert.deepStrictEqual(happened.toSorted(), [
          "created live",
          "created live",
          "deleted live",
          "moved live",
          "moved live categories",
          "updated live categories",
          "updated live isRead isFlagged",
        ])
        assert.deepStrictEqual(yield* sync(account), { changes: 0 })
      }))

    it.effect("follows labels that are made, renamed and removed", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        const { email } = account
        yield* sync(account)
        const made = simulator.addFolder(email, { displayName: "Made" })
        const inner = simulator.addFolder(email, { displayName: "Inner", parent: made.id })
        const [a, b] = simulator.mailbox(email).messages.map(({ id }) => id)
        simulator.moveMessage(email, a!, inner.id)
        simulator.moveMessage(email, b!, made.id)
        yield* sync(account)
        yield* inStep(account)
        simulator.renameFolder(email, made.id, "Renamed")
        yield* sync(account)
        const { folders } = yield* inStep(account)
        const parent = folders.find(({ displayName }) => displayName === "Renamed")
        assert.strictEqual(folders.find(({ displayName }) => displayName === "Inner")?.parentId, parent?.id)
        simulator.removeFolder(email, made.id)
        yield* sync(account)
        yield* inStep(account)
        // Nothing was deleted but labels.
        assert.isFalse((yield* kinds(account)).some((kind) => kind.startsWith("deleted")))
      }))

    it.effect("a history that is too old is made good without a false word", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        const { email } = account
        yield* sync(account)
        const from = (yield* kinds(account)).length
        const [a, b] = simulator.mailbox(email).messages.map(({ id }) => id)
        simulator.deliver(email)
        simulator.removeMessage(email, a!)
        simulator.moveMessage(email, b!, "Label_1")
        simulator.expireCursors(email)
        yield* sync(account)
        yield* inStep(account)
        assert.deepStrictEqual((yield* kinds(account, from)).map((kind) => kind.split(" ")[0]).toSorted(), [
          "created",
          "deleted",
          "moved",
        ])
      }))

    it.effect("stays in step through faults of single requests", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        yield* sync(account)
        simulator.deliver(account.email, { count: 60 })
        simulator.configure({ faultRate: 0.05, faultKinds: ["error", "gateway", "reset", "unavailable"] })
        yield* Effect.retry(sync(account), { times: 30 })
        simulator.configure({ faultRate: 0 })
        yield* Effect.retry(sync(account), { times: 3 })
        yield* inStep(account)
      }), 60_000)
  },
)
