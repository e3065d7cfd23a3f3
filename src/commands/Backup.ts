/** `backup`: the whole database, as an encrypted stream. It reads the database of the settings itself. */
import { PgClient } from "@effect/sql-pg"
import { Console, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import { version } from "../api/Version.ts"
import { Settings } from "../domain/Settings.ts"
import { nameOf } from "../oauth/KeyProvider.ts"
import { backup as backupDatabase } from "../storage/backup/Backup.ts"
import { clientOfSettings } from "../storage/Embedded.ts"
import { writeBackupFile } from "./BackupFile.ts"
import { countsOf, file, toOperator } from "./BackupWords.ts"
import { layerLog } from "./Process.ts"

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
      yield* Console.error(`backed up: ${countsOf(rows)}`)
      if (keyIds.length > 0) yield* Console.error(`keep apart what a restore needs: ${keyIds.map(nameOf).join(", ")}`)
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
