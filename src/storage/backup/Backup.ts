/** Reads all that a schema holds, as it is at one moment, in bounded memory. */
import type { PgClient } from "@effect/sql-pg"
import { DateTime, Effect, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { BackupError, End, endName, Head, headName, lineOf } from "./BackupFormat.ts"
import { type BackupTable, sequencesOf, tablesOf } from "./Tables.ts"

/** Bytes of rows that are held at a time, but for a row that is larger by itself. */
const pageBytes = 4_000_000
const fewestRows = 20
const mostRows = 2_000

export interface BackupSummary {
  readonly rows: Readonly<Record<string, number>>
  /** Ids of the keys that a restore needs. */
  readonly keyIds: ReadonlyArray<string>
}

/**
 * Writes a backup line by line. All of it is read in one transaction that sees one moment; it locks no rows, and no open cursor
 * is needed. `write` may wait for a disk: nobody waits for what this transaction holds.
 */
export const backup = <E>(
  sql: PgClient.PgClient,
  schema: string,
  version: string,
  write: (line: string) => Effect.Effect<void, E>,
): Effect.Effect<BackupSummary, BackupError | SqlError.SqlError | E> =>
  sql.withTransaction(Effect.gen(function* () {
    yield* sql`set transaction isolation level repeatable read, read only`
    const there = yield* sql`select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${schema} and c.relname = 'data_keys'`
    if (there.length === 0) {
      return yield* new BackupError({
        message: `there is nothing to back up in the schema ${schema}, or it is of an older version: mailfleet migrate`,
      })
    }
    yield* sql`set local bytea_output = 'hex'`
    yield* sql`set local extra_float_digits = 1`
    const [about] = yield* sql<{ migration: number; epoch: number }>`select
      (select max(migration_id)::int4 from ${sql(`${schema}.migrations`)}) as migration,
      (select value::int4 from ${sql(`${schema}.meta`)} where name = 'epoch') as epoch`
    const tables = yield* tablesOf(sql, schema)
    // What sequences have given out is not of the moment: it may be more, and that does no harm.
    const sequences = yield* sequencesOf(sql, schema)
    const head = { format: 1 as const, version, takenAt: yield* DateTime.now, sequences, ...about! }
    yield* write(lineOf(headName, Schema.encodeSync(Head)(head)))
    const rows: Record<string, number> = {}
    for (const table of tables) rows[table.name] = yield* writeTable(sql, schema, table, write)
    yield* write(lineOf(endName, Schema.encodeSync(End)({ rows })))
    const keys = yield* sql<{ id: string }>`select distinct case use when 'direct' then id else wrapped_by end as id
      from ${sql(`${schema}.data_keys`)} order by id`
    return { rows, keyIds: keys.map(({ id }) => id) }
  }))

/** By the primary key, a page after the other. Answers how many rows there were. */
const writeTable = Effect.fnUntraced(function* <E>(
  sql: PgClient.PgClient,
  schema: string,
  { columns, key, name }: BackupTable,
  write: (line: string) => Effect.Effect<void, E>,
): Effect.fn.Return<number, SqlError.SqlError | E> {
  const keys = sql.join(", ", false)(key.map(({ name }) => sql`x.${sql(name)}`))
  const shown = sql.join(", ", false)(columns.map((column) => sql`x.${sql(column)}`))
  let count = 0
  let limit = fewestRows
  let after: ReadonlyArray<string> | undefined
  while (true) {
    const passed = after === undefined
      ? sql`true`
      : sql`(${keys}) > (${
        sql.join(", ", false)(key.map(({ type }, part) => sql`${after![part]!}::text::${sql.literal(type)}`))
      })`
    // The sizes before a row decide whether it still fits; the first one always does.
    const page: ReadonlyArray<{ readonly key: ReadonlyArray<string>; readonly row: string }> = yield* sql<{
      readonly key: ReadonlyArray<string>
      readonly row: string
    }>`select key, row from (
        select key, row, place, sum(octet_length(row)) over (order by place) - octet_length(row) as before from (
          select array[${sql.join(", ", false)(key.map(({ name }) => sql`x.${sql(name)}::text`))}] as key,
            (select row_to_json(r)::text from (select ${shown}) r) as row, row_number() over (order by ${keys}) as place
          from ${sql(`${schema}.${name}`)} x where ${passed} order by ${keys} limit ${limit}
        ) rows
      ) sized where before < ${pageBytes} order by place`
    if (page.length === 0) return count
    yield* write(lineOf(name, `[${page.map(({ row }) => row).join(",")}]`))
    count += page.length
    after = page.at(-1)!.key
    limit = Math.max(fewestRows, Math.min(mostRows, page.length * 2))
  }
})
