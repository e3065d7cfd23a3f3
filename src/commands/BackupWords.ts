/** What `backup` and `restore` share: their argument, and how they say what came of it. */
import { Effect } from "effect"
import { Argument } from "effect/cli"
import { SqlError } from "effect/sql"
import { CommandError } from "./ExitCode.ts"
import { count } from "./Text.ts"

export const file = Argument.String("file").pipe(
  Argument.withDescription("The file, or - for standard output or input"),
)

/** What an operator looks for in a summary. */
const told = ["accounts", "grants", "messages", "changes"]

export const countsOf = (rows: Readonly<Record<string, number>>) =>
  told.map((table) => count(rows[table] ?? 0, table.slice(0, -1))).join(", ")

/** Whatever fails here is the operator's to mend: one line says which. */
export const toOperator = <A, E extends Error, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(effect, (error: Error) =>
    error instanceof CommandError ? error : new CommandError({
      message: SqlError.isSqlError(error) ? `the database refused: ${error.message}` : error.message,
    }))
