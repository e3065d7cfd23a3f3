import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Bodies and words are packed by LZ4 where the server was built with it: a message takes Postgres a tenth less of processor than
 * with its own method, and no more room. What is stored stays as it is; both are read.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    const [server] = yield* sql<{ knows: boolean }>`select 'lz4' = any (enumvals) as knows
      from pg_settings where name = 'default_toast_compression'`
    if (server?.knows !== true) return
    yield* sql`alter table ${t("message_index")} alter search set compression lz4`
    // Partitions that are made later take it from the table; those that are there do not.
    const partitions = yield* sql<{ name: string }>`select c.relname as name
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ${`"${schema}".message_bodies`}::regclass`
    for (const name of ["message_bodies", ...partitions.map(({ name }) => name)]) {
      yield* sql`alter table ${t(name)} alter body_text set compression lz4, alter body_html set compression lz4`
    }
  })
