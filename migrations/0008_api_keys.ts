import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Keys of the HTTP API beside the admin key. A key is known by its hash only. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    yield* sql`create table ${t("api_keys")} (
      id uuid primary key,
      name text not null,
      prefix text not null,
      hash bytea not null unique,
      scopes text[] not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      last_used_at timestamptz
    )`
  })
