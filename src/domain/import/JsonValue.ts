/** Finds the end of one JSON value in text that comes in pieces, without holding the text. */

const quote = 0x22
const backslash = 0x5c

/** How far a value was passed: `broken` at a line break inside a JSON text, which JSON forbids. */
export interface Passed {
  readonly state: "done" | "more" | "broken"
  /** The first character that was not passed. */
  readonly at: number
  /** Line breaks that were passed. */
  readonly lines: number
  /** The character after the last of them. */
  readonly lineStart: number
}

export class JsonValue {
  /** True from the character on with which the value was over its limit. */
  isLong = false
  #length = 0
  #depth = 0
  #inText = false
  #escaped = false

  /** A value that starts at `start` of the text at hand, and at `line` and `column` of the file. */
  constructor(public start: number, readonly line: number, readonly column: number, readonly maxLength: number) {}

  /** Passes what belongs to the value in `text` from `from` on. */
  pass(text: string, from: number): Passed {
    let at = from
    let lines = 0
    let lineStart = 0
    let lineFeed = -1
    const end = (state: Passed["state"]): Passed => {
      this.#length += at - from
      if (this.#length > this.maxLength) this.isLong = true
      return { state, at, lines, lineStart }
    }
    while (at < text.length) {
      if (this.#inText) {
        if (lineFeed < at) lineFeed = text.indexOf("\n", at)
        if (lineFeed === -1) lineFeed = text.length
        const close = this.#closingQuote(text, at)
        if (lineFeed < (close === -1 ? text.length : close)) {
          at = lineFeed
          return end("broken")
        }
        at = close === -1 ? text.length : close + 1
        this.#inText = close === -1
        if (!this.#inText && this.#depth === 0) return end("done")
        continue
      }
      switch (text.charCodeAt(at)) {
        case quote:
          this.#inText = true
          break
        case 0x5b: // [
        case 0x7b: // {
          this.#depth++
          break
        case 0x5d: // ]
        case 0x7d: // }
          if (this.#depth === 0) return end("done")
          if (--this.#depth === 0) {
            at++
            return end("done")
          }
          break
        case 0x0a:
          if (this.#depth === 0) return end("done")
          lines++
          lineStart = at + 1
          break
        case 0x09:
        case 0x20:
        case 0x2c: // ,
        case 0x3a: // :
          if (this.#depth === 0) return end("done")
      }
      at++
    }
    return end("more")
  }

  /** The quote that ends the JSON text which goes on at `from`; -1 where it is not at hand. */
  #closingQuote(text: string, from: number): number {
    let search = this.#escaped ? from + 1 : from
    while (true) {
      const at = text.indexOf('"', search)
      const end = at === -1 ? text.length : at
      let slashes = 0
      while (end - slashes > search && text.charCodeAt(end - slashes - 1) === backslash) slashes++
      this.#escaped = slashes % 2 === 1 && at === -1
      if (at === -1 || slashes % 2 === 0) return at
      search = at + 1
    }
  }
}
