import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Which value of an imported row is to be mended. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`alter table ${sql(`${schema}.run_items`)} add column error_field text`
  })
