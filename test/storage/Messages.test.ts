import { assert } from "@effect/vitest"
import { Array, DateTime, Effect } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Folders } from "../../src/storage/Folders.ts"
import { Messages } from "../../src/storage/Messages.ts"
import { MessageWriter } from "../../src/storage/MessageWriter.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, mailStorage, makeAccount, page, remoteFolder, upsert } from "../support/mail.ts"

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

  it.effect("searches subject, sender, preview and text, and takes wildcards as they are", () =>
    Effect.gen(function* () {
      const messages = yield* Messages
      const { account, inbox, lease, writer } = yield* inboxOf(3)
      yield* writer.applyPage(
        lease,
        {
          ...inbox,
          cursor: (yield* Effect.flatMap(Folders, (folders) => folders.states(lease)))[0]!.cursor,
          listed: true,
        },
        page(
          upsert("a", { subject: "100% Ünïcode" }),
          upsert("b", { from: { name: "Ada Lovelace", address: "ADA@example.com" } }),
          upsert("c", { preview: "snake_case", text: "C:\\temp" }),
        ),
      )
      const found = (q: string) =>
        Effect.map(messages.list({ accountId: account.id, limit: 50, q }), ({ items }) => items.length)
      const expected = {
        "100%": 1,
        "%": 1,
        "ünï": 1,
        "lovelace": 1,
        "ada@EXAMPLE": 1,
        "snake_case": 1,
        "snakeXcase": 0,
        "c:\\TEMP": 1,
        "number": 3,
        "\0": 6,
      }
      for (const [q, count] of Object.entries(expected)) assert.strictEqual(yield* found(q), count, q)
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
