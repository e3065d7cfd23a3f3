import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Pauses that a provider has asked one process of a cluster for, kept by all of them. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // key = what nobody may send under until then, as the pacing names it: an app, a tenant of it, a grant, a mailbox.
    yield* sql`create table ${t("pauses")} (
      key text primary key,
      until timestamptz not null
    )`
  })
