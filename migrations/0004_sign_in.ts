import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Sign-in: apps with all that a sign-in needs, grants that nobody's refresh token stands for, mailboxes read by name, and
 * the sessions in which people sign in.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // authority, redirect_uri null = those of the settings. scopes = {channel: scopes}, where they are not the usual ones.
    // registration = how the provider limits refresh tokens: standard, spa (24 hours), testing (7 days).
    // private_key = of the certificate (Microsoft) or of the service account (Google), sealed; certificate = its public part.
    // expiry_told = the days before the end of the secret or certificate at which operators were told last.
    yield* sql`alter table ${t("apps")}
      add column authority text,
      add column redirect_uri text,
      add column scopes jsonb not null default '{}',
      add column registration text not null default 'standard',
      add column secret_expires_at timestamptz,
      add column private_key bytea,
      add column certificate text,
      add column certificate_thumbprint text,
      add column certificate_expires_at timestamptz,
      add column service_account text,
      add column expiry_told integer`

    // kind = refresh_token, client_credentials (an administrator's, for a whole tenant) or service_account (Google's, for one
    // mailbox): only the first has a secret of its own. tenant = that of an app-only grant. subject = the provider's id of who
    // signed in, or the mailbox that a service account reads. lives_until = when the provider ends it, whatever we do.
    yield* sql`alter table ${t("grants")}
      add column kind text not null default 'refresh_token',
      alter column secret drop not null,
      alter column token_hash drop not null,
      add column tenant text,
      add column subject text,
      add column signed_in_at timestamptz,
      add column lives_until timestamptz`
    yield* sql`create unique index grants_of_tenant on ${
      t("grants")
    } (app_id, tenant) where kind = 'client_credentials'`
    yield* sql`create index grants_ending on ${t("grants")} (lives_until) where lives_until is not null`
    // Since when a refresh token has not been used, which ends it in the long run.
    yield* sql`create index grants_unused on ${t("grants")} (greatest(refreshed_at, signed_in_at, created_at))
      where kind = 'refresh_token'`

    // by_name = read under its address rather than as the mailbox of who signed in: shared, or of an app-only tenant.
    yield* sql`alter table ${t("accounts")}
      add column by_name boolean not null default false,
      add column status_since timestamptz not null default now()`
    yield* sql`update ${t("accounts")} set status_since = updated_at`

    // Events of single accounts may be many, and must not stand in the way of the few of other kinds.
    yield* sql`create index events_kind on ${t("events")} (kind, id)`

    // The link, the browser and the state are known by hashes only. secret = what the exchange needs, sealed.
    yield* sql`create table ${t("connect_sessions")} (
      id uuid primary key,
      kind text not null,
      state text not null default 'open',
      app_id uuid not null references ${t("apps")} on delete cascade,
      account_id uuid references ${t("accounts")} on delete cascade,
      expected_email text,
      return_url text,
      tags text[] not null default '{}',
      channel text,
      redirect_uri text,
      link_hash bytea not null unique,
      browser_hash bytea,
      state_hash bytea unique,
      secret bytea,
      error_code text,
      error_message text,
      connected_account_id uuid,
      grant_id uuid,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      opened_at timestamptz,
      finished_at timestamptz
    )`
    yield* sql`create index connect_sessions_expiry on ${t("connect_sessions")} (expires_at)`
  })
