/** Many requests in one (Gmail API, batching requests). */
import type { Answer } from "./Answer.ts"
import { invalidArgument } from "./GmailErrors.ts"
import { hash, seal } from "./Random.ts"

/** Requests per batch; more than 50 are advised against. */
export const batchMaximum = 100

export interface GmailBatchPart {
  /** Empty if the part has none. */
  readonly contentId: string
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly body: string
}

/** The parts of a batch, or what is wrong with it. */
export const readGmailBatch = (contentType: string, text: string): ReadonlyArray<GmailBatchPart> | Answer => {
  const boundary = /^multipart\/mixed\s*;.*boundary="?([^";]+)"?/i.exec(contentType)?.[1]
  if (boundary === undefined) return invalidArgument("Failed to parse batch request, error: no boundary.")
  const parts: Array<GmailBatchPart> = []
  for (const piece of text.split(`--${boundary}`).slice(1, -1)) {
    const [outer = "", inner = "", ...rest] = piece.replace(/^\r?\n/, "").split(/\r?\n\r?\n/)
    const [line = ""] = inner.split(/\r?\n/)
    const [, method, url] = /^([A-Z]+) (\/\S*) HTTP\/1\.1$/.exec(line.trim()) ?? []
    if (!/^content-type:\s*application\/http/im.test(outer) || method === undefined || url === undefined) {
      return invalidArgument("Failed to parse batch request, error: a part is malformed.")
    }
    const contentId = /^content-id:\s*<?([^>\r\n]*)>?/im.exec(outer)?.[1] ?? ""
    parts.push({ contentId, method, url, body: rest.join("\r\n\r\n").trim() })
  }
  if (parts.length === 0) return invalidArgument("Failed to parse batch request, error: 0 items.")
  return parts
}

/** Runs the parts; their answers come in another order than the requests. */
export const runGmailBatch = (
  parts: ReadonlyArray<GmailBatchPart>,
  seed: number,
  attempt: number,
  run: (part: GmailBatchPart) => Answer,
): Answer => {
  const boundary = `batch_${seal(seed, `${attempt}`)}`
  const pieces: Array<{ readonly order: number; readonly text: string }> = []
  let manner: Answer["manner"]
  for (const [position, part] of parts.entries()) {
    const answer = run(part)
    // A hang or a broken connection cannot befall a part alone.
    if (answer.manner === "hang" || answer.manner === "reset") return answer
    manner ??= answer.manner
    pieces.push({ order: hash(seed, 0xba7c, attempt, position), text: render(boundary, part.contentId, answer) })
  }
  pieces.sort((a, b) => a.order - b.order)
  return {
    status: 200,
    headers: { "content-type": `multipart/mixed; boundary=${boundary}` },
    body: `${pieces.map(({ text }) => text).join("")}--${boundary}--\r\n`,
    ...(manner === undefined ? {} : { manner }),
  }
}

const render = (boundary: string, contentId: string, { body, headers, status }: Answer): string =>
  [
    `--${boundary}`,
    "Content-Type: application/http",
    ...(contentId === "" ? [] : [`Content-ID: <response-${contentId}>`]),
    "",
    `HTTP/1.1 ${status} ${status < 300 ? "OK" : "Error"}`,
    ...Object.entries(headers).map(([name, value]) =>
      `${name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())}: ${value}`
    ),
    "Vary: Origin",
    "",
    body,
    "",
  ].join("\r\n")
