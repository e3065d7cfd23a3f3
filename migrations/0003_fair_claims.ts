import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Claims that no app can hold up, a sync queue of active accounts only, and policies of tags that are followed little by
 * little.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // A claim reads the heads of each app's queue: the backlog of one that is paused is not stepped over.
    yield* sql`drop index ${t("grants_attempt")}`
    yield* sql`create index grants_attempt on ${t("grants")} (app_id, attempt_at) where attempt_at is not null`

    // Only active accounts are synced; the others came due again and again and stood at the head of the queue.
    yield* sql`update ${t("accounts")} set sync_due_at = null where sync_due_at is not null and status <> 'active'`
    yield* sql`drop index ${t("accounts_sync_due")}`
    yield* sql`create index accounts_sync_due on ${t("accounts")} (sync_due_at)
      where sync_due_at is not null and status = 'active'`

    // policy null = it was taken away, and goes once the grants have followed. version grows with each change;
    // followed_version = the change that all grants have followed.
    yield* sql`alter table ${t("tag_policies")}
      alter column policy drop not null,
      add column version integer not null default 1,
      add column followed_version integer not null default 1,
      add column changed_at timestamptz not null default now()`
    yield* sql`alter table ${t("tag_policies")} alter column followed_version set default 0`
  })
