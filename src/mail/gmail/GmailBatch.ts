/** Many requests in one (Gmail API, batching requests): multipart/mixed, a part for each request. */

/** More draw a rate limit upon themselves, though a batch may hold 100. */
export const mostInBatch = 50

const boundary = "mailfleet_batch"

export const batchContentType = `multipart/mixed; boundary=${boundary}`

/** @param paths of GET requests, without the origin */
export const encodeBatch = (paths: ReadonlyArray<string>): string =>
  paths.map((path, index) =>
    `--${boundary}\r\nContent-Type: application/http\r\nContent-ID: <part-${index}>\r\n\r\nGET ${path} HTTP/1.1\r\n` +
    "Accept: application/json\r\n\r\n"
  ).join("") + `--${boundary}--\r\n`

/** The answer to one request of a batch. */
export interface BatchPart {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly body: string
}

/**
 * The answers by the position of their request: they come in any order, and name the request that they answer. One that
 * cannot be read is left out.
 */
export const decodeBatch = (contentType: string, text: string): ReadonlyMap<number, BatchPart> => {
  const parts = new Map<number, BatchPart>()
  const [, quoted, bare] = /boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))/i.exec(contentType) ?? []
  const delimiter = `--${quoted ?? bare ?? ""}`
  if (delimiter === "--") return parts
  for (let start = text.indexOf(delimiter); start >= 0;) {
    start += delimiter.length
    const end = text.indexOf(`\n${delimiter}`, start)
    if (end < 0) break
    readPart(text.slice(start, end), parts)
    start = end + 1
  }
  return parts
}

const readPart = (text: string, parts: Map<number, BatchPart>): void => {
  const outer = split(text.replace(/^[ \t]*\r?\n/, ""))
  const index = /^content-id:\s*<?response-part-(\d{1,4})>?/im.exec(outer.head)?.[1]
  const { body, head } = split(outer.body)
  const status = /^HTTP\/\d(?:\.\d)? (\d{3})/.exec(head)?.[1]
  if (index === undefined || status === undefined) return
  parts.set(Number(index), {
    status: Number(status),
    retryAfter: /^retry-after:[ \t]*(.+?)\s*$/im.exec(head)?.[1],
    body: body.trim(),
  })
}

/** Head and body of a message: an empty line is between them. */
const split = (text: string): { readonly head: string; readonly body: string } => {
  const match = /\r?\n\r?\n/.exec(text)
  return match === null
    ? { head: text, body: "" }
    : { head: text.slice(0, match.index), body: text.slice(match.index + match[0].length) }
}
