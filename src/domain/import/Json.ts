/**
 * A JSON array of objects, bare or as the property `accounts` of an object, whose other properties are ignored.
 *
 * This only finds where each element of the array begins and ends; `JSON.parse` reads the element. So an array of any length
 * takes the memory of one element, and every row knows its line.
 */
import { Result } from "effect"
import { JsonValue } from "./JsonValue.ts"
import { jsonRow, parseJson } from "./JsonRow.ts"
import { invalidEncoding, type ParsedRow, rowTooLong } from "./Row.ts"
import { ImportFileError, type ReaderOptions, type RowReader } from "./RowReader.ts"

/** What the next sign may be. */
type Expecting =
  | "document"
  | "firstElement"
  | "element"
  | "afterElement"
  | "firstKey"
  | "key"
  | "colon"
  | "memberValue"
  | "afterMember"
  | "nothing"

const expectation: { readonly [K in Expecting]: string } = {
  document: "an array",
  firstElement: "an object or ]",
  element: "an object",
  afterElement: ", or ]",
  firstKey: "a property name or }",
  key: "a property name",
  colon: ":",
  memberValue: "a value",
  afterMember: ", or }",
  nothing: "the end of the file",
}

const notAnArray = "expected an array of objects, or an object whose property accounts is one"

export const jsonReader = (options: ReaderOptions): RowReader => {
  let text = ""
  let at = 0
  let line = 1
  /** Where the current line starts, counted like `at`; negative for a line that began in an earlier piece. */
  let lineStart = 0
  let expecting: Expecting = "document"
  /** The value that is being passed, and what it is for. */
  let value: { readonly scan: JsonValue; readonly use: "element" | "key" | "ignored" } | undefined
  let inObject = false
  let key = ""
  let hasAccounts = false

  const fail = (code: ImportFileError["code"], message: string, where = { line, column: at - lineStart + 1 }) =>
    new ImportFileError({ code, message, ...where })
  const unexpected = () => fail("invalid_json", `not valid JSON: expected ${expectation[expecting]}`)

  const begin = (use: "element" | "key" | "ignored"): undefined => {
    value = { use, scan: new JsonValue(at, line, at - lineStart + 1, use === "ignored" ? 0 : options.maxRowLength) }
  }

  /** The structural sign at hand: what it leads to. Undefined if it is fine. */
  const step = (sign: string): ImportFileError | undefined => {
    const go = (next: Expecting): undefined => {
      expecting = next
      at++
    }
    const close = (): undefined => go(inObject ? "afterMember" : "nothing")
    const leave = () => hasAccounts ? go("nothing") : fail("not_an_array", notAnArray)
    switch (expecting) {
      case "document":
        inObject = sign === "{"
        return sign === "[" ? go("firstElement") : inObject ? go("firstKey") : fail("not_an_array", notAnArray)
      case "firstElement":
        if (sign === "]") return close()
        return ",:}".includes(sign) ? unexpected() : begin("element")
      case "element":
        return ",:}]".includes(sign) ? unexpected() : begin("element")
      case "afterElement":
        return sign === "," ? go("element") : sign === "]" ? close() : unexpected()
      case "firstKey":
        if (sign === "}") return leave()
        return sign === '"' ? begin("key") : unexpected()
      case "key":
        return sign === '"' ? begin("key") : unexpected()
      case "colon":
        return sign === ":" ? go("memberValue") : unexpected()
      case "memberValue":
        if (key !== '"accounts"') return ",:}]".includes(sign) ? unexpected() : begin("ignored")
        hasAccounts = true
        return sign === "[" ? go("firstElement") : fail("not_an_array", notAnArray)
      case "afterMember":
        return sign === "," ? go("key") : sign === "}" ? leave() : unexpected()
      case "nothing":
        return unexpected()
    }
  }

  /** Uses the value that ends before `at`. */
  const finish = (scan: JsonValue, use: "element" | "key" | "ignored", out: Array<ParsedRow>) => {
    value = undefined
    expecting = use === "element" ? "afterElement" : use === "key" ? "colon" : "afterMember"
    if (use === "key") key = scan.isLong ? "" : text.slice(scan.start, at)
    if (use !== "element" || scan.isLong) return undefined
    const source = text.slice(scan.start, at)
    if (source.includes("\uFFFD")) {
      out.push(invalidEncoding(scan.line))
      return undefined
    }
    const parsed = parseJson(source)
    if (Result.isFailure(parsed)) {
      return fail("invalid_json", "the array element that starts here is not valid JSON", scan)
    }
    out.push(jsonRow(parsed.success, scan.line, options.defaults))
    return undefined
  }

  const feed = (more: string): void => {
    const keep = value && !value.scan.isLong ? value.scan.start : at
    text = text.slice(keep) + more
    at -= keep
    lineStart -= keep
    if (value) value.scan.start -= keep
  }

  /** Goes on with the value at hand; false where its end is not in the text. */
  const pass = (scan: JsonValue, isElement: boolean, out: Array<ParsedRow>): boolean | ImportFileError => {
    const wasLong = scan.isLong
    const passed = scan.pass(text, at)
    at = passed.at
    line += passed.lines
    if (passed.lines > 0) lineStart = passed.lineStart
    if (isElement && scan.isLong && !wasLong) out.push(rowTooLong(scan.line, options.maxRowLength))
    if (passed.state === "broken") return fail("invalid_json", "not valid JSON: a text must not hold a line break")
    return passed.state === "done"
  }

  const read = (more: string, last: boolean, out: Array<ParsedRow>): ImportFileError | undefined => {
    feed(more)
    while (at < text.length) {
      if (value) {
        const { scan, use } = value
        const done = pass(scan, use === "element", out)
        if (typeof done !== "boolean") return done
        const failure = done ? finish(scan, use, out) : undefined
        if (failure) return failure
        continue
      }
      const sign = text.charAt(at)
      if (sign === "\n") {
        line++
        lineStart = at + 1
      }
      if (sign === " " || sign === "\n" || sign === "\t") {
        at++
        continue
      }
      const failure = step(sign)
      if (failure) return failure
    }
    const isWhole = value === undefined && (expecting === "nothing" || expecting === "document")
    return last && !isWhole ? fail("invalid_json", "not valid JSON: it ends too early") : undefined
  }

  return { read, line: () => line }
}
