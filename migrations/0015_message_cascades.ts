import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * What goes with a message, and with an account, goes by one statement for all that are deleted at once. Foreign keys are
 * checked for each row that is inserted: that took longer than to insert it. A writer holds its account's row until it
 * commits, so that nothing is stored for one that is gone.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    const cascade = (from: string, to: string, condition: string) =>
      Effect.gen(function* () {
        const name = `${to}_with_${from}`
        // Planned for the tables as large as they are, whatever they were when a connection first came here.
        yield* sql`create function ${t(name)}() returns trigger language plpgsql
          set plan_cache_mode = 'force_custom_plan' set enable_seqscan = off as ${
          sql.literal(`$$
          begin
            delete from "${schema}".${to} o using gone g where ${condition};
            return null;
          end $$`)
        }`
        yield* sql`create trigger ${sql(name)} after delete on ${t(from)} referencing old table as gone
          for each statement execute function ${t(name)}()`
      })
    yield* cascade("accounts", "messages", "o.account_id = g.id")
    yield* cascade("accounts", "message_bodies", "o.account_id = g.id")
    yield* cascade("messages", "message_index", "o.account_id = g.account_id and o.message_id = g.id")
    yield* sql`alter table ${t("messages")} drop constraint if exists messages_account_id_fkey`
    yield* sql`alter table ${t("message_bodies")} drop constraint message_bodies_account_id_fkey`
    yield* sql`alter table ${t("message_index")} drop constraint message_index_account_id_message_id_fkey`
  })
