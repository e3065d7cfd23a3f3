/** A fleet of always the same rows, large enough that Postgres plans for it as for one that is larger. */
import { Effect } from "effect"
import { Database, orDie } from "../../src/storage/Database.ts"
import { firstIdAt, monthAt } from "../../src/storage/mail/BodyMonths.ts"

/** Few enough that `analyze` reads them all, and comes to the same each time. */
export const fleetSize = { accounts: 5_000, messages: 28_000 }

const clientId = "11111111-2222-3333-4444-555555555555"

/** Ids by number: `n` of a kind. Those of messages begin with this month, as ids that are made now do. */
export const idOf = (kind: "account" | "folder" | "message" | "run" | "webhook", n: number, now: number): string =>
  kind === "message"
    ? `${firstIdAt(monthAt(now)).slice(0, 24)}${String(n).padStart(12, "0")}`
    : `${{ account: "a", folder: "f", run: "e", webhook: "b" }[kind]}0000000-0000-7000-8000-${
      String(n).padStart(12, "0")
    }`

export const makePlannedFleet = Effect.fnUntraced(function* (now: number) {
  const { schema, sql, tables: t } = yield* Database
  const { accounts, messages } = fleetSize
  const names = yield* sql<
    { name: string; partitioned: boolean }
  >`select c.relname as name, c.relkind = 'p' as partitioned
    from pg_class c where c.relnamespace = ${schema}::text::regnamespace and c.relkind in ('r', 'p') order by 1`
  const tableOf = (name: string) => sql(`${schema}.${name}`)
  // What the tables look like is found out below, and by nobody later.
  for (const { name } of names.filter(({ partitioned }) => !partitioned)) {
    yield* sql`alter table ${tableOf(name)} set (autovacuum_enabled = false)`
  }
  const id = (kind: Parameters<typeof idOf>[0], number: string) =>
    sql.literal(`(${`'${idOf(kind, 0, now).slice(0, 24)}'`} || lpad((${number})::text, 12, '0'))::uuid`)
  yield* sql`insert into ${t.apps} (id, provider, client_id, tenant)
    select ${id("webhook", "i")}, 'microsoft', ${clientId}, 'tenant ' || i from generate_series(1, 20) i`
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at, refreshed_at)
    select ${id("run", "i")}, ${id("webhook", "1 + i % 20")}, '\\x00', '\\x00', due, due, now() - interval '1 hour'
    from (select i, case when i % 100 = 0 then now() - interval '1 minute' else now() + i * interval '10 seconds' end as due
      from generate_series(1, ${accounts}) i) due`
  yield* sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at)
    select id, 'graph', '\\x00', now() + interval '1 hour' from ${t.grants}`
  yield* sql`insert into ${t.grant_tokens} (grant_id, hash, retired_at)
    select g.id, int4send(n), now() - interval '1 day' from ${t.grants} g cross join generate_series(1, 5) n`
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status, tags, sync_due_at, synced_at)
    select ${id("account", "i")}, 'microsoft', 'user' || i || '@example.com', 'user' || i || '@example.com', 'graph',
      ${id("run", "i")}, case when i % 50 = 0 then 'needs_reauth' else 'active' end,
      case when i % 40 = 0 then array['vip'] else '{}' end,
      case when i % 100 = 0 then now() - interval '1 minute' else now() + interval '2 minutes' end, now()
    from generate_series(1, ${accounts}) i`
  yield* sql`insert into ${t.folders} (account_id, id, remote_id, display_name, role, listed, synced_at)
    select ${id("account", "i")}, ${id("folder", "i * 10 + f")}, 'f' || f, 'Folder ' || f,
      case f when 1 then 'inbox' when 2 then 'sent' end, true, now()
    from generate_series(1, ${accounts}) i cross join generate_series(1, 3) f`
  yield* sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients,
      cc_recipients, bcc_recipients, reply_to, received_at, is_read, is_draft, is_flagged, importance, categories,
      has_attachments, preview, body_state, thread_id)
    select ${id("account", "1 + i % 100")}, ${id("message", "i")}, 'm' || i, ${
    id("folder", "(1 + i % 100) * 10 + 1")
  }, 1,
      'Subject ' || i, '[]', '[]', '[]', '[]', now() - interval '300 days' + i * interval '1 minute', i % 3 = 0, false, false,
      'normal', '{}', i % 10 = 0, repeat('preview ', 20), 'complete', 't' || i / 5
    from generate_series(1, ${messages}) i`
  yield* sql`insert into ${t.message_bodies} select account_id, id, repeat('text ', 60), null from ${t.messages}`
  yield* sql`insert into ${t.message_index} (account_id, message_id, received_at, thread_id, twin_key, wants_body, search)
    select account_id, id, received_at, thread_id, remote_id, false,
      (quote_literal('=' || account_id) || ' ' || '''subject'':1 ''w' || right(remote_id, 3) || ''':2')::tsvector
    from ${t.messages}`
  yield* sql`insert into ${t.changes} (account_id, kind, origin, message_id, folder_id)
    select account_id, 'message.created', 'live', id, folder_id from ${t.messages} order by id`
  yield* sql`insert into ${t.runs} (id, kind, state, trigger, total, succeeded, finished_at)
    select ${id("run", "i")}, 'refresh', 'completed', 'admin', 10, 10, now() from generate_series(1, 2000) i`
  yield* sql`insert into ${t.run_items} (run_id, position, account_id, email, outcome)
    select ${id("run", "i")}, p, ${id("account", "p")}, 'user' || p || '@example.com',
      case when p % 10 = 0 then 'failed' else 'succeeded' end
    from generate_series(1, 2000) i cross join generate_series(1, 10) p`
  yield* sql`insert into ${t.events} (kind, subject, message, position)
    select 'account.needs_reauth', ${id("account", "1 + i % 500")}::text, 'm', i from generate_series(1, 20000) i`
  yield* sql`insert into ${t.audit} (actor, action, account_id, outcome)
    select 'admin', 'access_token', ${id("account", "1 + i % 500")}, 'ok' from generate_series(1, 20000) i`
  yield* sql`insert into ${t.webhooks} (id, url, description, origins, secret, change_cursor, event_cursor)
    select ${id("webhook", "i")}, 'https://example.com/', '', '{live}', '\\x00', 27000, 0 from generate_series(1, 5) i`
  yield* sql`insert into ${t.webhook_deliveries} (webhook_id, account_id, lane, type, change_id, delivered_at)
    select ${id("webhook", "1 + i % 5")}, ${id("account", "1 + i % 100")}, 'account ' || i % 100, 'message.created', i,
      case when i % 50 <> 0 then now() end
    from generate_series(1, 20000) i`
  for (const { name } of names) yield* sql`vacuum ${tableOf(name)}`
  yield* sql.withTransaction(Effect.gen(function* () {
    yield* sql`set local default_statistics_target = 100`
    for (const { name } of names) yield* sql`analyze ${tableOf(name)}`
  }))
}, orDie)
