import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * The fleet: apps, grants, accounts, mail, the change log and runs.
 *
 * What belongs to an account is keyed (account_id, …), so that the tables can be split by account later.
 * Provider ids are compared byte by byte (collate "C"): Microsoft's are case-sensitive.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    yield* sql`create table ${t("apps")} (
      id uuid primary key,
      provider text not null,
      client_id text not null,
      tenant text not null,
      secret bytea,
      created_at timestamptz not null default now(),
      unique (provider, client_id, tenant)
    )`

    yield* sql`create table ${t("grants")} (
      id uuid primary key,
      app_id uuid not null references ${t("apps")},
      version integer not null default 1,
      secret bytea not null,
      token_hash bytea not null,
      lease_fence bigint not null default 0,
      lease_until timestamptz,
      due_at timestamptz,
      refreshed_at timestamptz,
      failures integer not null default 0,
      failing_since timestamptz,
      failure_class text,
      failure_code text,
      failure_message text,
      failed_at timestamptz,
      created_at timestamptz not null default now()
    ) with (fillfactor = 80)`
    yield* sql`create index grants_due on ${t("grants")} (due_at) where due_at is not null`

    yield* sql`create table ${t("grant_tokens")} (
      grant_id uuid not null references ${t("grants")} on delete cascade,
      hash bytea not null,
      retired_at timestamptz not null default now(),
      primary key (grant_id, hash)
    )`
    yield* sql`create index grant_tokens_retired on ${t("grant_tokens")} (retired_at)`

    yield* sql`create table ${t("access_tokens")} (
      grant_id uuid not null references ${t("grants")} on delete cascade,
      resource text not null,
      secret bytea not null,
      expires_at timestamptz not null,
      primary key (grant_id, resource)
    ) with (fillfactor = 80)`

    yield* sql`create table ${t("accounts")} (
      id uuid primary key,
      provider text not null,
      email text not null,
      email_key text collate "C" not null,
      channel text not null,
      grant_id uuid not null references ${t("grants")},
      status text not null default 'pending',
      status_reason text,
      tags text[] not null default '{}',
      sync_due_at timestamptz,
      sync_lease_fence bigint not null default 0,
      sync_lease_until timestamptz,
      synced_at timestamptz,
      sync_failures integer not null default 0,
      sync_failure_code text,
      sync_failure_message text,
      sync_failed_at timestamptz,
      messages integer not null default 0,
      import_run_id uuid,
      import_position integer,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      unique (provider, email_key)
    ) with (fillfactor = 80)`
    yield* sql`create index accounts_grant on ${t("accounts")} (grant_id)`
    yield* sql`create index accounts_sync_due on ${t("accounts")} (sync_due_at) where sync_due_at is not null`
    yield* sql`create index accounts_status on ${t("accounts")} (status, id)`
    yield* sql`create index accounts_tags on ${t("accounts")} using gin (tags)`

    // cursor null = not listed yet. in_round = the cursor stands in the middle of a round. round grows each time that the
    // folder is listed from the start; listed = that listing is complete. gone = deleted at the provider, not settled yet.
    yield* sql`create table ${t("folders")} (
      account_id uuid not null references ${t("accounts")} on delete cascade,
      id uuid not null,
      remote_id text collate "C" not null,
      parent_remote_id text collate "C",
      display_name text not null,
      role text,
      remote_messages integer,
      messages integer not null default 0,
      cursor text,
      in_round boolean not null default false,
      round integer not null default 1,
      listed boolean not null default false,
      origin text not null default 'backfill',
      gone boolean not null default false,
      synced_at timestamptz,
      created_at timestamptz not null default now(),
      primary key (account_id, id),
      unique (account_id, remote_id)
    )`

    // seen_round = the round of folder_id that last showed the message. removed_at = folder_id says that it has left, and no
    // other folder has shown it yet. also_in = other folders that showed it and have not said that it left: {folder: round}.
    yield* sql`create table ${t("messages")} (
      account_id uuid not null references ${t("accounts")} on delete cascade,
      id uuid not null,
      remote_id text collate "C" not null,
      folder_id uuid not null,
      seen_round integer not null,
      also_in jsonb,
      removed_at timestamptz,
      removed_origin text,
      subject text not null,
      sender jsonb,
      to_recipients jsonb not null,
      cc_recipients jsonb not null,
      bcc_recipients jsonb not null,
      reply_to jsonb not null,
      received_at timestamptz,
      sent_at timestamptz,
      is_read boolean not null,
      is_draft boolean not null,
      is_flagged boolean not null,
      importance text not null,
      categories text[] not null,
      has_attachments boolean not null,
      preview text not null,
      internet_message_id text,
      thread_id text,
      body_text text,
      body_html text,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      primary key (account_id, id),
      unique (account_id, remote_id)
    )`
    yield* sql`create index messages_id on ${t("messages")} (id)`
    // The three lists, newest first: of a folder, of an account, of the fleet.
    const newest = sql.literal("coalesce(received_at, '-infinity'::timestamptz) desc, id desc")
    yield* sql`create index messages_of_folder on ${t("messages")} (account_id, folder_id, ${newest})`
    yield* sql`create index messages_of_account on ${t("messages")} (account_id, ${newest})`
    yield* sql`create index messages_newest on ${t("messages")} (${newest})`
    yield* sql`create index messages_removed on ${t("messages")} (account_id) where removed_at is not null`
    yield* sql`create index messages_elsewhere on ${t("messages")} (account_id) where also_in is not null`

    yield* sql`create table ${t("changes")} (
      id bigint generated always as identity primary key,
      at timestamptz not null default now(),
      account_id uuid not null,
      kind text not null,
      origin text not null,
      message_id uuid,
      folder_id uuid,
      fields text[]
    )`

    yield* sql`create table ${t("runs")} (
      id uuid primary key,
      kind text not null,
      state text not null,
      trigger text not null,
      params jsonb not null default '{}',
      total integer not null default 0,
      succeeded integer not null default 0,
      failed integer not null default 0,
      skipped integer not null default 0,
      retry_of uuid,
      cancel_requested boolean not null default false,
      owner_fence bigint not null default 0,
      owner_until timestamptz,
      idempotency_key text unique,
      request_hash text,
      created_at timestamptz not null default now(),
      started_at timestamptz,
      finished_at timestamptz
    )`
    yield* sql`create index runs_open on ${t("runs")} (id) where state in ('uploading', 'queued', 'running')`

    yield* sql`create table ${t("run_items")} (
      run_id uuid not null references ${t("runs")} on delete cascade,
      position integer not null,
      line integer,
      email text,
      dedup_key text collate "C",
      account_id uuid,
      outcome text not null default 'pending',
      error_code text,
      error_message text,
      error_retryable boolean,
      primary key (run_id, position)
    ) with (fillfactor = 80)`
    yield* sql`create unique index run_items_dedup on ${t("run_items")} (run_id, dedup_key) where dedup_key is not null`

    yield* sql`create table ${t("import_blocks")} (
      run_id uuid not null references ${t("runs")} on delete cascade,
      block integer not null,
      first_position integer not null,
      secret bytea not null,
      primary key (run_id, block)
    )`

    // Ciphertext does not compress: no time is lost on trying.
    for (const table of ["grants", "access_tokens", "import_blocks"]) {
      yield* sql`alter table ${t(table)} alter column secret set storage external`
    }

    yield* sql`create table ${t("meta")} (name text primary key, value text not null)`
    yield* sql`insert into ${t("meta")} (name, value) values ('epoch', '1')`
  })
