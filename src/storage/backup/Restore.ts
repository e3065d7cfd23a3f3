/** Writes a backup into an empty schema: all of it, or nothing. */
import type { PgClient } from "@effect/sql-pg"
import { DateTime, Effect, Option, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { KeyProvider, lacking } from "../../oauth/KeyProvider.ts"
import type { KeyProviderError } from "../../oauth/KeyProviderError.ts"
import { type DatabaseError, migrate, newestMigration } from "../Database.ts"
import { BackupError, End, endName, Head, headName, partsOf } from "./BackupFormat.ts"
import { afterRestore } from "./AfterRestore.ts"
import { type BackupTable, tablesOf } from "./Tables.ts"

export interface RestoreSummary {
  readonly rows: Readonly<Record<string, number>>
  readonly takenAt: DateTime.Utc
}

/** What a first start leaves in a schema in which nothing was ever stored. */
const ofAStart = ["meta", "data_keys"]

const notEmpty = (schema: string) =>
  new BackupError({
    message: `the schema ${schema} is not empty: drop it, or restore into another one or another data folder ` +
      "(MAILFLEET_DATABASE_SCHEMA, MAILFLEET_DATA_DIR)",
  })

const broken = (message: string) => new BackupError({ message: `this is no whole backup: ${message}` })

/**
 * Restores what `next` gives, line by line; none = there are no more.
 *
 * @param spreadSeconds over how long refreshes and syncs that are due by then are spread
 */
export const restore = Effect.fn("Backup.restore")(function* <E>(
  sql: PgClient.PgClient,
  schema: string,
  spreadSeconds: number,
  next: Effect.Effect<Option.Option<string>, E>,
): Effect.fn.Return<
  RestoreSummary,
  BackupError | DatabaseError | KeyProviderError | SqlError.SqlError | E,
  KeyProvider
> {
  const head = yield* readHead(yield* next)
  if (head.migration > newestMigration) {
    return yield* new BackupError({
      message:
        `the backup was made by version ${head.version}, whose tables this version does not know: restore by that one, or a newer`,
    })
  }
  yield* expectEmpty(sql, schema, head.migration)
  // As they were when the backup was made. What has been added since follows once they are filled.
  yield* migrate(sql, schema, head.migration)
  const tables = yield* tablesOf(sql, schema)
  const rows = yield* sql.withTransaction(Effect.gen(function* () {
    for (const name of ofAStart) yield* sql`delete from ${sql(`${schema}.${name}`)}`
    const rows = yield* fill(sql, schema, tables, next)
    for (const { called, last, name } of head.sequences) {
      yield* sql`select setval(${`${schema}.${name}`}::text::regclass, ${last}::text::bigint, ${called})`
    }
    yield* expectKeys(sql, schema)
    yield* afterRestore(sql, schema, head, spreadSeconds)
    return rows
  }))
  yield* migrate(sql, schema)
  for (const { name } of tables) yield* sql`analyze ${sql(`${schema}.${name}`)}`
  return { rows, takenAt: head.takenAt }
})

const readHead = Effect.fnUntraced(function* (line: Option.Option<string>) {
  const [name, json] = partsOf(Option.getOrElse(line, () => ""))
  const head = name === headName ? Schema.decodeUnknownOption(Head)(json) : Option.none()
  return Option.isSome(head) ? head.value : yield* broken("it does not begin as one")
})

const expectEmpty = Effect.fnUntraced(function* (sql: PgClient.PgClient, schema: string, migration: number) {
  const tables = yield* tablesOf(sql, schema)
  for (const { name } of tables.filter(({ name }) => !ofAStart.includes(name))) {
    const rows = yield* sql`select 1 from ${sql(`${schema}.${name}`)} limit 1`
    if (rows.length > 0) return yield* notEmpty(schema)
  }
  if (tables.length === 0) return
  const [{ newest } = { newest: 0 }] = yield* sql<{ newest: number }>`select max(migration_id)::int4 as newest
    from ${sql(`${schema}.migrations`)}`
  // Its tables are of a newer version than the rows: those cannot go back.
  if (newest > migration) return yield* notEmpty(schema)
})

/** Rows of all tables, parents first. */
const fill = Effect.fnUntraced(function* <E>(
  sql: PgClient.PgClient,
  schema: string,
  tables: ReadonlyArray<BackupTable>,
  next: Effect.Effect<Option.Option<string>, E>,
): Effect.fn.Return<Record<string, number>, BackupError | SqlError.SqlError | E> {
  const rows: Record<string, number> = Object.fromEntries(tables.map(({ name }) => [name, 0]))
  while (true) {
    const line = yield* next
    if (Option.isNone(line)) return yield* broken("its end is missing")
    const [name, json] = partsOf(line.value)
    if (name === endName) {
      const end = Schema.decodeUnknownOption(End)(json)
      if (Option.isNone(end) || Object.entries(end.value.rows).some(([table, count]) => rows[table] !== count)) {
        return yield* broken("rows are missing")
      }
      // What stands behind it is read as well: only then is the file known to be as it was made.
      if (Option.isSome(yield* next)) return yield* broken("something stands behind its end")
      return rows
    }
    const table = tables.find((table) => table.name === name)
    if (table === undefined) return yield* broken("it holds a table that no version had")
    const columns = sql.join(", ", false)(table.columns.map((column) => sql`${sql(column)}`))
    const inserted = yield* sql<{ count: number }>`with inserted as (
        insert into ${sql(`${schema}.${name}`)} (${columns}) overriding system value
        select ${columns} from json_populate_recordset(null::${
      sql(`${schema}.${name}`)
    }, ${json}::text::json) returning 1
      ) select count(*)::int as count from inserted`
    rows[name]! += inserted[0]!.count
  }
})

/** Without its keys a backup is of no use: better said before it is taken for restored. */
const expectKeys = Effect.fnUntraced(function* (sql: PgClient.PgClient, schema: string) {
  const provider = yield* KeyProvider
  const keys = yield* sql<{ id: string; wrapped: Uint8Array | null; wrapped_by: string | null }>`
    select id, wrapped, wrapped_by from ${sql(`${schema}.data_keys`)} order by ordinal`
  const needed = [...new Set(keys.map(({ id, wrapped_by }) => wrapped_by ?? id))]
  const lacked = needed.filter((by) => !provider.holds(by))
  if (lacked.length > 0) return yield* new BackupError({ message: lacking(lacked) })
  // One of each is proof enough.
  for (const by of needed) {
    const wrapped = keys.find(({ wrapped_by }) => wrapped_by === by)?.wrapped
    if (wrapped !== null && wrapped !== undefined) yield* provider.unwrap(by, wrapped)
  }
})
