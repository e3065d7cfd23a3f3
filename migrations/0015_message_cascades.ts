import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * What messages are found by goes with them by one statement for all that are deleted at once. Foreign keys are checked for
 * each row that is inserted: that took longer than to insert it. A writer holds its account's row until it commits, so that
 * nothing is stored for one that is gone, and erasing takes the rest.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // Planned for the table as large as it is, whatever it was when a connection first came here.
    yield* sql`create function ${t("message_index_with_messages")}() returns trigger language plpgsql
      set plan_cache_mode = 'force_custom_plan' set enable_seqscan = off as ${
      sql.literal(`$$
      begin
        delete from "${schema}".message_index i using gone g where i.account_id = g.account_id and i.message_id = g.id;
        return null;
      end $$`)
    }`
    yield* sql`create trigger message_index_with_messages after delete on ${t("messages")} referencing old table as gone
      for each statement execute function ${t("message_index_with_messages")}()`
    yield* sql`alter table ${t("message_index")} drop constraint message_index_account_id_message_id_fkey`
    yield* sql`alter table ${t("message_bodies")} drop constraint message_bodies_account_id_fkey`
  })
