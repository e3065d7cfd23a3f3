/** Cuts text that comes in pieces into lines, and never holds more of an overlong line than its limit. */
export class PhysicalLines {
  /** The text at hand: holds at least the current line, from `start` to `end`. */
  text = ""
  start = 0
  end = 0
  /** Number of the current line, from 1. */
  number = 0
  #next = 0
  #last = false
  #skipping = false

  constructor(readonly maxLength: number) {}

  /** True when no text follows. */
  get isLast(): boolean {
    return this.#last
  }

  /** The line of the first character after the text at hand. */
  get numberAhead(): number {
    let number = this.number + (this.#skipping ? 0 : 1)
    for (let at = this.text.indexOf("\n", this.#next); at !== -1; at = this.text.indexOf("\n", at + 1)) number++
    return number
  }

  feed(text: string, last: boolean): void {
    this.text = this.text.slice(this.#next) + text
    this.#next = 0
    this.#last = last
  }

  /**
   * Goes to the next line. `more`: the text at hand holds no further whole line. `long`: the line is over the limit; its
   * text must not be used, since it may have been dropped in part.
   */
  advance(): "line" | "long" | "more" {
    if (this.#skipping && !this.#skip()) return "more"
    const feed = this.text.indexOf("\n", this.#next)
    const end = feed === -1 ? this.text.length : feed
    const long = end - this.#next > this.maxLength
    if (feed === -1) {
      if (!long && (!this.#last || end === this.#next)) return "more"
      this.#skipping = long && !this.#last
    }
    this.start = this.#next
    this.end = end
    this.#next = feed === -1 ? end : feed + 1
    this.number++
    return long ? "long" : "line"
  }

  /** Takes back the current line, to be advanced to again when more text is at hand. */
  hold(): void {
    this.#next = this.start
    this.number--
  }

  /** Makes the current line one record with the lines up to `end`, which is a line break or the end of the text. */
  extend(end: number): void {
    for (let at = this.end; at !== -1 && at < end; at = this.text.indexOf("\n", at + 1)) this.number++
    this.#next = Math.min(end + 1, this.text.length)
  }

  /** Drops the rest of an overlong line; false while its end is not at hand. */
  #skip(): boolean {
    const feed = this.text.indexOf("\n", this.#next)
    this.#next = feed === -1 ? this.text.length : feed + 1
    this.#skipping = feed === -1
    return feed !== -1
  }
}

/** True for lines that every line format bears with: blank ones and those whose first sign is `#`. */
export const isBlankOrComment = (text: string, start: number, end: number): boolean => {
  let at = start
  while (at < end && text.charCodeAt(at) <= 0x20) at++
  if (at === end) return true
  const first = text.charCodeAt(at)
  return first === 0x23 || (first > 0x7f && text.slice(at, end).trim() === "")
}
