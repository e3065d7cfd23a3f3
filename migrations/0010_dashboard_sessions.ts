import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Browsers that are signed in to the dashboard. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // hash = of the token in the cookie. key_id = the API key it was given for, and ends with. Without one it is of the admin
    // key, admin_mac being that key's under the encryption key: with another admin key it ends.
    yield* sql`create table ${t("dashboard_sessions")} (
      hash bytea primary key,
      key_id uuid references ${t("api_keys")} on delete cascade,
      admin_mac bytea,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      check ((key_id is null) <> (admin_mac is null))
    )`
    yield* sql`create index dashboard_sessions_expiry on ${t("dashboard_sessions")} (expires_at)`
    yield* sql`create index dashboard_sessions_key on ${t("dashboard_sessions")} (key_id)`
  })
