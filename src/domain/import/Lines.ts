/**
 * `email----client_id----refresh_token` and `email----password----client_id----refresh_token`, Microsoft only.
 *
 * A UUID that ends the line is the client id, and the field before it the refresh token. Otherwise the client id is the first
 * field after the address that is a UUID and is not followed by another (a password may look like one), and all that follows
 * it is the refresh token, which may hold `----` itself: one token in ten thousand does. What else stands between is the
 * password, which no value returned from here holds or keeps alive.
 */
import { csvReader, looksLikeHeader } from "./Csv.ts"
import { isBlankOrComment, PhysicalLines } from "./PhysicalLines.ts"
import { addressOf, badRow, checkRow, invalidEncoding, isUuid, rowTooLong } from "./Row.ts"
import type { ParsedRow, RowDefaults } from "./Row.ts"
import { ImportFileError, type ReaderOptions, type RowReader } from "./RowReader.ts"

const separator = "----"
const expected =
  "expected email----client_id----refresh_token or email----password----client_id----refresh_token, the client id being a UUID"

/** A client id, without the quotes, white space and dashes that its neighbours left it. */
const asClientId = (field: string): string | undefined => {
  if (isUuid(field)) return field
  if (field.length <= 36 || field.length > 64) return undefined
  const id = field.replace(/^[\s"-]+|[\s"]+$/g, "")
  return isUuid(id) ? id : undefined
}

/** The id that ends the line, and the token before it. */
const idLast = (line: string): { readonly clientId: string; readonly refreshToken: string } | undefined => {
  const found = /----(-*)([\da-f-]{36})[\s"]*$/i.exec(line.slice(-64))
  const clientId = found?.[2] ?? ""
  if (!found || !isUuid(clientId)) return undefined
  // The dashes before the id that are more than four are the end of the token.
  const end = line.length - found[0].length
  const start = line.lastIndexOf(separator, end - separator.length)
  return start === -1 || end <= 0
    ? undefined
    : { clientId, refreshToken: line.slice(start + separator.length, end) + found[1] }
}

/** The id that is followed by the token. The search ends there, since scanning tokens is what costs. */
const idBeforeToken = (line: string): { readonly clientId: string; readonly refreshToken: string } | undefined => {
  let start = line.indexOf(separator) + separator.length
  let clientId: string | undefined
  for (let end = line.indexOf(separator, start); end !== -1; end = line.indexOf(separator, start)) {
    const next = asClientId(line.slice(start, end))
    if (clientId !== undefined && next === undefined) break
    clientId = next
    start = end + separator.length
    if (clientId !== undefined && !isUuid(line.slice(start, start + 36))) break
  }
  return clientId === undefined ? undefined : { clientId, refreshToken: line.slice(start) }
}

const parseLine = (line: string, number: number, defaults: RowDefaults): ParsedRow => {
  if (line.includes("\uFFFD")) return invalidEncoding(number)
  const emailEnd = line.indexOf(separator)
  const email = emailEnd === -1 ? line : line.slice(0, emailEnd)
  const found = emailEnd === -1 ? undefined : idLast(line) ?? idBeforeToken(line)
  if (found) return checkRow({ email, ...found }, number, defaults)
  const isShort = emailEnd === -1 || line.indexOf(separator, emailEnd + separator.length) === -1
  return isShort
    ? badRow(number, "invalid_field_count", expected, addressOf(email))
    : badRow(number, "invalid_client_id", expected, { ...addressOf(email), field: "clientId" })
}

/** Reads lines; where the first line that says something is a CSV header, reads CSV instead, since people paste it. */
export const linesReader = (options: ReaderOptions): RowReader => {
  const lines = new PhysicalLines(options.maxRowLength)
  let begun = false
  let csv: ReturnType<typeof csvReader> | undefined
  return {
    line: () => lines.numberAhead,
    read: (text, last, out) => {
      lines.feed(text, last)
      if (csv) return csv.readLines(out)
      for (let step = lines.advance(); step !== "more"; step = lines.advance()) {
        if (step === "line" && isBlankOrComment(lines.text, lines.start, lines.end)) continue
        if (!begun) {
          begun = true
          if (step === "line" && looksLikeHeader(lines.text.slice(lines.start, lines.end))) {
            lines.hold()
            csv = csvReader(options, lines)
            return csv.readLines(out)
          }
          if (options.defaults.provider === "google") {
            return new ImportFileError({
              code: "unsupported_provider",
              line: lines.number,
              message: "lines separated by ---- are for Microsoft accounts only: send Google accounts as CSV or JSON",
            })
          }
        }
        out.push(
          step === "long"
            ? rowTooLong(lines.number, lines.maxLength)
            : parseLine(lines.text.slice(lines.start, lines.end), lines.number, options.defaults),
        )
      }
      return undefined
    },
  }
}
