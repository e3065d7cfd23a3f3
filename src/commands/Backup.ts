/** `backup` and `restore`: the whole database, as an encrypted stream. They work on the database of the settings themselves. */
import { PgClient } from "@effect/sql-pg"
import { Console, DateTime, Duration, Effect, Layer } from "effect"
import { Argument, Command } from "effect/cli"
import { SqlError } from "effect/sql"
import { version } from "../api/Version.ts"
import { Settings } from "../domain/Settings.ts"
import { KeyProvider, nameOf } from "../oauth/KeyProvider.ts"
import { backup as backupDatabase } from "../storage/backup/Backup.ts"
import { restore as restoreDatabase } from "../storage/backup/Restore.ts"
import { clientOfSettings } from "../storage/Embedded.ts"
import { layerSettings } from "../storage/EmbeddedSecrets.ts"
import { readBackupFile, writeBackupFile } from "./BackupFile.ts"
import { CommandError } from "./ExitCode.ts"
import { layerLog } from "./Process.ts"
import { count } from "./Text.ts"

const file = Argument.String("file").pipe(Argument.withDescription("The file, or - for standard output or input"))

/** What an operator looks for in a summary. */
const told = ["accounts", "grants", "messages", "changes"]

const countsOf = (rows: Readonly<Record<string, number>>) =>
  told.map((table) => count(rows[table] ?? 0, table.slice(0, -1))).join(", ")

/** Whatever fails here is the operator's to mend: one line says which. */
const toOperator = <A, E extends Error, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (error: Error) =>
    error instanceof CommandError ? error : new CommandError({
      message: SqlError.isSqlError(error) ? `the database refused: ${error.message}` : error.message,
    }))

export const backup = Command.make(
  "backup",
  { file },
  Effect.fn(function* ({ file }) {
    yield* Effect.gen(function* () {
      const { databaseSchema } = yield* Settings
      const sql = yield* PgClient.PgClient
      const { finish, write } = yield* writeBackupFile(file)
      const { keyIds, rows } = yield* backupDatabase(sql, databaseSchema, version, write)
      yield* finish
      // Standard output may be the backup.
      yield* Console.error(`backed up: ${countsOf(rows)}; to restore it: ${keyIds.map(nameOf).join(", ")}, kept apart`)
    }).pipe(
      Effect.scoped,
      Effect.provide(clientOfSettings.pipe(Layer.provideMerge(Settings.layer))),
      toOperator,
      Effect.provide(layerLog("Warn")),
    )
  }),
).pipe(
  Command.withDescription(
    "Write all that the database holds, as it is at one moment, into an encrypted file (age-encryption.org). A server on Postgres " +
      "goes on meanwhile; one with the embedded database must be stopped, for it has the data folder to itself.",
  ),
  Command.withShortDescription("Write the database into an encrypted file"),
  Command.withExamples([
    { command: "mailfleet backup mailfleet-$(date +%F).age" },
    {
      command: "mailfleet backup - | aws s3 cp - s3://backups/mailfleet.age",
      description: "Elsewhere, without a file",
    },
  ]),
)

export const restore = Command.make(
  "restore",
  { file },
  Effect.fn(function* ({ file }) {
    yield* Effect.gen(function* () {
      const { databaseSchema, restoreSpread } = yield* Settings
      const next = yield* readBackupFile(file)
      const sql = yield* PgClient.PgClient
      const { rows, takenAt } = yield* restoreDatabase(sql, databaseSchema, Duration.toSeconds(restoreSpread), next)
      yield* Console.error([
        `restored the backup of ${DateTime.formatIso(takenAt)}: ${countsOf(rows)}`,
        `what is due is spread over ${
          Duration.format(restoreSpread)
        }; positions of the change log of before are expired`,
      ].join("\n"))
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.merge(clientOfSettings, KeyProvider.layer).pipe(Layer.provideMerge(layerSettings()))),
      toOperator,
      Effect.provide(layerLog("Warn")),
    )
  }),
).pipe(
  Command.withDescription(
    "Write a backup into an empty schema, or an empty data folder, of either engine: all of it, or nothing. The encryption keys of " +
      "the settings must be those of the backup.",
  ),
  Command.withShortDescription("Write a backup into an empty database"),
  Command.withExamples([
    { command: "mailfleet restore mailfleet-2027-01-31.age" },
    {
      command: "DATABASE_URL=postgres://… mailfleet restore embedded.age",
      description: "Move from the embedded database to Postgres",
    },
  ]),
)
