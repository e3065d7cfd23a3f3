/**
 * Import files: accounts as lines, CSV, NDJSON or JSON, read as a stream in constant memory.
 *
 * A bad row is a value of the stream and the rows after it go on; a file that cannot be read at all fails the stream after the
 * rows before the fault. Rows come in arrays of the size of the chunks that came in, so the cost of a stream is paid per
 * chunk.
 */
import { Array as Arr, Cause, Effect, Pull, Stream } from "effect"
import { csvReader } from "./import/Csv.ts"
import { jsonReader } from "./import/Json.ts"
import { linesReader } from "./import/Lines.ts"
import { ndjsonReader } from "./import/Ndjson.ts"
import type { ParsedRow, RowDefaults } from "./import/Row.ts"
import { ImportFileError, type ReaderOptions, type RowReader } from "./import/RowReader.ts"
import { TextPieces } from "./import/TextPieces.ts"

export type { BadRow, BadRowCode, ImportRow, ParsedRow, RowDefaults, RowField } from "./import/Row.ts"
export { ImportFileCode, ImportFileError } from "./import/RowReader.ts"

/** How a file of accounts is written. */
export type ImportFormat = "lines" | "csv" | "ndjson" | "json"

const formats: ReadonlyMap<string, ImportFormat> = new Map([
  ["text/plain", "lines"],
  ["text/csv", "csv"],
  ["application/x-ndjson", "ndjson"],
  ["application/ndjson", "ndjson"],
  ["application/jsonl", "ndjson"],
  ["application/json", "json"],
])

/** The format that a `Content-Type` names, whatever its case and parameters; undefined for all others. */
export const formatOf = (contentType: string): ImportFormat | undefined =>
  formats.get((contentType.split(";")[0] ?? "").trim().toLowerCase())

const readers: { readonly [F in ImportFormat]: (options: ReaderOptions) => RowReader } = {
  lines: linesReader,
  csv: csvReader,
  ndjson: ndjsonReader,
  json: jsonReader,
}

/** In UTF-16 code units. */
export interface Limits {
  /** A longer row is a bad row, skipped in constant memory. Default 65,536: four times the longest refresh token. */
  readonly maxRowLength?: number
  /** Least text that is read at once, unless it is the last. Default 4,096. */
  readonly minPieceLength?: number
}

/** Bytes that are read between two arrays of rows, so that one huge chunk neither blocks the process nor fills memory. */
const stepBytes = 262_144

const binaryFile = (line: number): ImportFileError =>
  new ImportFileError({
    code: "binary_file",
    line,
    message: "expected text in UTF-8, but there are NUL bytes: save spreadsheets as CSV, and UTF-16 text as UTF-8",
  })

/** One reading of one file, as a mutable machine under a stream. */
class Reading {
  failure: ImportFileError | undefined
  isOver = false
  readonly #pieces: TextPieces
  readonly #reader: RowReader
  #chunks: ReadonlyArray<Uint8Array> = []
  #chunk = 0
  #offset = 0

  constructor(format: ImportFormat, options: ReaderOptions, minPieceLength: number) {
    this.#pieces = new TextPieces(minPieceLength)
    this.#reader = readers[format](options)
  }

  get needsBytes(): boolean {
    return this.#chunk === this.#chunks.length
  }

  take(chunks: ReadonlyArray<Uint8Array>): void {
    this.#chunks = chunks
    this.#chunk = 0
  }

  /** Reads the next bytes of those that were taken. */
  step(): ReadonlyArray<ParsedRow> {
    const chunk = this.#chunks[this.#chunk] ?? new Uint8Array()
    const end = this.#offset + stepBytes
    const bytes = chunk.subarray(this.#offset, end)
    this.#offset = end < chunk.length ? end : 0
    if (this.#offset === 0) this.#chunk++
    return this.#read(this.#pieces.push(bytes), false)
  }

  end(): ReadonlyArray<ParsedRow> {
    this.isOver = true
    return this.#read(this.#pieces.end(), true)
  }

  #read(text: string, last: boolean): ReadonlyArray<ParsedRow> {
    const rows: Array<ParsedRow> = []
    // To read again what is not whole yet would cost as much as the row is long, for every byte of a slow sender.
    if (text === "" && !last) return rows
    const nul = text.indexOf("\0")
    this.failure = nul === -1
      ? this.#reader.read(text, last, rows)
      : this.#reader.read(text.slice(0, nul), false, rows) ?? binaryFile(this.#reader.line())
    return rows
  }
}

/**
 * Reads the rows of a file. A file of nothing, or of nothing but blank lines and comments, has no rows and does not fail.
 * Rows that name no provider or channel take that of `defaults`; `defaults.tags` are added to the tags of every row.
 */
export const parse = (
  format: ImportFormat,
  defaults: RowDefaults = {},
  limits: Limits = {},
) => {
  const options: ReaderOptions = { defaults, maxRowLength: limits.maxRowLength ?? 65_536 }
  return <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<ParsedRow, E | ImportFileError, R> =>
    Stream.transformPull(bytes, (pull) =>
      Effect.sync(() => {
        const reading = new Reading(format, options, limits.minPieceLength ?? 4_096)
        const take = pull.pipe(
          Effect.map((chunks) => {
            reading.take(chunks)
            return reading.step()
          }),
          Pull.catchDone(() => Effect.sync(() => reading.end())),
        )
        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<ParsedRow>, E | ImportFileError> = Effect.suspend(() => {
          if (reading.failure) return Effect.fail(reading.failure)
          if (reading.isOver) return Cause.done()
          return Effect.flatMap(
            reading.needsBytes ? take : Effect.sync(() => reading.step()),
            ([first, ...rest]) => first === undefined ? next : Effect.succeed([first, ...rest] as const),
          )
        })
        return next
      }))
}
