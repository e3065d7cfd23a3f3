/** What the readers of all formats have in common. */
import { Schema } from "effect"
import type { ParsedRow, RowDefaults } from "./Row.ts"

/** Why a whole file cannot be imported. Stable. */
export const ImportFileCode = Schema.Literals([
  "binary_file",
  "missing_header",
  "missing_column",
  "unknown_column",
  "duplicate_column",
  "unsupported_provider",
  "not_an_array",
  "invalid_json",
])
export type ImportFileCode = typeof ImportFileCode.Type

/** The file as a whole cannot be read. `message` says what was expected and never holds anything that the file holds. */
export class ImportFileError extends Schema.TaggedError<ImportFileError>()("ImportFileError", {
  code: ImportFileCode,
  /** Physical line, from 1. */
  line: Schema.Int,
  /** Character in the line, from 1; only where it helps. */
  column: Schema.optionalKey(Schema.Int),
  message: Schema.String,
}, { httpApiStatus: 422 }) {}

export interface ReaderOptions {
  readonly defaults: RowDefaults
  /** Longest row in UTF-16 code units. A longer one is skipped in constant memory. */
  readonly maxRowLength: number
}

/**
 * Reads rows out of text that comes in pieces. Line breaks are `\n`; bytes that are not UTF-8 have become U+FFFD.
 * The rows depend on the text only, never on where it was cut.
 */
export interface RowReader {
  /** Appends the rows that `text` completes to `out`. `last`: no text follows. After an error it must not be called again. */
  readonly read: (text: string, last: boolean, out: Array<ParsedRow>) => ImportFileError | undefined
  /** The physical line, from 1, of the next character. */
  readonly line: () => number
}
