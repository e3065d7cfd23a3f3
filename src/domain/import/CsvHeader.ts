/** The header of a CSV file: its delimiter and what its columns hold. */
import { ImportFileError } from "./RowReader.ts"

/** A column that is known. `password` is known so that it can be dropped. */
export type Column = "email" | "clientId" | "refreshToken" | "tenant" | "provider" | "channel" | "tags" | "password"

export interface Header {
  readonly delimiter: string
  /** In the order of the file; undefined for a column without a name, whose cells are ignored. */
  readonly columns: ReadonlyArray<Column | undefined>
  readonly index: { readonly [K in Column]?: number }
}

/** Names without case, `_`, `-` and spaces: `client_id`, `clientId` and `Client ID` are one. */
const columnsByName: ReadonlyMap<string, Column> = new Map([
  ["email", "email"],
  ["clientid", "clientId"],
  ["refreshtoken", "refreshToken"],
  ["tenant", "tenant"],
  ["provider", "provider"],
  ["channel", "channel"],
  ["tags", "tags"],
  ["password", "password"],
])

const required: ReadonlyArray<readonly [Column, string]> = [
  ["email", "email"],
  ["clientId", "client_id"],
  ["refreshToken", "refresh_token"],
]

const expected =
  "expected a first line that names the columns email, client_id and refresh_token, and any of tenant, provider, channel, tags"

const splitNames = (line: string): { readonly delimiter: string; readonly names: ReadonlyArray<string> } => {
  const delimiter = /[,;\t]/.exec(line)?.[0] ?? ","
  const names = line.split(delimiter).map((name) => name.replace(/[\s"_-]/g, "").toLowerCase())
  return { delimiter, names }
}

/** True for a line that names an email column and a client id or a refresh token. */
export const looksLikeHeader = (line: string): boolean => {
  const { names } = splitNames(line)
  return names.includes("email") && (names.includes("clientid") || names.includes("refreshtoken"))
}

/**
 * Reads the header. The messages name only columns that we know: a file without a header has secrets where names should be.
 */
export const readHeader = (line: string, number: number): Header | ImportFileError => {
  const fail = (code: ImportFileError["code"], message: string): ImportFileError =>
    new ImportFileError({ code, line: number, message })
  const { delimiter, names } = splitNames(line)
  const columns = names.map((name) => columnsByName.get(name))
  if (!columns.includes("email") && !columns.includes("clientId") && !columns.includes("refreshToken")) {
    return fail("missing_header", expected)
  }
  const index: { [K in Column]?: number } = {}
  for (const [at, column] of columns.entries()) {
    if (column === undefined) {
      if (names[at] === "") continue
      return fail("unknown_column", `column ${at + 1} of the header is not known: ${expected}`)
    }
    if (index[column] !== undefined) return fail("duplicate_column", `the header names ${column} twice`)
    index[column] = at
  }
  const missing = required.filter(([column]) => index[column] === undefined).map(([, name]) => name)
  if (missing.length > 0) return fail("missing_column", `the header lacks ${missing.join(" and ")}: ${expected}`)
  return { delimiter, columns, index }
}
