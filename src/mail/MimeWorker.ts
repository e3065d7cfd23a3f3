/**
 * Parses messages on a thread of its own: a large one takes up to a second, and a hostile one for ever.
 *
 * In: the source. Out: `{ message }` or `{ error }`, in the same order; at first `{ ready: true }`.
 */
import { parseMime } from "./MimeMessage.ts"

declare const self: {
  onmessage: ((event: MessageEvent<Uint8Array>) => void) | null
  postMessage: (message: unknown) => void
}

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ message: await parseMime(data) })
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) })
  }
}

self.postMessage({ ready: true })
