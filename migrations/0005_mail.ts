import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Mail in step over three channels: what is kept of a mailbox, bodies that come later, attachments, and what messages are
 * found by.
 *
 * Columns are added to the large tables with constant defaults only, and no index: neither rewrites or reads them, so that
 * a store of many millions of messages is not locked. What existing messages are found by is filled in by housekeeping.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // mail = what the account itself chooses of windowDays, bodyDays, folders and retentionDays; the rest is as the settings
    // say. erase_bodies_before = after a smaller choice: bodies of messages received before are still to be erased.
    yield* sql`alter table ${t("accounts")}
      add column mail jsonb not null default '{}',
      add column erase_bodies_before timestamptz`
    yield* sql`create index accounts_erasing on ${t("accounts")} (id) where erase_bodies_before is not null`

    // followed_by = the remote id of the folder whose pages bring this one's changes. cursor_at = when the cursor was stored;
    // null = long ago. earlier = known from the channel before the present one, and not yet found again. difference = messages
    // that the last comparison with the provider, at reconciled_at, found missing or too many.
    yield* sql`alter table ${t("folders")}
      add column followed_by text collate "C",
      add column cursor_at timestamptz,
      add column earlier boolean not null default false,
      add column reconciled_at timestamptz,
      add column difference integer`

    // Whatever is stored so far came with its body.
    yield* sql`alter table ${t("messages")}
      add column size integer,
      add column attachments jsonb not null default '[]',
      add column body_state text not null default 'complete',
      add column body_reason text`
    yield* sql`alter table ${t("messages")} alter column body_state set default 'headers'`

    // What a message is found by, apart from the message: flags change often, and words never with them. wants_body = none is
    // stored. search null = not filled in yet; its lexemes are those of SearchWords.ts.
    yield* sql`create table ${t("message_index")} (
      account_id uuid not null,
      message_id uuid not null,
      received_at timestamptz not null,
      twin_key text collate "C",
      thread_id text collate "C",
      wants_body boolean not null,
      search tsvector,
      primary key (account_id, message_id),
      foreign key (account_id, message_id) references ${t("messages")} (account_id, id) on delete cascade
    )`
    yield* sql`create index message_index_search on ${t("message_index")} using gin (search)`
    yield* sql`create index message_index_twins on ${t("message_index")} (account_id, twin_key)
      where twin_key is not null`
    yield* sql`create index message_index_threads on ${t("message_index")}
      (account_id, thread_id, received_at desc, message_id desc) where thread_id is not null`
    yield* sql`create index message_index_bodies on ${
      t("message_index")
    } (account_id, received_at desc) where wants_body`

    // The id up to which existing messages are filled in; gone = all are.
    yield* sql`insert into ${t("meta")} (name, value)
      select 'messages_indexed', '00000000-0000-0000-0000-000000000000' from ${t("messages")} limit 1`
  })
