import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Syncing in turns: what a round has got through, how far syncing lags behind, counts that are compared with the provider's,
 * and channels that nobody chose.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // channel_open = nobody chose the channel: the first answers of the provider do. counts_due_at = when the counts of folders
    // are compared with the provider's next; null = with the next complete round.
    yield* sql`alter table ${t("accounts")}
      add column channel_open boolean not null default false,
      add column counts_due_at timestamptz`
    yield* sql`create index accounts_channel_open on ${t("accounts")} (grant_id) where channel_open`

    // asked_at = when a turn began that followed the folder to its end, though not all others.
    yield* sql`alter table ${t("folders")} add column asked_at timestamptz`
    yield* sql`create index folders_unlisted on ${t("folders")} (account_id) where not listed and not gone`

    // The lag is told by channel.
    yield* sql`drop index ${t("accounts_sync_due")}`
    yield* sql`create index accounts_sync_due on ${t("accounts")} (sync_due_at) include (channel)
      where sync_due_at is not null and status = 'active'`
    // The mailboxes that have been out of step for longest.
    yield* sql`create index accounts_synced on ${t("accounts")} ((coalesce(synced_at, created_at)))
      where status = 'active'`
    yield* sql`create index accounts_sync_failing on ${t("accounts")} (sync_failure_code)
      where sync_failure_code is not null`
  })
