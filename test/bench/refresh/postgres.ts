/** The database of the benchmarks, seen from beside the processes that are measured. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted } from "effect"
import { Settings } from "../../../src/domain/Settings.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { DueGrants } from "../../../src/storage/grants/DueGrants.ts"
import { Database } from "../../../src/storage/Database.ts"
import { postgresUrl } from "../../support/engines.ts"
import type { Installation } from "../../support/processes.ts"

export const layerPostgres = PgClient.layer({
  url: Redacted.make(postgresUrl),
  applicationName: "mailfleet-bench",
  maxConnections: 2,
  multiplex: false,
}).pipe(Layer.orDie)

/** The storage of an installation, in this process. */
export const storageOf = (installation: Installation): Layer.Layer<Accounts | Database | DueGrants> =>
  Layer.merge(Accounts.layer, DueGrants.layer).pipe(
    Layer.provideMerge(
      Layer.effect(
        Database,
        Effect.orDie(Database.fromClient({ schema: installation.schema, engine: "postgres" })),
      ),
    ),
    Layer.provide([layerPostgres, Layer.orDie(Settings.layer)]),
  )

/** Makes the whole fleet due. Answers the time of the database from which on a redemption counts. */
export const makeAllDue: Effect.Effect<Date, never, Accounts | Database> = Effect.gen(function* () {
  const { sql } = yield* Database
  const accounts = yield* Accounts
  const rows = yield* Effect.orDie(sql<{ now: Date }>`select now() as now`)
  yield* accounts.bringForward("refresh")
  return rows[0]!.now
})

/** Waits until so many grants have been redeemed since then, and stored. */
export const allStored = (grants: number, since: Date): Effect.Effect<void, never, Database> =>
  Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    const stored = Effect.map(
      sql<{ count: number }>`select count(*)::int4 as count from ${t.grants} where refreshed_at >= ${since}`,
      (rows) => rows[0]!.count,
    )
    while ((yield* Effect.orDie(stored)) < grants) yield* Effect.sleep("20 millis")
  })

/** What autovacuum would have done by and by, done now: dead rows of what went before burden nobody. */
export const settle: Effect.Effect<void, never, Database> = Effect.gen(function* () {
  const { schema, sql } = yield* Database
  const tables = yield* Effect.orDie(
    sql<{ name: string }>`select tablename as name from pg_tables where schemaname = ${schema}`,
  )
  for (const { name } of tables) yield* Effect.orDie(sql`vacuum (analyze) ${sql(`${schema}.${name}`)}`)
})
