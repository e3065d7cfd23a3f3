/** Stored mail and the change log over HTTP. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { Change, Folder, Message, MessageWithBody } from "../../src/domain/Mail.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, makeAccount, page, remoteFolder, upsert } from "../support/mail.ts"
import { server, taken } from "./stack.ts"

const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })
const FolderPage = pageOf(Folder)
const MessagePage = pageOf(Message)
const ChangePage = Schema.Struct({ items: Schema.Array(Change), nextCursor: Schema.String })

/** An account with three folders and seven messages in the inbox, the last of them about tea. */
const makeMail = Effect.fnUntraced(function* () {
  const account = yield* makeAccount({})
  const lease = yield* acquireLease(account.id)
  const folders = yield* Folders
  const writer = yield* MessageWriter
  const states = yield* folders.store(lease, [], [
    remoteFolder("i", { displayName: "Inbox", role: "inbox" }),
    remoteFolder("s", { displayName: "Sent", role: "sent" }),
    remoteFolder("c", { displayName: "Child", parentRemoteId: "i" }),
  ])
  const messages = Array.from({ length: 7 }, (_, index) =>
    upsert(`m${index}`, {
      subject: index === 6 ? "Tea at 100%" : `Message ${index}`,
      from: { name: "Ann", address: "ann@example.com" },
      to: [{ name: "", address: account.email }],
      receivedAt: DateTime.makeUnsafe(`2026-01-0${index + 1}T00:00:00Z`),
      text: "plain",
      html: "<p>rich</p>",
    }))
  yield* writer.applyPage(lease, states[0]!, page(...messages))
  return { account, inbox: states[0]! }
})

await onDatabases("Mail", server, (it) => {
  it.effect("folders and messages of an account, page by page", () =>
    Effect.gen(function* () {
      const { account, inbox } = yield* makeMail()
      const path = `/v1/accounts/${account.id}`
      const folders = yield* taken(FolderPage, 200, `${path}/folders`)
      assert.deepStrictEqual(folders.items.map(({ displayName }) => displayName), ["Inbox", "Sent", "Child"])
      assert.strictEqual(folders.items[2]?.parentId, inbox.id)
      const first = yield* taken(FolderPage, 200, `${path}/folders?limit=2`)
      const second = yield* taken(FolderPage, 200, `${path}/folders?limit=2&cursor=${first.nextCursor}`)
      assert.deepStrictEqual([...first.items, ...second.items], [...folders.items])
      assert.isNull(second.nextCursor)

      for (const folder of ["", "&folder=inbox", `&folder=${inbox.id}`]) {
        const found: Array<string> = []
        for (let cursor = "";;) {
          const { items, nextCursor } = yield* taken(MessagePage, 200, `${path}/messages?limit=3${folder}${cursor}`)
          found.push(...items.map(({ subject }) => subject))
          if (nextCursor === null) break
          cursor = `&cursor=${nextCursor}`
        }
        assert.deepStrictEqual(found, ["Tea at 100%", ...[5, 4, 3, 2, 1, 0].map((index) => `Message ${index}`)])
      }
      assert.deepStrictEqual((yield* taken(MessagePage, 200, `${path}/messages?folder=archive`)).items, [])
    }))

  it.effect("a search over the fleet, and one message with its body", () =>
    Effect.gen(function* () {
      const { account } = yield* makeMail()
      const found = yield* taken(MessagePage, 200, "/v1/messages?q=tea%20at%20100%25")
      const mine = found.items.filter(({ accountId }) => accountId === account.id)
      assert.strictEqual(mine.length, 1)
      const message = yield* taken(MessageWithBody, 200, `/v1/messages/${mine[0]!.id}`)
      assert.deepInclude(message, { subject: "Tea at 100%", text: "plain", html: "<p>rich</p>" })
      const own = yield* taken(MessagePage, 200, `/v1/accounts/${account.id}/messages?q=Message`)
      assert.strictEqual(own.items.length, 6)
    }))

  it.effect("the change log is read to its end and on from there", () =>
    Effect.gen(function* () {
      yield* makeMail()
      const read = Effect.fnUntraced(function* (from: string | undefined) {
        const items: Array<typeof Change.Type> = []
        for (let after = from;;) {
          const query = after === undefined ? "" : `&after=${after}`
          const answer = yield* taken(ChangePage, 200, `/v1/changes?limit=3${query}`)
          items.push(...answer.items)
          if (answer.items.length === 0) return { items, position: answer.nextCursor }
          after = answer.nextCursor
        }
      })
      const { items, position } = yield* read(undefined)
      const positions = items.map((change) => change.position)
      assert.deepStrictEqual(positions, [...new Set(positions)].sort())
      assert.strictEqual(position, positions[positions.length - 1])
      assert.isTrue(items.every(({ origin }) => origin === "backfill"))

      yield* makeMail()
      const later = yield* read(position)
      assert.strictEqual(later.items.length, 7)
      assert.deepStrictEqual(
        (yield* taken(ChangePage, 200, `/v1/changes?cursor=${position}&limit=500`)).items,
        later.items,
      )
    }))
})
