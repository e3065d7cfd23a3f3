/** `migrate`: bring the database schema up to date and end. `serve` does so by itself at its start. */
import { Console, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import { Settings } from "../domain/Settings.ts"
import { Database } from "../storage/Database.ts"
import { layerDatabase } from "../storage/Embedded.ts"
import { layerLog, toCommandError } from "./Process.ts"

export const migrate = Command.make(
  "migrate",
  {},
  Effect.fn(function* () {
    yield* Effect.gen(function* () {
      const { engine, schema } = yield* Database
      yield* Console.log(`the ${engine} database is up to date (schema ${schema})`)
    }).pipe(
      Effect.provide(layerDatabase.pipe(Layer.provide(Settings.layer))),
      toCommandError,
      Effect.provide(layerLog("Warn")),
    )
  }),
).pipe(
  Command.withDescription("Bring the database schema up to date"),
  Command.withExamples([{
    command: "DATABASE_URL=postgres://… mailfleet migrate",
    description: "Migrate a Postgres before a deploy",
  }]),
)
