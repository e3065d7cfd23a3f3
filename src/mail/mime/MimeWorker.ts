/**
 * Parses messages on a thread of its own: a large one takes up to a second, and a hostile one for ever.
 *
 * In: batches. Out: an answer to each, in the same order; at first `{ ready: true }`.
 */
import { type MimeMessage, parseMime } from "./MimeMessage.ts"
import type { MimeAnswer, MimeBatch } from "./MimeParser.ts"
import { PlainBlob } from "./PlainBlob.ts"

// For this thread alone.
Object.assign(globalThis, { Blob: PlainBlob })

declare const self: {
  onmessage: ((event: MessageEvent<MimeBatch>) => void) | null
  postMessage: (answer: MimeAnswer) => void
}

self.onmessage = async ({ data: { bytes, ends } }) => {
  const messages: Array<MimeMessage | null> = []
  let start = 0
  for (const end of ends) {
    messages.push(await parseMime(bytes.subarray(start, end)).catch(() => null))
    start = end
  }
  self.postMessage({ messages })
}

self.postMessage({ ready: true })
