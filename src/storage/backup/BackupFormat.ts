/**
 * What is inside a backup: lines, each with what it is, a tab and JSON.
 *
 *     mailfleet-backup  {"format":1,"migration":11,…}
 *     apps              [{"id":…},…]          rows of a table, as Postgres writes them
 *     end               {"rows":{"apps":3,…}}
 *
 * Rows are never parsed by us: what Postgres wrote, Postgres reads.
 */
import { Schema } from "effect"

/** The backup cannot be made or restored. `message` is one line for the operator. */
export class BackupError extends Schema.TaggedError<BackupError>()("BackupError", { message: Schema.String }) {}

export const headName = "mailfleet-backup"
export const endName = "end"

export const Head = Schema.fromJsonString(Schema.Struct({
  format: Schema.Literal(1),
  /** The newest migration of the schema. */
  migration: Schema.Int,
  /** That made it. */
  version: Schema.String,
  takenAt: Schema.DateTimeUtcFromString,
  epoch: Schema.Int,
  sequences: Schema.Array(Schema.Struct({ name: Schema.String, last: Schema.String, called: Schema.Boolean })),
}))

export const End = Schema.fromJsonString(Schema.Struct({ rows: Schema.Record(Schema.String, Schema.Int) }))

export const lineOf = (name: string, json: string): string => `${name}\t${json}\n`

export const partsOf = (line: string): readonly [name: string, json: string] => {
  const tab = line.indexOf("\t")
  return tab < 0 ? [line, ""] : [line.slice(0, tab), line.slice(tab + 1)]
}
