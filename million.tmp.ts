import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { Database } from "./src/storage/Database.ts"
const client = PgClient.layer({
  url: Redacted.make("postgres://postgres@127.0.0.1:5432/mail_bench"),
  maxConnections: 2,
  multiplex: false,
})
const N = 1_000_000
await Effect.runPromise(
  Effect.gen(function* () {
    const db = yield* Database.fromClient({ schema: "mailfleet", engine: "postgres" })
    const { sql, tables: t } = db
    const time = (what: string, e: Effect.Effect<unknown, unknown>) =>
      Effect.gen(function* () {
        const a = performance.now()
        yield* e
        console.log(what, Math.round(performance.now() - a), "ms")
      })
    yield* sql`drop index mailfleet.message_index_search`
    yield* sql`insert into ${t.apps} (id, provider, client_id, tenant) values ('00000000-0000-7000-8000-000000000000', 'microsoft', 'c', 't')`
    yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash) select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '00000000-0000-7000-8000-000000000000', '', '' from generate_series(1, 100) n`
    yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status) select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'microsoft', n || '@x', n || '@x', 'graph', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'active' from generate_series(1, 100) n`
    yield* time(
      "messages",
      sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients, cc_recipients, bcc_recipients, reply_to, received_at, is_read, is_draft, is_flagged, importance, categories, has_attachments, preview, body_text, thread_id)
    select ('00000000-0000-7000-8000-' || lpad((n % 100 + 1)::text, 12, '0'))::uuid, ('00000000-0000-7000-9000-' || lpad(n::text, 12, '0'))::uuid, 'r' || n, '00000000-0000-7000-8000-000000000000', 1, 'subject of ' || n, '[]','[]','[]','[]', timestamptz '2020-01-01' + n * interval '3 minutes', n % 7 > 0, false, false, 'normal', '{}', n % 9 = 0, repeat('preview ', 20), repeat('body text ', 60), 't' || (n / 3)
    from generate_series(1, ${N}) n`,
    )
    yield* time(
      "index rows",
      sql`insert into ${t.message_index} (account_id, message_id, received_at, thread_id, wants_body, search)
    select m.account_id, m.id, m.received_at, m.thread_id, false, (
      select string_agg(case when i = 0 then '''=' || m.account_id || ''''
        when i = 1 and n % 5 > 0 then 'common:1' when i = 2 and n < 300000 then 'old:2'
        when i = 3 and n % 100003 = 7 then 'rare:3' when i = 4 and n % 50 = 0 then 'fifty:4'
        else 'w' || floor(30000 * power(random(), 4))::int || ':' || i end, ' ') from generate_series(0, 60) i where n is not null)::tsvector
    from (select *, right(id::text, 12)::int as n from ${t.messages}) m`,
    )
    yield* time("gin", sql`create index message_index_search on ${t.message_index} using gin (search)`)
    yield* sql`vacuum analyze`
  }).pipe(Effect.provide(client), Effect.scoped),
)
