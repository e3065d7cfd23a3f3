import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Push: subscriptions to mailboxes at the provider, and the notifications that have come and are not worked off. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // remote_id null = there is none at the provider, or none that is known. client_state = keyed hash of what notifications prove
    // themselves by. begun_at = a creation was begun and its end is not known: the provider may have one that nobody knows.
    yield* sql`create table ${t("subscriptions")} (
      account_id uuid primary key references ${t("accounts")} on delete cascade,
      remote_id text collate "C" unique,
      client_state bytea,
      resource text,
      notification_url text,
      expires_at timestamptz,
      due_at timestamptz not null default now(),
      claimed_until timestamptz,
      begun_at timestamptz,
      failures integer not null default 0,
      failure_code text,
      failure_message text,
      created_at timestamptz not null default now()
    ) with (fillfactor = 80)`
    yield* sql`create index subscriptions_due on ${t("subscriptions")} (due_at)`

    // drained_at = since when the account was due because of it; kept until a round that began later has ended.
    yield* sql`create table ${t("notifications")} (
      id bigint generated always as identity primary key,
      account_id uuid not null references ${t("accounts")} on delete cascade,
      kind text not null,
      remote_id text collate "C",
      received_at timestamptz not null default now(),
      drained_at timestamptz
    )`
    // One of a kind is enough for an account, however often it is told.
    yield* sql`create unique index notifications_waiting on ${
      t("notifications")
    } (account_id, kind) where drained_at is null`
    yield* sql`create index notifications_account on ${t("notifications")} (account_id)`
  })
