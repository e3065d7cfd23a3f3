/** The content of an attachment, decoded while it comes: a file may be of tens of megabytes. */
import { Buffer } from "node:buffer"

/**
 * Reads `{"size":12,"data":"aGVsbG8…"}` piece by piece and answers the bytes of `data`. Base64url needs no escapes in JSON but
 * for the `=` at its end, which says nothing.
 */
export class AttachmentReader {
  #state: "before" | "within" | "after" = "before"
  #text = ""
  readonly #decoder = new TextDecoder()

  /** True once the data was there to its end. */
  get isWhole(): boolean {
    return this.#state === "after"
  }

  read(piece: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#text += this.#decoder.decode(piece, { stream: true })
    if (this.#state === "before") {
      const start = /"data"\s*:\s*"/.exec(this.#text)
      if (start === null) {
        // Enough to know the name again when the rest of it comes.
        this.#text = this.#text.slice(-64)
        return new Uint8Array()
      }
      this.#text = this.#text.slice(start.index + start[0].length)
      this.#state = "within"
    }
    if (this.#state === "after") {
      this.#text = ""
      return new Uint8Array()
    }
    const end = this.#text.search(/["\\=]/)
    // Four characters are three bytes.
    const usable = end >= 0 ? end : this.#text.length - this.#text.length % 4
    const data = this.#text.slice(0, usable)
    this.#text = this.#text.slice(usable)
    if (end >= 0) this.#state = "after"
    return new Uint8Array(Buffer.from(data, "base64url"))
  }
}
