/**
 * PGlite in a worker: it computes in WebAssembly on the thread that it lives on, and a large insert would stop every
 * timer of the program (seen: 2.4 s in the main thread, 16 ms here).
 *
 * In: `{ open: folder }`, then wire-protocol bytes. Out: `{ ready: true }` or `{ error }`, then the answering bytes.
 */
import { PGlite } from "@electric-sql/pglite"

declare const self: {
  onmessage: ((event: MessageEvent<{ readonly open: string } | Uint8Array | "close">) => void) | null
  postMessage: (message: unknown, transfer?: Array<ArrayBuffer>) => void
}

let database: PGlite | undefined

self.onmessage = async ({ data }) => {
  try {
    if (data === "close") {
      await database?.close()
      self.postMessage({ closed: true })
    } else if (data instanceof Uint8Array) {
      const answer = await database!.execProtocolRaw(data)
      self.postMessage(answer)
    } else {
      database = await PGlite.create(data.open === "" ? {} : { dataDir: data.open })
      self.postMessage({ ready: true })
    }
  } catch (error) {
    self.postMessage({ error: error instanceof Error ? error.message : String(error) })
  }
}
