/** `restore`: a backup into the empty database of the settings. */
import { PgClient } from "@effect/sql-pg"
import { Console, DateTime, Duration, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import { Settings } from "../domain/Settings.ts"
import { KeyProvider } from "../oauth/KeyProvider.ts"
import { restore as restoreDatabase } from "../storage/backup/Restore.ts"
import { clientOfSettings } from "../storage/Embedded.ts"
import { layerSettings } from "../storage/EmbeddedSecrets.ts"
import { readBackupFile } from "./BackupFile.ts"
import { countsOf, file, toOperator } from "./BackupWords.ts"
import { layerLog } from "./Process.ts"

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
