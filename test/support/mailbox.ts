/** A stored mailbox whose folders' states move along as pages are applied, and what tests ask of it. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Page, RemoteFolder } from "../../src/mail/Mailbox.ts"
import { Database } from "../../src/storage/Database.ts"
import { Folders, type FolderState } from "../../src/storage/mail/Folders.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { acquireLease, changesOf, makeAccount, remoteFolder } from "./mail.ts"

/** An account with folders A, B and C, whose states move along as pages are applied. */
export const mailbox = Effect.fnUntraced(function* (
  options: { readonly synced?: boolean; readonly listing?: ReadonlyArray<RemoteFolder> } = {},
) {
  const { sql, tables: t } = yield* Database
  const folders = yield* Folders
  const writer = yield* MessageWriter
  const account = yield* makeAccount({})
  if (options.synced === true) {
    yield* Effect.orDie(sql`update ${t.accounts} set synced_at = now() where id = ${account.id}`)
  }
  const lease = yield* acquireLease(account.id)
  const stored = yield* folders.store(
    lease,
    [],
    options.listing ?? ["A", "B", "C"].map((name) => remoteFolder(name)),
  )
  const states = new Map(stored.map((state) => [state.remoteId, state]))
  const folder = (name: string): FolderState => states.get(name)!

  const apply = Effect.fnUntraced(function* (name: string, next: Page) {
    const applied = yield* writer.applyPage(lease, folder(name), next)
    states.set(name, applied.folder)
    return applied
  })
  const settle = Effect.flatMap(writer.now, (time) => writer.settle(lease, time))
  const restart = Effect.fnUntraced(function* (name: string) {
    states.set(name, yield* folders.restart(lease, folder(name)))
  })

  /** The states as they are stored. */
  const refresh = Effect.map(folders.states(lease), (stored) => {
    states.clear()
    for (const state of stored) states.set(state.remoteId, state)
  })

  /** The log so far, as `kind folder fields`, emptied by each look. */
  let seen = 0
  const log = Effect.map(changesOf(account.id), (entries) => {
    const news = entries.slice(seen)
    seen = entries.length
    return news.map(({ fields, folderId, kind }) =>
      [
        kind.replace("message.", ""),
        [...states.values()].find(({ id }) => id === folderId)?.remoteId ?? "?",
        ...(fields === undefined ? [] : [fields.join("+")]),
      ].join(" ")
    )
  })
  /** Subjects by folder, and the counts that are kept of them. */
  const holds = Effect.gen(function* () {
    const messages = yield* Messages
    const { items } = yield* messages.list({ accountId: account.id, limit: 100 })
    const found: Record<string, Array<string>> = {}
    for (const state of states.values()) {
      found[state.remoteId] = items.filter(({ folderId }) => folderId === state.id).map(({ subject }) => subject)
        .toSorted()
    }
    const counts = yield* folders.list(account.id)
    for (const { displayName, messages } of counts) {
      assert.strictEqual(messages, found[displayName]!.length, displayName)
    }
    const [row] = yield* Effect.orDie(
      sql<{ messages: number }>`select messages from ${t.accounts} where id = ${account.id}`,
    )
    assert.strictEqual(row!.messages, items.length)
    return found
  })
  return { account, lease, folder, apply, settle, restart, refresh, log, holds, states }
})
