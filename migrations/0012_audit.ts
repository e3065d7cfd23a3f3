/**
 * An audit log that shows where it was tampered with, and accounts that are erased a piece at a time.
 *
 * No large table is rewritten. Creating the two indexes by account stops writes to their tables meanwhile, but no reads.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // Positions are given by whoever writes the chain: without a gap, which identities do not promise. subject = the pseudonym of
    // an account; object, grant_object = ids of what was read or changed, under the key of that account where there is one. hash
    // null = written before there was a chain: these entries stay as they are, before its beginning.
    yield* sql`alter table ${t("audit")} alter column id drop identity`
    // A process of the release before, while it still runs beside ours, writes entries outside of the chain: before its beginning.
    yield* sql`create sequence ${
      t("audit_outside")
    } as bigint increment by -1 minvalue -9000000000000000000 maxvalue -1`
    yield* sql`alter table ${t("audit")} alter column id
      set default nextval(${sql.literal(`'${schema}.audit_outside'`)}::regclass)`
    yield* sql`alter table ${t("audit")}
      add column subject uuid,
      add column object uuid,
      add column grant_object uuid,
      add column detail text,
      add column hash bytea`
    yield* sql`create index audit_subject on ${t("audit")} (subject, id) where subject is not null`
    yield* sql`insert into ${t("meta")} (name, value)
      select 'audit_anchor', coalesce(max(id), 0) || ':' || repeat('0', 64) from ${t("audit")}`
    // Erasing an account deletes its row: what the log says of it leads to nobody from then on.
    yield* sql`create table ${t("audit_subjects")} (
      account_id uuid primary key,
      pseudonym uuid not null unique,
      key bytea not null
    )`

    // An account goes at once, what was stored of it in batches afterwards.
    yield* sql`alter table ${t("messages")} drop constraint messages_account_id_fkey`
    yield* sql`alter table ${t("folders")} drop constraint folders_account_id_fkey`
    yield* sql`create index changes_account on ${t("changes")} (account_id)`
    yield* sql`create index run_items_account on ${t("run_items")} (account_id) where account_id is not null`
    yield* sql`create index run_items_email on ${t("run_items")} (lower(email)) where email is not null`

    // account_id, email_key, grant_id, secret null = done with. secret = the refresh token, sealed for grant_id, until the provider
    // has revoked it. subject = the pseudonym in the audit log. step = what is purged next. settle_at = when it is looked whether
    // anything is left: whoever was writing while the account was deleted has ended by then.
    yield* sql`create table ${t("erasures")} (
      id uuid primary key,
      account_id uuid unique,
      email_key text collate "C",
      subject uuid not null,
      provider text not null,
      grant_id uuid,
      grant_deleted boolean not null,
      secret bytea,
      revocation text not null,
      revoke_at timestamptz,
      step text not null default 'messages',
      settle_at timestamptz not null default now() + interval '1 minute',
      erased jsonb not null default '{}',
      requested_at timestamptz not null default now(),
      finished_at timestamptz
    )`
    yield* sql`create index erasures_open on ${t("erasures")} (requested_at) where finished_at is null`
  })
