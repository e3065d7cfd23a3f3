/** Every stored value that the Vault has sealed. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { column, type Database } from "../Database.ts"
import { appKeyOwner, appOwner } from "../grants/AppCredentials.ts"
import { sessionOwner } from "../grants/ConnectSessions.ts"
import { accessOf, grantOwner } from "../grants/Grants.ts"
import { blockOwner } from "../runs/ImportStaging.ts"
import { webhookOwner } from "../webhooks/Webhooks.ts"

/** A column of sealed values, with what its rows are found by and the owner is told from. Without `rest` that is empty. */
interface SealedColumn {
  readonly table: "apps" | "grants" | "access_tokens" | "connect_sessions" | "webhooks" | "import_blocks" | "erasures"
  readonly column: string
  readonly key: readonly [name: string, type: "uuid"]
  readonly rest?: readonly [name: string, type: "uuid" | "text" | "int4"]
  readonly owner: (key: string, rest: string) => string
  readonly which?: (rest: string) => string
}

const id = ["id", "uuid"] as const

/** Grants before the rest: they are what is worth most. A test compares the list with the columns of the database. */
export const sealedColumns: ReadonlyArray<SealedColumn> = [
  { table: "grants", column: "secret", key: id, owner: grantOwner },
  { table: "apps", column: "secret", key: id, owner: appOwner },
  { table: "apps", column: "private_key", key: id, owner: appKeyOwner },
  { table: "webhooks", column: "secret", key: id, owner: webhookOwner },
  { table: "webhooks", column: "previous_secret", key: id, owner: webhookOwner },
  { table: "connect_sessions", column: "secret", key: id, owner: sessionOwner },
  {
    table: "access_tokens",
    column: "secret",
    key: ["grant_id", "uuid"],
    rest: ["resource", "text"],
    owner: grantOwner,
    which: accessOf,
  },
  {
    table: "import_blocks",
    column: "secret",
    key: ["run_id", "uuid"],
    rest: ["block", "int4"],
    owner: (runId, block) => blockOwner(runId, Number(block)),
  },
  {
    table: "erasures",
    column: "secret",
    key: id,
    rest: ["grant_id", "uuid"],
    owner: (_id, grantId) => grantOwner(grantId),
  },
]

/** How far a pass has come: the column, and the last key that was looked at. */
export interface Place {
  readonly column: number
  readonly after: readonly [key: string, rest: string] | null
}

export interface SealedValue {
  readonly key: string
  readonly rest: string
  /** Null where the wanted key seals it already. */
  readonly secret: Uint8Array | null
}

const keysOf = ({ key, rest }: SealedColumn) => rest === undefined ? [key] : [key, rest]

export const countSealed = ({ sql, tables: t }: Database["Service"]): Effect.Effect<number, SqlError.SqlError> =>
  Effect.map(
    sql<{ total: number }>`select (${
      sql.join(" + ", false)(sealedColumns.map(({ column, table }) =>
        sql`(select count(${sql(column)}) from ${t[table]})`
      ))
    })::float8 as total`,
    (rows) => rows[0]!.total,
  )

/** The next values of a column, in the order of its table's primary key, which serves it. `prefix` = what wanted ones begin with. */
export const pageOfSealed = (
  { sql, tables: t }: Database["Service"],
  { after, column: at }: Place,
  prefix: Uint8Array,
  limit: number,
): Effect.Effect<ReadonlyArray<SealedValue>, SqlError.SqlError> => {
  const sealed = sealedColumns[at]!
  const secret = sql(sealed.column)
  const keys = sql.literal(keysOf(sealed).map(([name]) => name).join(", "))
  const passed = after === null
    ? sql`true`
    : sql`(${keys}) > (${
      sql.join(", ", false)(keysOf(sealed).map(([, type], part) => sql`${after[part]!}::text::${sql.literal(type)}`))
    })`
  return sql<SealedValue>`select ${sql(sealed.key[0])}::text as key, ${
    sealed.rest === undefined ? sql`''` : sql`${sql(sealed.rest[0])}::text`
  } as rest,
      case when substring(${secret} from 1 for ${prefix.length}) <> ${prefix} then ${secret} end as secret
    from ${t[sealed.table]} where ${secret} is not null and ${passed} order by ${keys} limit ${limit}`
}

/** Puts `after` in the place of `before`, wherever that still stands. What others hold locked is left to the next pass. */
export const replaceSealed = (
  { sql, tables: t }: Database["Service"],
  at: number,
  values: ReadonlyArray<{
    readonly key: string
    readonly rest: string
    readonly before: Uint8Array
    readonly after: Uint8Array
  }>,
): Effect.Effect<number, SqlError.SqlError> => {
  const sealed = sealedColumns[at]!
  const secret = sql(sealed.column)
  const table = t[sealed.table]
  const same = sql.and(
    keysOf(sealed).map(([name, type], part) =>
      sql`x.${sql(name)} = new.k${sql.literal(`${part}`)}::${sql.literal(type)}`
    ),
  )
  return Effect.map(
    sql<{ count: number }>`with new as (
        select * from unnest(${column("text", values.map(({ key }) => key))}, ${
      column("text", values.map(({ rest }) => rest))
    }, ${column("bytea", values.map(({ before }) => before))}, ${column("bytea", values.map(({ after }) => after))})
          as n (k0, k1, before, after)
      ), free as (
        select new.* from ${table} x join new on ${same} where x.${secret} = new.before
        order by new.k0, new.k1 for no key update of x skip locked
      ), replaced as (
        update ${table} x set ${secret} = new.after from free new where ${same} returning 1
      )
      select count(*)::int as count from replaced`,
    (rows) => rows[0]!.count,
  )
}
