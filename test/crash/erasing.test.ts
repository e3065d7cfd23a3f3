/** The erasure of an account whose process is killed: the next one goes on with it, and each piece is counted once. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg"
import { Effect, Option } from "effect"
import { Erasure } from "../../src/domain/Erasure.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database } from "../../src/storage/Database.ts"
import { usableEngines } from "../support/databases.ts"
import { eventually, install } from "../support/processes.ts"

/** Without bodies: those whose message is gone are swept by housekeeping as well, and whoever comes first counts them. */
const messages = 20_000
const email = "somebody@erased.example"

describe.each(await usableEngines)("A killed erasure (%s)", (engine) => {
  it.live("is gone on with, and nothing of the account is left", () =>
    Effect.gen(function* () {
      // Nobody answers there: nothing is refreshed or synced meanwhile.
      const installation = yield* install(engine, "http://127.0.0.1:9")
      const [account, app, folder, grant] = [newId(), newId(), newId(), newId()]
      const erasure = yield* installation.query((sql, table) =>
        Effect.gen(function* () {
          const database = yield* Database.fromClient({ schema: installation.schema, engine }).pipe(
            Effect.provideService(PgClient.PgClient, sql),
          )
          yield* sql`insert into ${table("apps")} (id, provider, client_id, tenant)
            values (${app}, 'microsoft', ${app}, 'common')`
          yield* sql`insert into ${table("grants")} (id, app_id, secret, token_hash, due_at, attempt_at)
            values (${grant}, ${app}, '\\x00', '\\x00', now() + interval '1 day', now() + interval '1 day')`
          yield* sql`insert into ${table("accounts")} (id, provider, email, email_key, channel, grant_id, status)
            values (${account}, 'microsoft', ${email}, ${email}, 'graph', ${grant}, 'active')`
          yield* sql`insert into ${table("folders")} (account_id, id, remote_id, display_name)
            values (${account}, ${folder}, 'inbox', 'Inbox')`
          yield* sql`insert into ${table("messages")} (account_id, id, remote_id, folder_id, seen_round, subject,
              to_recipients, cc_recipients, bcc_recipients, reply_to, is_read, is_draft, is_flagged, importance, categories,
              has_attachments, preview)
            select ${account}, gen_random_uuid(), n::text, ${folder}, 1, 'to ' || ${email}::text, '[]', '[]', '[]', '[]',
              true, false, false, 'normal', '{}', false, '' from generate_series(1, ${messages}::int) n`
          yield* sql`insert into ${table("changes")} (account_id, kind, origin)
            select ${account}, 'message.created', 'live' from generate_series(1, ${messages}::int)`
          const erased = yield* Effect.flatMap(Accounts, (accounts) => accounts.erase(account)).pipe(
            Effect.provide(Accounts.layer),
            Effect.provideService(Database, database),
            Effect.provide(Settings.layerWith({})),
          )
          return Option.getOrThrow(erased)
        }).pipe(Effect.orDie)
      )
      const path = `/v1/erasures/${erasure}`

      const killed = yield* installation.start()
      yield* eventually("some of it is erased", killed.call(Erasure, path), ({ erased }) => erased.messages >= 1_000)
      yield* killed.kill

      const left = yield* installation.query((sql, table) =>
        Effect.gen(function* () {
          const rows = yield* sql<{ stored: number; erased: number }>`select
              (select count(*) from ${table("messages")})::int as stored,
              (erased ->> 'messages')::int as erased
            from ${table("erasures")}`
          // Who was writing while the account was deleted has ended by then.
          yield* sql`update ${table("erasures")} set settle_at = now()`
          return rows[0]!
        }).pipe(Effect.orDie)
      )
      assert.isAbove(left.stored, 0, "it was killed in the middle")
      assert.strictEqual(left.stored + left.erased, messages)

      const next = yield* installation.start()
      const done = yield* eventually("it has ended", next.call(Erasure, path), ({ state }) => state === "completed")
      assert.deepInclude({ ...done.erased }, { messages, changes: messages, folders: 1 })
      assert.strictEqual((yield* next.send(`/v1/accounts/${account}`)).status, 404)
      assert.strictEqual(yield* next.stop, 0)

      const naming = yield* installation.query((sql) =>
        Effect.gen(function* () {
          const tables = yield* sql<{ name: string }>`select table_name as name from information_schema.tables
            where table_schema = ${installation.schema} order by 1`
          const found: Array<string> = []
          for (const { name } of tables) {
            const rows = yield* sql`select 1 from ${sql(`${installation.schema}.${name}`)} x
              where x::text ilike ${`%${email}%`} or x::text like ${`%${account}%`} or x::text like ${`%${grant}%`} limit 1`
            if (rows.length > 0) found.push(name)
          }
          return found
        }).pipe(Effect.orDie)
      )
      assert.deepStrictEqual(naming, [])
    }).pipe(Effect.scoped), 120_000)
})
