/** A large account that came since its tables were analyzed: statistics say that it has nothing. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { onDatabases } from "../../support/databases.ts"
import { mailStorage, middlePage, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const pages = 6
const each = 200

/** Rows that indexes have led to on the connection of this transaction, as the server counts them. */
const rowsFetched = Effect.flatMap(Database, ({ schema, sql }) =>
  Effect.map(
    orDie(sql<{ fetched: number }>`select coalesce(sum(idx_tup_fetch), 0)::float8 as fetched
      from pg_stat_xact_user_tables where schemaname = ${schema} and relname in ('messages', 'message_index')`),
    (rows) => rows[0]!.fetched,
  ))

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
      const fetched = yield* Effect.gen(function* () {
        const before = yield* rowsFetched
        yield* fill()
        return (yield* rowsFetched) - before
      }).pipe(sql.withTransaction, Effect.orDie)
      // Some rows for each message, where reading through the account would be hundreds.
      assert.isBelow(fetched, pages * each * 20)
    }))
}, ["postgres"])
