/** Many mailboxes, few lanes: a huge or slow one costs the others a turn, and no more. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { Mailboxes } from "../../src/mail/Mailboxes.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Concurrency } from "../../src/programs/Concurrency.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import * as BackgroundSync from "../../src/schedules/BackgroundSync.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { mailStorage, makeAccount } from "../support/mail.ts"
import { MemoryMailbox } from "../support/memoryMailbox.ts"
import { eventually } from "../support/processes.ts"
import { plainTokens, Provider } from "../support/simulator.ts"

const mailboxes = new Map<string, MemoryMailbox>()

const settings = Layer.orDie(Settings.layerWith({
  syncConcurrency: 1,
  syncSpacing: Duration.zero,
  syncEvery: Duration.hours(1),
}))

/** Turns of four pages. */
const syncing = SyncAccount.layerWith({ pages: 4, millis: 20_000 }).pipe(
  Layer.provide(Layer.succeed(Mailboxes, { open: ({ id }) => Effect.succeed(mailboxes.get(id)!.mailbox) })),
  Layer.provide(plainTokens.pipe(Layer.provide(Provider.layer()))),
  Layer.provideMerge(SyncPace.layer),
  Layer.provideMerge(mailStorage),
)

const layer = Layer.mergeAll(
  syncing,
  Accounts.layer,
  Concurrency.layer.pipe(Layer.provide(AdaptiveConcurrency.layer)),
).pipe(Layer.provideMerge(settings))

const addMailbox = Effect.fnUntraced(function* (messages: number, latency: number) {
  const { sql, tables: t } = yield* Database
  const { id } = yield* makeAccount({})
  const memory = new MemoryMailbox({ inbox: "inbox", other: null })
  memory.fill("inbox", messages)
  memory.latency = latency
  mailboxes.set(id, memory)
  yield* sql`update ${t.accounts} set sync_due_at = now() where id = ${id}`
  return id
})

const synced = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  return yield* sql<{ id: string; at: Date }>`select id, synced_at as at from ${t.accounts} where synced_at is not null`
})

await onDatabases("BackgroundSync", layer, (it) => {
  it.effect("syncs those that wait before it goes on with one that takes long", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      // 24 pages of 50 ms: 6 turns. It is first in the queue, and there is one lane.
      const huge = yield* addMailbox(240, 50)
      const quick: Array<string> = []
      for (let n = 0; n < 8; n++) quick.push(yield* addMailbox(5, 0))
      yield* Effect.gen(function* () {
        yield* Layer.build(BackgroundSync.layer)
        yield* eventually("all are synced", synced, (rows) => rows.length === 9)
      }).pipe(Effect.scoped)
      const rows = yield* synced
      const at = (id: string) => rows.find((row) => row.id === id)!.at.getTime()
      assert.isTrue(quick.every((id) => at(id) < at(huge) - 500), "a quick one waited for the huge one")
      const [row] = yield* sql<{ messages: number; held: boolean; due: number }>`select messages,
          sync_lease_until is not null as held, extract(epoch from sync_due_at - now())::float8 as due
        from ${t.accounts} where id = ${huge}`
      assert.deepStrictEqual([row!.messages, row!.held], [240, false])
      assert.isAbove(row!.due, 3_000)
    }), 60_000)
})
