/** Reads import files from text or bytes and shows the rows as plain values. */
import { Effect, Redacted, Stream } from "effect"
import * as ImportFile from "../../../src/domain/ImportFile.ts"

export const id = "9e5f94bc-e8a4-4e73-b8be-63364c29d753"
export const otherId = "14d82eec-204b-4c2f-b7e8-296a70dab67e"

/** A row whose refresh token is in the open, so that assertions compare and show it. */
export type Shown = ImportFile.BadRow | Omit<ImportFile.ImportRow, "refreshToken"> & { readonly refreshToken: string }

export interface Read {
  readonly rows: ReadonlyArray<Shown>
  readonly error: Pick<ImportFile.ImportFileError, "code" | "line" | "column" | "message"> | undefined
}

export interface Options extends ImportFile.RowDefaults, ImportFile.Limits {
  /** Where the bytes are cut into chunks. */
  readonly cuts?: ReadonlyArray<number>
}

const show = (row: ImportFile.ParsedRow): Shown =>
  row._tag === "BadRow" ? row : { ...row, refreshToken: Redacted.value(row.refreshToken) }

const chunksOf = (bytes: Uint8Array, cuts: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  const places = cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b)
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index]))
}

export const readBytes = (format: ImportFile.ImportFormat, bytes: Uint8Array, options: Options = {}) =>
  Effect.gen(function* () {
    const { cuts = [], maxRowLength, minPieceLength, ...defaults } = options
    const rows: Array<Shown> = []
    const error = yield* Stream.fromIterable(chunksOf(bytes, cuts)).pipe(
      ImportFile.parse(format, defaults, {
        ...(maxRowLength && { maxRowLength }),
        ...(minPieceLength && { minPieceLength }),
      }),
      Stream.runForEach((row) => Effect.sync(() => rows.push(show(row)))),
      Effect.as(undefined),
      // As a plain value, since assertions compare errors by their message only.
      Effect.catch(({ code, column, line, message }) => Effect.succeed({ code, column, line, message })),
    )
    return { rows, error } satisfies Read
  })

export const readText = (format: ImportFile.ImportFormat, text: string, options?: Options) =>
  readBytes(format, new TextEncoder().encode(text), options)

/** `line code` of each bad row, `line email` of each good one. */
export const outline = (read: Read): ReadonlyArray<string> =>
  read.rows.map((row) => `${row.line} ${row._tag === "BadRow" ? row.code : row.email}`)

/** The refresh tokens of the good rows. */
export const tokens = (read: Read): ReadonlyArray<string> =>
  read.rows.flatMap((row) => row._tag === "ImportRow" ? [row.refreshToken] : [])
