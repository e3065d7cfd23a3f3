import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Refreshing at scale: when a grant is due is told apart from when it is tried next, claims do not touch an index, policies
 * of accounts and tags, why a redemption failed in full, what operators are told, and who was given an access token.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // due_at = when the policy wants the grant redeemed, which no passing failure moves: the refresh lag is told from it.
    // attempt_at = when it is tried next; null = not by itself. claimed_until = a process is about to redeem it; in no index,
    // so that a claim costs one short write.
    yield* sql`alter table ${t("grants")}
      add column policy text not null default 'keep-alive',
      add column attempt_at timestamptz,
      add column claimed_until timestamptz,
      add column failure_trace_id text,
      add column failure_correlation_id text`
    // A grant rests where all its accounts are disabled; a dead one is looked at again within a week.
    yield* sql`update ${
      t("grants")
    } g set due_at = now() + random() * interval '7 days' where due_at is null and exists (
      select 1 from ${t("accounts")} a where a.grant_id = g.id and a.status <> 'disabled')`
    yield* sql`update ${t("grants")} set attempt_at = due_at where due_at is not null`
    yield* sql`drop index ${sql(`${schema}.grants_due`)}`
    yield* sql`create index grants_attempt on ${t("grants")} (attempt_at) where attempt_at is not null`
    yield* sql`create index grants_failing on ${t("grants")} (failure_class) where failure_class is not null`
    // Few: those that are tried later than they are due.
    yield* sql`create index grants_late on ${t("grants")} (due_at) where attempt_at > due_at`

    // When the policy warm replaces it; null = at once.
    yield* sql`alter table ${t("access_tokens")} add column renew_at timestamptz`

    // The account's own choice; null = that of its tags.
    yield* sql`alter table ${t("accounts")} add column refresh_policy text`
    yield* sql`create table ${t("tag_policies")} (
      tag text primary key,
      policy text not null,
      created_at timestamptz not null default now()
    )`

    yield* sql`alter table ${t("apps")} add column updated_at timestamptz not null default now()`

    yield* sql`create table ${t("events")} (
      id bigint generated always as identity primary key,
      at timestamptz not null default now(),
      kind text not null,
      subject text not null,
      code text,
      message text not null
    )`
    yield* sql`create index events_subject on ${t("events")} (subject, id)`

    yield* sql`create table ${t("audit")} (
      id bigint generated always as identity primary key,
      at timestamptz not null default now(),
      actor text not null,
      action text not null,
      account_id uuid,
      grant_id uuid,
      resource text,
      outcome text not null
    )`
    yield* sql`create index audit_account on ${t("audit")} (account_id, id)`
  })
