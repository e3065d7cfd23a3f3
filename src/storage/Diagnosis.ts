/** What a database says of itself, for whoever looks for what is wrong. Reads only, whatever the state of the schema. */
import { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { migrations } from "../../migrations/mod.ts"
import { clusterPrefix } from "./Database.ts"

export interface Diagnosis {
  /** As `server_version_num`: 160004 = 16.4. */
  readonly version: number
  /** The clock of the database. */
  readonly now: Date
  readonly schemaExists: boolean
  /** May make the schema, and tables in it. */
  readonly mayCreate: boolean
  /** Names of migrations that are still to run. */
  readonly pending: ReadonlyArray<string>
  /** None has run yet. */
  readonly isEmpty: boolean
  /** Migrations that ran and that this version does not know: a newer version has been here. */
  readonly unknown: number
  /** Providers that apps are registered at. */
  readonly providers: ReadonlyArray<string>
  /** What wraps the data keys, and the keys that stored secrets need themselves, as far as a sample of them shows. */
  readonly keyIds: ReadonlyArray<string>
  /** Processes of a cluster on this database. */
  readonly members: ReadonlyArray<{
    /** `host:port`. */
    readonly address: string
    /** False = the others do not reach it. */
    readonly healthy: boolean
    /** Since it last said that it lives. */
    readonly silentSeconds: number
  }>
}

/** Secrets that are looked at: keys are replaced for all of them. */
const sample = 10_000

export const diagnose = Effect.fn("Diagnosis.diagnose")(function* (
  schema: string,
): Effect.fn.Return<Diagnosis, SqlError.SqlError, PgClient.PgClient> {
  const sql = yield* PgClient.PgClient
  const rows = yield* sql<
    { version: number; now: Date; exists: boolean; may: boolean; migrated: boolean; clustered: boolean }
  >`
    select current_setting('server_version_num')::int4 as version, clock_timestamp() as now,
      n.oid is not null as exists, to_regclass(${`${schema}.migrations`}) is not null as migrated,
      to_regclass(${`${clusterPrefix(schema)}_runners`}) is not null as clustered,
      case when n.oid is null then has_database_privilege(current_database(), 'create')
        else has_schema_privilege(n.oid, 'create') end as may
    from (select 1) one left join pg_namespace n on n.nspname = ${schema}`
  const { clustered, exists, may, migrated, now, version } = rows[0]!
  const known = Object.keys(migrations)
  const newest = Math.max(...known.map((name) => Number.parseInt(name)))
  const ran = migrated
    ? yield* sql<{ id: number }>`select migration_id::int4 as id from ${sql(`${schema}.migrations`)}`
    : []
  const pending = known.filter((name) => !ran.some(({ id }) => id === Number.parseInt(name)))
  const complete = pending.length === 0
  const providers = complete
    ? yield* sql<{ provider: string }>`select distinct provider from ${sql(`${schema}.apps`)}`
    : []
  const keys = complete
    ? yield* sql<{ id: string }>`select case use when 'direct' then id else wrapped_by end as id
          from ${sql(`${schema}.data_keys`)}
        union
        select encode(substring(secret from 3 for get_byte(secret, 1)), 'escape')
        from (select secret from ${sql(`${schema}.grants`)} where length(secret) > 2 limit ${sample}) s
        where get_byte(secret, 0) = 1
        order by id`
    : []
  const members = clustered
    ? yield* sql<Diagnosis["members"][number]>`select address, healthy,
        extract(epoch from now()::timestamp - last_heartbeat)::float8 as "silentSeconds"
      from ${sql(`${clusterPrefix(schema)}_runners`)} order by address`
    : []
  return {
    version,
    now,
    schemaExists: exists,
    mayCreate: may,
    pending,
    isEmpty: ran.length === 0,
    unknown: ran.filter(({ id }) => id > newest).length,
    providers: providers.map(({ provider }) => provider),
    keyIds: keys.map(({ id }) => id),
    members,
  }
})
