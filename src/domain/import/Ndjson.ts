/** One JSON object on each line. */
import { Result } from "effect"
import { jsonRow, parseJson } from "./JsonRow.ts"
import { isBlankOrComment, PhysicalLines } from "./PhysicalLines.ts"
import { badRow, invalidEncoding, type ParsedRow, rowTooLong } from "./Row.ts"
import type { ReaderOptions, RowReader } from "./RowReader.ts"

export const ndjsonReader = (options: ReaderOptions): RowReader => {
  const lines = new PhysicalLines(options.maxRowLength)
  const parseLine = (line: string): ParsedRow => {
    if (line.includes("\uFFFD")) return invalidEncoding(lines.number)
    const value = parseJson(line)
    return Result.isSuccess(value)
      ? jsonRow(value.success, lines.number, options.defaults)
      : badRow(lines.number, "invalid_json", "expected one JSON object on the line")
  }
  return {
    line: () => lines.numberAhead,
    read: (text, last, out) => {
      lines.feed(text, last)
      for (let step = lines.advance(); step !== "more"; step = lines.advance()) {
        if (step === "long") out.push(rowTooLong(lines.number, lines.maxLength))
        else if (!isBlankOrComment(lines.text, lines.start, lines.end)) {
          out.push(parseLine(lines.text.slice(lines.start, lines.end)))
        }
      }
      return undefined
    },
  }
}
