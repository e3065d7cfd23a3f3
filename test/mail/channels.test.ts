/** An account that changes its channel keeps its mail: what one channel showed is known again by the other. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { leaveChannel } from "../../src/storage/mail/FolderRenames.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { onDatabases } from "../support/databases.ts"
import { Dovecot, hasDovecot, letter, writerOf } from "../support/dovecot.ts"
import { changesOf, mailStorage, makeAccount } from "../support/mail.ts"
import { lineOf, nested, Remote, type RemoteBox, replay, storedLines } from "../support/remote.ts"
import { imapBox } from "../support/remoteImap.ts"
import { syncingOver } from "../support/remoteMail.ts"
import { simulatedRemote } from "../support/remoteSimulated.ts"
import { imapProxy } from "../support/imapProxy.ts"

/** The same mailbox at both: as it is at Graph, and by IMAP. */
class Twin extends Context.Service<Twin, { readonly graph: RemoteBox; readonly imap: RemoteBox }>()("test/Twin") {}

const roots: Readonly<Record<string, string>> = {
  inbox: "INBOX",
  sent: "Sent",
  drafts: "Drafts",
  junk: "Junk",
  trash: "Trash",
  archive: "Archive",
}

/** The path by IMAP of a place at Graph; Dovecot wants no `/` in names. */
const pathOf = (place: string): string => {
  const [root = "", ...below] = place.split(nested).map((name) => name.replaceAll("/", "-"))
  return [roots[root] ?? root, ...below].join("/")
}

const world = Layer.unwrap(Effect.gen(function* () {
  const dovecot = yield* Layer.build(Dovecot.layer)
  const server = Context.get(dovecot, Dovecot)
  const simulated = yield* Layer.build(simulatedRemote("graph", { messages: 60, oddPages: 0 }))
  const remote = Context.get(simulated, Remote)
  const graph = yield* remote.open
  const { email } = graph
  server.introspection.believes = () => email
  const proxy = yield* imapProxy(server.port)
  const imap = yield* imapBox({ proxy, expireTokens: () => {}, setGone: () => {} }, email, graph.clientId).pipe(
    Effect.provideContext(dovecot),
  )
  const both = Layer.succeed(Remote, { ...remote, settings: { ...remote.settings, outlookImap: proxy.url } })
  return Layer.mergeAll(
    syncingOver(both),
    Layer.succeed(Twin, { graph, imap }),
    Layer.succeed(Dovecot, server),
    mailStorage,
  )
}))

if (hasDovecot) {
  await onDatabases("An account that changes its channel", world, (it) => {
    it.effect("keeps folders and mail, and its change log tells true differences only", () =>
      Effect.gen(function* () {
        const database = yield* Database
        const { sql, tables: t } = database
        const { graph, imap } = yield* Twin
        const { clientId, email } = graph
        const account = yield* makeAccount({ email, clientId, channel: "graph" })
        const program = yield* SyncAccount
        const store = yield* Messages
        const folders = yield* Folders
        const stored = Effect.gen(function* () {
          const { items } = yield* Effect.orDie(store.list({ accountId: account.id, limit: 500 }))
          return { items, folders: yield* folders.list(account.id) }
        })

        yield* program.sync(account.id)
        const before = yield* stored
        const held = yield* graph.mail
        const writer = yield* writerOf(email)
        yield* Effect.promise(async () => {
          for (const place of new Set(held.map(({ place }) => place))) {
            if (!(pathOf(place) in Object.values(roots))) await writer.mailboxCreate(pathOf(place)).catch(() => {})
          }
          for (const { isFlagged, isRead, messageId, place, subject } of held) {
            const flags = [...(isRead ? ["\\Seen"] : []), ...(isFlagged ? ["\\Flagged"] : [])]
            const encoded = `=?utf-8?B?${btoa(String.fromCharCode(...new TextEncoder().encode(subject)))}?=`
            await writer.append(pathOf(place), letter({ id: messageId!, subject: encoded }), flags)
          }
        })
        const entries = (yield* changesOf(account.id)).length

        const change = (channel: "graph" | "imap") =>
          orDie(sql.withTransaction(Effect.andThen(
            sql`update ${t.accounts} set channel = ${channel} where id = ${account.id}`,
            leaveChannel(database, account.id),
          )))
        yield* change("imap")
        yield* program.sync(account.id)
        const after = yield* stored
        assert.deepStrictEqual(
          storedLines(after.folders, after.items),
          (yield* imap.mail).map(lineOf).toSorted(),
        )
        assert.sameMembers(after.items.map(({ id }) => id), before.items.map(({ id }) => id))
        const log = yield* changesOf(account.id)
        // What the two show otherwise is told as an update: times, previews, categories.
        assert.deepStrictEqual(new Set(log.slice(entries).map(({ kind }) => kind)), new Set(["message.updated"]))
        assert.deepStrictEqual(replay(log).faults, [])

        // And back again, with news from meanwhile.
        yield* graph.deliver({ subject: "after the change" })
        yield* change("graph")
        yield* program.sync(account.id)
        const back = yield* stored
        assert.deepStrictEqual(storedLines(back.folders, back.items), (yield* graph.mail).map(lineOf).toSorted())
        assert.strictEqual(back.items.length, before.items.length + 1)
        const whole = yield* changesOf(account.id)
        assert.deepStrictEqual(replay(whole).faults, [])
        const kinds = new Set(whole.slice(log.length).map(({ kind }) => kind))
        assert.isFalse(kinds.has("message.deleted"))
        assert.isFalse(kinds.has("message.moved"))
      }), 120_000)
  })
} else {
  describe("An account that changes its channel", () =>
    it.skip("skipped: there is no Dovecot on this machine", () => {}))
}
