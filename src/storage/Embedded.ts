/** The embedded database: PGlite on disk in the data folder, one process at a time. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, type Scope } from "effect"
import { Duplex } from "node:stream"
import { Settings } from "../domain/Settings.ts"
import { Database, DatabaseError, postgresClient } from "./Database.ts"

/**
 * Takes the data folder for this process. The lock is the kernel's: it ends with the process, however that ends, so no
 * stale lock file ever has to be cleared by hand.
 */
const lockFolder = (folder: string): Effect.Effect<void, DatabaseError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        Deno.mkdirSync(folder, { recursive: true, mode: 0o700 })
        const file = Deno.openSync(`${folder}/lock`, { create: true, write: true })
        return { file, locked: file.tryLockSync(true) }
      },
      catch: (cause) => new DatabaseError({ message: `the data folder ${folder} cannot be written`, cause }),
    }),
    ({ file }) => Effect.sync(() => file.close()),
  ).pipe(
    Effect.flatMap(({ locked }) =>
      locked ? Effect.void : Effect.fail(
        new DatabaseError({
          inUse: true,
          message:
            `the data folder ${folder} is in use by another process: stop it, choose another MAILFLEET_DATA_DIR, or set DATABASE_URL to share a Postgres`,
        }),
      )
    ),
  )

/** Opens PGlite in a worker, on `folder`, or in memory where it is empty. */
const openWorker = (folder: string): Effect.Effect<Worker, DatabaseError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Worker, DatabaseError>((resume) => {
      const worker = new Worker(new URL("./EmbeddedWorker.ts", import.meta.url), { type: "module" })
      worker.onmessage = ({ data }) =>
        resume(
          data.ready === true
            ? Effect.succeed(worker)
            : Effect.fail(new DatabaseError({ message: `the embedded database cannot be opened: ${data.error}` })),
        )
      worker.onerror = (event) => {
        event.preventDefault()
        resume(Effect.fail(new DatabaseError({ message: `the embedded database cannot be opened: ${event.message}` })))
      }
      worker.postMessage({ open: folder })
    }),
    (worker) =>
      Effect.callback<void>((resume) => {
        worker.onmessage = () => {
          worker.terminate()
          resume(Effect.void)
        }
        worker.postMessage("close")
      }).pipe(Effect.timeoutOption("5 seconds")),
  )

/** The worker as the byte stream that the Postgres client speaks its protocol over. */
const duplexOver = (worker: Worker): Duplex => {
  const pending: Array<(error?: Error | null) => void> = []
  const duplex = new Duplex({
    read() {},
    writev(chunks, done) {
      const total = chunks.reduce((size, { chunk }) => size + (chunk as Uint8Array).length, 0)
      const bytes = new Uint8Array(total)
      let offset = 0
      for (const { chunk } of chunks) {
        bytes.set(chunk as Uint8Array, offset)
        offset += (chunk as Uint8Array).length
      }
      pending.push(done)
      worker.postMessage(bytes)
    },
  })
  worker.onmessage = ({ data }) => {
    const done = pending.shift()
    if (data instanceof Uint8Array) {
      if (data.length > 0) duplex.push(data)
      done?.()
    } else {
      done?.(new Error(data.error))
    }
  }
  return duplex
}

/**
 * What the client opens to have a query cancelled, once its fiber is interrupted. PGlite computes one query after another and
 * cannot cancel: the request is dropped, and the client waits for the answer that comes anyway.
 */
const cancelNothing = (): Duplex =>
  new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done()
      this.destroy()
    },
  })

/** A client on a PGlite of its own. `folder` empty = in memory. */
export const embeddedClient = (folder: string): Layer.Layer<PgClient.PgClient, DatabaseError> =>
  Layer.unwrap(Effect.gen(function* () {
    const worker = yield* openWorker(folder)
    let connected = false
    const stream = () => {
      if (connected) return cancelNothing()
      connected = true
      return duplexOver(worker)
    }
    return PgClient.layerFrom(PgClient.makeClient({
      stream,
      username: "postgres",
      database: "postgres",
      applicationName: "mailfleet",
    })).pipe(
      Layer.catchCause((cause) =>
        Layer.effectContext(Effect.fail(new DatabaseError({ message: "the embedded database does not answer", cause })))
      ),
    )
  }))

/** Whoever held a lease has gone: the folder is ours alone. So work goes on at once after a crash, without waiting for them to end. */
const endLeases = ({ sql, tables: t }: Database["Service"]) =>
  Effect.gen(function* () {
    yield* sql`update ${t.runs} set owner_until = now() - interval '1 second' where owner_until > now()`
    yield* sql`update ${t.grants} set lease_until = null, claimed_until = null
      where lease_until is not null or claimed_until is not null`
    yield* sql`update ${t.accounts} set sync_lease_until = null where sync_lease_until is not null`
    yield* sql`update ${t.webhooks} set lease_until = null where lease_until is not null`
    yield* sql`update ${t.encryption_rotations} set lease_until = null where lease_until is not null`
  }).pipe(Effect.mapError((cause) => new DatabaseError({ message: "the embedded database cannot be written", cause })))

/** The embedded database in the folder that the settings name. */
export const layerEmbedded: Layer.Layer<Database, DatabaseError, Settings> = Layer.unwrap(Effect.gen(function* () {
  const settings = yield* Settings
  yield* lockFolder(settings.dataDir)
  const database = Effect.tap(Database.fromClient({ schema: settings.databaseSchema, engine: "embedded" }), endLeases)
  return Layer.effect(Database, database).pipe(
    Layer.provide(embeddedClient(`${settings.dataDir}/database`)),
  )
}))

/** A client of the database that the settings name, as it is: nothing is migrated, and no lease ended. */
export const clientOfSettings: Layer.Layer<PgClient.PgClient, DatabaseError, Settings> = Layer.unwrap(
  Effect.map(
    Settings,
    ({ dataDir, databaseUrl }) =>
      databaseUrl._tag === "Some"
        ? postgresClient
        : embeddedClient(`${dataDir}/database`).pipe(Layer.provide(Layer.effectDiscard(lockFolder(dataDir)))),
  ),
)

/** Postgres where `DATABASE_URL` is set, else embedded. */
export const layerDatabase: Layer.Layer<Database, DatabaseError, Settings> = Layer.unwrap(
  Effect.map(Settings, (settings) => settings.databaseUrl._tag === "Some" ? Database.layerPostgres : layerEmbedded),
)
