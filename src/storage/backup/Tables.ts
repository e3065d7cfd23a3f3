/** What a schema holds, as its catalog says: whatever a migration adds is backed up without being named here. */
import type { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import type { SqlError } from "effect/sql"

export interface BackupTable {
  readonly name: string
  /** All but those that the database makes itself. */
  readonly columns: ReadonlyArray<string>
  /** Of the primary key, in its order. */
  readonly key: ReadonlyArray<{ readonly name: string; readonly type: string }>
}

/** Kept by the migrator. */
const migrationsTable = "migrations"

interface TableRow {
  readonly name: string
  readonly columns: ReadonlyArray<string>
  readonly keys: ReadonlyArray<string> | null
  readonly key_types: ReadonlyArray<string> | null
  readonly parents: ReadonlyArray<string>
}

/** Every table, a table after those that it refers to. */
export const tablesOf = (
  sql: PgClient.PgClient,
  schema: string,
): Effect.Effect<ReadonlyArray<BackupTable>, SqlError.SqlError> =>
  Effect.map(
    sql<TableRow>`select c.relname as name,
        (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
          where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '') as columns,
        (select array_agg(a.attname::text order by k.place) from pg_index i
          cross join unnest(i.indkey) with ordinality as k (attnum, place)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
          where i.indrelid = c.oid and i.indisprimary) as keys,
        (select array_agg(format_type(a.atttypid, a.atttypmod) order by k.place) from pg_index i
          cross join unnest(i.indkey) with ordinality as k (attnum, place)
          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
          where i.indrelid = c.oid and i.indisprimary) as key_types,
        (select coalesce(array_agg(distinct p.relname::text), '{}') from pg_constraint f join pg_class p on p.oid = f.confrelid
          where f.conrelid = c.oid and f.contype = 'f' and p.oid <> c.oid) as parents
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${schema} and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> ${migrationsTable}
      order by c.relname`,
    (rows) =>
      inOrder(rows).map(({ columns, key_types, keys, name }) => {
        if (keys === null || key_types === null) throw new Error(`${name} has no primary key to read it by`)
        return { name, columns, key: keys.map((name, at) => ({ name, type: key_types[at]! })) }
      }),
  )

/** Parents first. */
const inOrder = (rows: ReadonlyArray<TableRow>): ReadonlyArray<TableRow> => {
  const placed = new Set<string>()
  const ordered: Array<TableRow> = []
  while (ordered.length < rows.length) {
    const next = rows.filter(({ name, parents }) => !placed.has(name) && parents.every((parent) => placed.has(parent)))
    if (next.length === 0) throw new Error("tables refer to one another in a circle")
    for (const row of next) {
      placed.add(row.name)
      ordered.push(row)
    }
  }
  return ordered
}

/** Every sequence with the value that it gave out last. */
export const sequencesOf = Effect.fnUntraced(function* (sql: PgClient.PgClient, schema: string) {
  const names = yield* sql<{ name: string }>`select c.relname as name from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = ${schema} and c.relkind = 'S' order by c.relname`
  return yield* Effect.forEach(names, ({ name }) =>
    Effect.map(
      sql<{ last: string; called: boolean }>`select last_value::text as last, is_called as called
        from ${sql(`${schema}.${name}`)}`,
      (rows) => ({ name, ...rows[0]! }),
    ))
})
