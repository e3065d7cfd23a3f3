/**
 * Runs a suite on every engine: `TEST_ENGINES`, by default `embedded,postgres`.
 *
 * Postgres is the one of `DATABASE_URL`, or else database and user `postgres` at 127.0.0.1:5432. Where none answers, its
 * suites are skipped and say so. Each suite has a fresh schema; the embedded database is started once per test process.
 */
import { PgClient } from "@effect/sql-pg"
import { describe, it as plain, layer as withLayer, type Vitest } from "@effect/vitest"
import { Effect, Layer, ManagedRuntime, Redacted } from "effect"
import { Database } from "../../src/storage/Database.ts"
import { embeddedClient } from "../../src/storage/Embedded.ts"
import { type Engine, engines, postgresUrl } from "./engines.ts"

export { type Engine, engines, postgresUrl }

const postgresClient = PgClient.layer({
  url: Redacted.make(postgresUrl),
  applicationName: "mailfleet-test",
  maxConnections: 10,
  multiplex: false,
  connectTimeout: "5 seconds",
})

const answers: Promise<boolean> = Effect.runPromise(
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql`select 1`),
    Effect.provide(postgresClient),
    Effect.timeout("6 seconds"),
    Effect.as(true),
    Effect.catchCause(() => Effect.succeed(false)),
  ),
)

/** The engines to run on that are there. */
export const usableEngines: Promise<ReadonlyArray<Engine>> = answers.then((postgres) =>
  engines.filter((engine) => engine === "embedded" || postgres)
)

// Started by the first suite that wants it, and kept for all files that the same process tests: a start takes two seconds.
const embedded = ManagedRuntime.make(embeddedClient(""))

const client = (engine: Engine): Layer.Layer<PgClient.PgClient> =>
  engine === "postgres" ? Layer.orDie(postgresClient) : Layer.effect(
    PgClient.PgClient,
    Effect.orDie(Effect.flatMap(embedded.contextEffect, (context) => Effect.provide(PgClient.PgClient, context))),
  )

/** A database of its own: a schema that is dropped at the end. */
export const databaseLayer = (engine: Engine): Layer.Layer<Database> =>
  Layer.effect(
    Database,
    Effect.gen(function* () {
      const schema = `test_${crypto.randomUUID().replaceAll("-", "")}`
      const sql = yield* PgClient.PgClient
      yield* Effect.addFinalizer(() => Effect.ignoreCause(sql`drop schema if exists ${sql(schema)} cascade`))
      return yield* Effect.orDie(Database.fromClient({ schema, engine }))
    }),
  ).pipe(Layer.provide(client(engine)))

/**
 * Declares the same tests on each engine, over `layer` on a fresh database that all tests of the suite share. The clock
 * is the real one, since leases and due times are the database's. `on` leaves engines out that would show nothing more.
 */
export const onDatabases = async <R, E>(
  name: string,
  layer: Layer.Layer<R, E, Database>,
  tests: (it: Vitest.MethodsNonLive<R | Database>, engine: Engine) => void,
  on: ReadonlyArray<Engine> = engines,
): Promise<void> => {
  for (const engine of on.filter((engine) => engines.includes(engine))) {
    if (engine === "postgres" && !(await answers)) {
      describe(name, () => plain.skip(`skipped: no Postgres answers at ${new URL(postgresUrl).host}`, () => {}))
    } else {
      withLayer(layer.pipe(Layer.provideMerge(databaseLayer(engine))), {
        excludeTestServices: true,
        timeout: "60 seconds",
      })(
        `${name} (${engine})`,
        (it) => tests(it, engine),
      )
    }
  }
}
