/**
 * CSV (RFC 4180) with a header that names its columns, separated by `,`, `;` or tab.
 *
 * Cells may hold line breaks inside quotes. A record whose quotes make no sense costs its first line only: reading goes on
 * at the next line, so that one stray quote does not swallow the rows after it.
 */
import { type Column, type Header, looksLikeHeader, readHeader } from "./CsvHeader.ts"
import { isBlankOrComment, PhysicalLines } from "./PhysicalLines.ts"
import { addressOf, badRow, checkRow, invalidEncoding, type ParsedRow, rowTooLong } from "./Row.ts"
import { ImportFileError, type ReaderOptions, type RowReader } from "./RowReader.ts"

export { looksLikeHeader }

interface CsvRecord {
  readonly cells: Array<string>
  /** Where the record, or what could be understood of it, ends. */
  readonly end: number
  readonly fault?: "unclosed" | "malformed"
}

/** The cells of a record without quotes. */
const plainRecord = (text: string, start: number, end: number, delimiter: string): CsvRecord => {
  const cells: Array<string> = []
  let from = start
  for (let at = text.indexOf(delimiter, from); at !== -1 && at < end; at = text.indexOf(delimiter, from)) {
    cells.push(text.slice(from, at))
    from = at + 1
  }
  cells.push(text.slice(from, end))
  return { cells, end }
}

/** Past the spaces at `from`: they are borne around quotes. */
const skipSpaces = (text: string, from: number): number => {
  let at = from
  while (text.charCodeAt(at) === 0x20) at++
  return at
}

/**
 * The closing quote of the cell that opens before `from`; -1 where it is not at hand. At the very end of the text it may turn
 * out to be the first half of an escaped one.
 */
const closingQuote = (text: string, from: number): number => {
  let at = text.indexOf('"', from)
  while (at !== -1 && text.charCodeAt(at + 1) === 0x22) at = text.indexOf('"', at + 2)
  return at
}

/** The cells of a record that may hold quotes, from `start` on, as far as they go. */
const quotedRecord = (text: string, start: number, delimiter: string, last: boolean): CsvRecord => {
  const cells: Array<string> = []
  let from = start
  while (true) {
    const open = skipSpaces(text, from)
    if (text.charCodeAt(open) === 0x22) {
      const close = closingQuote(text, open + 1)
      if (close === -1) return { cells, end: text.length, fault: "unclosed" }
      cells.push(text.slice(open + 1, close).replaceAll('""', '"'))
      from = skipSpaces(text, close + 1)
    } else {
      const lineEnd = text.indexOf("\n", from)
      const delimiterAt = text.indexOf(delimiter, from)
      const end = lineEnd === -1 ? text.length : lineEnd
      const cellEnd = delimiterAt === -1 || delimiterAt > end ? end : delimiterAt
      cells.push(text.slice(from, cellEnd))
      from = cellEnd
    }
    if (from === text.length) return last ? { cells, end: from } : { cells, end: from, fault: "unclosed" }
    if (text[from] === "\n") return { cells, end: from }
    if (text[from] !== delimiter) return { cells, end: from, fault: "malformed" }
    from++
  }
}

const parseCells = (cells: ReadonlyArray<string>, header: Header, line: number, options: ReaderOptions): ParsedRow => {
  const width = header.columns.length
  const cell = (column: Column): string => {
    const index = header.index[column]
    return index === undefined ? "" : cells[index] ?? ""
  }
  if (cells.length < width || cells.slice(width).some((cell) => cell.trim() !== "")) {
    const message = `expected ${width} cells, as many as the header names`
    return badRow(line, "invalid_field_count", message, addressOf(cell("email")))
  }
  return checkRow(
    {
      email: cell("email"),
      clientId: cell("clientId"),
      refreshToken: cell("refreshToken"),
      tenant: cell("tenant"),
      provider: cell("provider"),
      channel: cell("channel"),
      tags: cell("tags"),
    },
    line,
    options.defaults,
  )
}

/** Reads CSV; `lines` may already hold text, with the header as its next line that says something. */
export const csvReader = (
  options: ReaderOptions,
  lines = new PhysicalLines(options.maxRowLength),
): RowReader & { readonly readLines: (out: Array<ParsedRow>) => ImportFileError | undefined } => {
  let header: Header | undefined

  /** Reads the record that starts with the current line; false where its end is not at hand. */
  const readRecord = (known: Header, hasQuotes: boolean, out: Array<ParsedRow>): boolean => {
    const { end, number, start, text } = lines
    const record = hasQuotes
      ? quotedRecord(text, start, known.delimiter, lines.isLast)
      : plainRecord(text, start, end, known.delimiter)
    const long = record.end - start > lines.maxLength
    if (record.fault === "unclosed" && !long && !lines.isLast) return false
    if (long || record.fault === "unclosed") {
      out.push(badRow(number, "unclosed_quote", `expected a quoted cell to close within ${lines.maxLength} characters`))
    } else if (record.fault === "malformed") {
      out.push(badRow(number, "invalid_quoting", "expected nothing between a closing quote and the end of its cell"))
    } else {
      lines.extend(record.end)
      if (text.slice(start, record.end).includes("\uFFFD")) out.push(invalidEncoding(number))
      // Spreadsheets write rows of nothing but delimiters below the data.
      else if (record.cells.some((cell) => cell.trim() !== "")) {
        out.push(parseCells(record.cells, known, number, options))
      }
    }
    return true
  }

  const readLines = (out: Array<ParsedRow>): ImportFileError | undefined => {
    let quote = -1
    for (let step = lines.advance(); step !== "more"; step = lines.advance()) {
      if (step === "line" && isBlankOrComment(lines.text, lines.start, lines.end)) continue
      if (header === undefined) {
        const found = readHeader(step === "line" ? lines.text.slice(lines.start, lines.end) : "", lines.number)
        if (found instanceof ImportFileError) return found
        header = found
        continue
      }
      if (step === "long") {
        out.push(rowTooLong(lines.number, lines.maxLength))
        continue
      }
      if (quote < lines.start) {
        const at = lines.text.indexOf('"', lines.start)
        quote = at === -1 ? Infinity : at
      }
      if (!readRecord(header, quote < lines.end, out)) {
        lines.hold()
        return undefined
      }
    }
    return undefined
  }

  return {
    line: () => lines.numberAhead,
    readLines,
    read: (text, last, out) => {
      lines.feed(text, last)
      return readLines(out)
    },
  }
}
