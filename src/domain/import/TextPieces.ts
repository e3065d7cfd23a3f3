/**
 * Turns bytes that come in chunks into text: without a byte order mark, every line break (CRLF and lone CR too) as `\n`,
 * bytes that are not UTF-8 as U+FFFD. Bytes are not refused here, because only the reader knows which row they belong to.
 */
export class TextPieces {
  // Deno's decoder takes a byte order mark away wherever a chunk begins with it: rows would depend on how a file is cut.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  #isBegun = false
  #pending = ""

  /** Text is handed on in pieces of `minLength` or more, so that a sender of single bytes costs no more than others. */
  constructor(readonly minLength: number) {}

  /** The text that is ready; empty while it is too little. */
  push(bytes: Uint8Array): string {
    const text = this.#decoder.decode(bytes, { stream: true })
    this.#pending += this.#isBegun || !text.startsWith("\uFEFF") ? text : text.slice(1)
    this.#isBegun ||= text !== ""
    return this.#pending.length < this.minLength ? "" : this.#take()
  }

  /** All that is left. */
  end(): string {
    this.#pending += this.#decoder.decode()
    const text = this.#take()
    return this.#pending === "" ? text : text + "\n"
  }

  #take(): string {
    const text = this.#pending
    // A CR at the very end may be the first half of a CRLF.
    const isSplit = text.endsWith("\r")
    this.#pending = isSplit ? "\r" : ""
    const whole = isSplit ? text.slice(0, -1) : text
    return whole.includes("\r") ? whole.replace(/\r\n?/g, "\n") : whole
  }
}
