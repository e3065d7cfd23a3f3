/** A worker that parses nothing: by the text it is given it answers, hangs, or dies. */
declare const self: {
  onmessage: ((event: MessageEvent<{ bytes: Uint8Array; ends: ReadonlyArray<number> }>) => void) | null
  postMessage: (answer: unknown) => void
}

self.onmessage = ({ data: { bytes, ends } }) => {
  const text = new TextDecoder().decode(bytes)
  while (text.includes("hang")) { /* for ever */ }
  if (text.includes("die")) throw new Error("dead")
  self.postMessage({ messages: ends.map(() => ({ text, html: null, preview: "", header: {} })) })
}

self.postMessage({ ready: true })

export {}
