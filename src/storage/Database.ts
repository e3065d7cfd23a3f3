/** The operator's Postgres, or the embedded one: same client, same SQL. Our tables live in a schema of their own. */
import { PgClient } from "@effect/sql-pg"
import { PgTypes } from "@effect/sql-pg"
import { Cause, Context, Effect, Layer, Option, Predicate, Redacted, Result, Schema } from "effect"
import { Migrator, SqlClient, SqlError, type Statement } from "effect/sql"
import { migrations } from "../../migrations/mod.ts"
import { Settings } from "../domain/Settings.ts"

/** The database cannot be used: not reachable, no right, or its folder is in use. `message` is one line for the operator. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()("DatabaseError", {
  message: Schema.String,
  /** The embedded database works, for another process. */
  inUse: Schema.optionalKey(Schema.Boolean),
  cause: Schema.optionalKey(Schema.Defect()),
}) {}

const tables = [
  "apps",
  "grants",
  "grant_tokens",
  "access_tokens",
  "accounts",
  "folders",
  "messages",
  "message_index",
  "message_bodies",
  "changes",
  "runs",
  "run_items",
  "import_blocks",
  "tag_policies",
  "events",
  "audit",
  "audit_subjects",
  "erasures",
  "connect_sessions",
  "api_keys",
  "dashboard_sessions",
  "subscriptions",
  "notifications",
  "webhooks",
  "webhook_deliveries",
  "data_keys",
  "encryption_rotations",
  "pauses",
  "meta",
] as const

type Table = typeof tables[number]

export class Database extends Context.Service<Database, {
  readonly sql: PgClient.PgClient
  readonly engine: "postgres" | "embedded"
  readonly schema: string
  /** Schema-qualified table names, to be put into statements. */
  readonly tables: Readonly<Record<Table, Statement.Identifier>>
  /** A key of `pg_advisory_xact_lock` that is ours alone: it orders the commits of change-log entries. */
  readonly changesLock: number
  /** Likewise of entries of the audit log. */
  readonly auditLock: number
}>()("mailfleet/storage/Database") {
  /** Wraps a client that the caller already has, and migrates. Our statements name their schema, so `search_path` is left alone. */
  static readonly fromClient = (options: { readonly schema: string; readonly engine: "postgres" | "embedded" }) =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* migrate(sql, options.schema)
      return Database.of({
        sql,
        engine: options.engine,
        schema: options.schema,
        tables: Object.fromEntries(tables.map((name) => [name, sql(`${options.schema}.${name}`)])) as Record<
          Table,
          Statement.Identifier
        >,
        changesLock: hash32(`mailfleet:changes:${options.schema}`),
        auditLock: hash32(`mailfleet:audit:${options.schema}`),
      })
    })

  /** On the caller's own `PgClient`, in the schema that the settings name. */
  static readonly layerClient: Layer.Layer<Database, DatabaseError, PgClient.PgClient | Settings> = Layer.effect(
    Database,
    Effect.gen(function* () {
      const settings = yield* Settings
      return yield* Database.fromClient({ schema: settings.databaseSchema, engine: "postgres" })
    }),
  )

  /** Postgres by `DATABASE_URL`. */
  static readonly layerPostgres: Layer.Layer<Database, DatabaseError, Settings> = Layer.suspend(() =>
    Database.layerClient.pipe(Layer.provide(postgresClient))
  )
}

/** A client of the Postgres of `DATABASE_URL` that answers. */
export const postgresClient: Layer.Layer<PgClient.PgClient, DatabaseError, Settings> = Layer.unwrap(
  Effect.gen(function* () {
    const settings = yield* Settings
    const unreachable = new DatabaseError({
      message: `DATABASE_URL: no Postgres answers at ${hostOf(settings.databaseUrl)}, or it refused the login`,
    })
    const client = PgClient.layer({
      url: Option.getOrUndefined(settings.databaseUrl),
      applicationName: "mailfleet",
      maxConnections: settings.databaseMaxConnections,
      prepare: settings.databasePrepare,
      // Not multiplexed: with pipelining, statements of this client version (4.0.5) sometimes never complete.
      multiplex: false,
      connectTimeout: "10 seconds",
      // Else a statement would wait for ever for a server that vanished, with its machine, before it answered.
      keepAlive: "15 seconds",
    }).pipe(Layer.catchCause(() => Layer.effectContext(Effect.fail(unreachable))))
    // The client connects at its first statement only.
    const answers = Layer.effectDiscard(
      Effect.flatMap(PgClient.PgClient, (sql) => Effect.mapError(sql`select 1`, () => unreachable)),
    )
    return Layer.provideMerge(answers, client)
  }),
)

const hostOf = (databaseUrl: Option.Option<Redacted.Redacted>): string =>
  Option.match(databaseUrl, { onNone: () => "?", onSome: (redacted) => new URL(Redacted.value(redacted)).host })

/**
 * Creates the schema and runs what migrations are missing, up to the one with the number `newest`. Safe when several processes start at once: the migrator holds
 * a lock on its table, and a lost race to create the schema is not an error.
 */
export const migrate = Effect.fn("Database.migrate")(
  function* (sql: PgClient.PgClient, schema: string, newest: number = newestMigration) {
    const exists = sql`select 1 from pg_namespace where nspname = ${schema}`.pipe(Effect.map((rows) => rows.length > 0))
    // Asked first: "create schema if not exists" needs the right to create even where the schema exists.
    if (!(yield* exists)) {
      yield* sql`create schema ${sql(schema)}`.pipe(
        Effect.catch((error) => Effect.flatMap(exists, (there) => there ? Effect.void : Effect.fail(error))),
      )
    }
    yield* Migrator.make({})({
      table: `${schema}.migrations`,
      loader: Migrator.fromRecord(
        Object.fromEntries(
          Object.entries(migrations).filter(([name]) => Number.parseInt(name) <= newest)
            .map(([name, migration]) => [name, migration(schema)]),
        ),
      ),
    }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  },
  Effect.mapError((cause) =>
    new DatabaseError({
      message: "the database cannot be migrated: it needs the right to create its schema and tables",
      cause,
    })
  ),
)

export const newestMigration = Math.max(...Object.keys(migrations).map((name) => Number.parseInt(name)))

/** Whether the tables are those that this program knows, or newer ones. An older backup that was restored under it has others. */
export const isMigrated = ({ schema, sql }: Database["Service"]): Effect.Effect<boolean, SqlError.SqlError> =>
  Effect.map(
    sql<{ newest: number | null }>`select max(migration_id)::int4 as newest from ${sql(`${schema}.migrations`)}`,
    (rows) => (rows[0]?.newest ?? 0) >= newestMigration,
  )

/**
 * To be joined into a statement whose loss in a crash of the database server harms nobody (a lease, a claim, progress):
 * its commit does not wait for the disk. On a disk with slow syncs that is most of the cost of such a statement.
 */
export const relaxed = "(select set_config('synchronous_commit', 'off', true)) relaxed"

/**
 * To be selected with a lock that all processes wait for, in a transaction. One that vanishes with its machine, or is cut off, between
 * two statements would keep the lock for as long as TCP does not notice, which may be hours. A transaction holds SQL only, so
 * that its statements follow each other at once: whoever says nothing for 15 seconds is not coming back to it.
 */
export const notForLong = "set_config('idle_in_transaction_session_timeout', '15s', true)"

/** FNV-1a over the text, as a signed 32-bit integer. */
const hash32 = (value: string): number => {
  let hash = 0x811c9dc5
  for (let index = 0; index < value.length; index++) hash = Math.imul(hash ^ value.charCodeAt(index), 0x01000193)
  return hash | 0
}

/**
 * An array parameter of a stated element type, for `unnest`. The client's own inference refuses arrays that hold only
 * nulls or mix small and large integers.
 */
export const column = (
  type: "text" | "uuid" | "int4" | "int8" | "float8" | "bytea" | "timestamptz" | "bool",
  values: ReadonlyArray<unknown>,
) => Result.getOrThrow(PgTypes.array(values, PgTypes.OID[type]))

/**
 * To be selected in a transaction whose statements look a few rows up in tables of any size. A plan that was made while a
 * table was empty is otherwise kept for the life of the connection, unless something analyzes the table: then any index will
 * do, and each look reads all of the account. So plans are made for the tables as large as they are, and never read them whole.
 */
export const byIndex =
  "set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)"

/**
 * An account, where something is looked up for each of many messages, as a planner takes it that does not know which one it is: it
 * expects as many rows as others have. Of an account that has come since a table was analyzed, statistics say that it has none;
 * then any of its indexes costs nothing, and each look may read all of the account.
 */
export const asAnyAccount = (sql: PgClient.PgClient, accountId: string): Statement.Fragment =>
  sql`(select ${accountId}::uuid)`

/** What the names of the tables begin with in which `effect/cluster` keeps members and shards. It migrates them by itself. */
export const clusterPrefix = (schema: string): string => `${schema}.cluster`

/** Database faults are not the caller's business: they end the work that met them, which its owner takes up again. */
export const orDie = <A, R>(effect: Effect.Effect<A, SqlError.SqlError, R>): Effect.Effect<A, never, R> =>
  Effect.orDie(effect)

/** Of values that cannot be stored, constraints, and rows or index entries that are too large. The SQL standard's, and Postgres' 54. */
const ofStatement = /^(?:22|23|54)/

const isOutage = (defect: unknown): boolean => {
  if (!SqlError.isSqlError(defect)) return false
  const cause: unknown = defect.reason.cause
  return !(Predicate.hasProperty(cause, "code") && typeof cause.code === "string" && ofStatement.test(cause.code))
}

/**
 * True for a fault that came of what was worked on: work on other things may go on. False where the database is at fault, and
 * for an interruption: then all work ends, and whoever owns it takes it up again.
 */
export const isOfItem = (cause: Cause.Cause<unknown>): boolean =>
  !Cause.hasInterrupts(cause) && !isOutage(Cause.squash(cause))

/** The code that items of runs, and accounts, show for a fault of our own. */
export const internalError = "internal_error"

/** Takes their meaning from the wildcards of `like`. */
export const escapeLike = (text: string): string => text.replace(/[\\%_]/g, "\\$&").replaceAll("\0", "")
