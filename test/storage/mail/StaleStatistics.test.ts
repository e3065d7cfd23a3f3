/** A large account that came since its tables were analyzed: statistics say that it has nothing. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { onDatabases } from "../../support/databases.ts"
import { mailStorage, middlePage, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const pages = 6
const each = 200

/** Entries of indexes that were read, as the server counts them. */
const entriesRead = Effect.flatMap(Database, ({ schema, sql }) =>
  orDie(Effect.gen(function* () {
    yield* sql`select pg_stat_force_next_flush()`
    const [row] = yield* sql<{ read: number }>`select coalesce(sum(idx_tup_read), 0)::float8 as read
      from pg_stat_user_indexes where schemaname = ${schema} and relname in ('messages', 'message_index')`
    return row!.read
  })))

await onDatabases("Stale statistics", mailStorage, (it) => {
  it.effect("make no page read through the whole account", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const letters = (from: number) =>
        Array.from({ length: each }, (_, n) =>
          upsert(String(from + n), { subject: "a letter", internetMessageId: `<${from + n}@example.com>` }))
      const fill = Effect.fnUntraced(function* () {
        const box = yield* mailbox()
        for (let n = 0; n < pages; n++) {
          yield* box.apply("A", middlePage(...letters(n * each)))
        }
      })
      yield* fill()
      yield* orDie(Effect.all([sql`analyze ${t.messages}`, sql`analyze ${t.message_index}`]))
      const before = yield* entriesRead
      yield* fill()
      const read = (yield* entriesRead) - before
      // Some entries for each message, where reading through the account would be hundreds.
      assert.isAbove(read, 0)
      assert.isBelow(read, pages * each * 20)
    }))
}, ["postgres"])
