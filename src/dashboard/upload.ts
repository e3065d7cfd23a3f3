/** Sends a file of accounts to be imported, and tells how much of it is sent: `fetch` cannot. */
import { newIdempotencyKey, Problem, problemOf, type Query, type Run, withQuery } from "./Api.ts"

/** By the ending of the file's name. */
const mediaTypes: Readonly<Record<string, string>> = {
  csv: "text/csv",
  txt: "text/plain",
  ndjson: "application/x-ndjson",
  jsonl: "application/x-ndjson",
  json: "application/json",
}

export const formats = Object.keys(mediaTypes).map((ending) => `.${ending}`)

/** Undefined where the name does not tell. */
export const mediaTypeOf = (name: string): string | undefined => mediaTypes[name.split(".").at(-1)!.toLowerCase()]

/** `onSent` is told the share that is sent, from 0 to 1. Rejects with a {@link Problem}. */
export const upload = (file: File, query: Query, onSent: (share: number) => void): Promise<Run> =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open("POST", withQuery("v1/imports", query))
    request.setRequestHeader("content-type", mediaTypeOf(file.name) ?? "text/plain")
    request.setRequestHeader("idempotency-key", newIdempotencyKey())
    request.upload.onprogress = ({ loaded, total }) => onSent(total === 0 ? 1 : loaded / total)
    request.onload = () =>
      request.status === 202
        ? resolve(JSON.parse(request.responseText))
        : reject(problemOf(request.status, request.responseText))
    request.onerror = () => reject(new Problem(0, "unreachable", "The upload broke off: the server does not answer."))
    request.send(file)
  })
