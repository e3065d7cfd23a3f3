/** The engine on a Postgres schema of its own, dropped at the end. */
import { Effect, Layer, Option, Redacted } from "effect"
import { layerLog, layerProcess } from "../../src/commands/Process.ts"
import type { SettingsValues } from "../../src/domain/Settings.ts"
import { Database } from "../../src/storage/Database.ts"

export const postgresUrl = Deno.env.get("DATABASE_URL") ?? "postgres://postgres@127.0.0.1:5432/postgres"

export const layerBench = (overrides: Partial<SettingsValues> = {}) => {
  const process = layerProcess({
    databaseUrl: Option.some(Redacted.make(postgresUrl)),
    databaseSchema: `bench_${crypto.randomUUID().replaceAll("-", "")}`,
    encryptionKeys: Option.some(Redacted.make(`bench:${btoa("0123456789abcdef0123456789abcdef")}`)),
    adminKey: Option.some(Redacted.make("bench")),
    ...overrides,
  })
  const dropped = Layer.effectDiscard(Effect.gen(function* () {
    const { schema, sql } = yield* Database
    yield* Effect.addFinalizer(() => Effect.ignoreCause(sql`drop schema ${sql(schema)} cascade`))
  }))
  return dropped.pipe(Layer.provideMerge(process), Layer.provide(layerLog("Warn")))
}
