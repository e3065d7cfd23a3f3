/** Many requests in one (Graph documentation, JSON batching). */
import { Option, Schema } from "effect"
import type { Answer } from "./Answer.ts"
import type { GraphRequest } from "./GraphCall.ts"
import { graphErrorBody, jsonHeaders } from "./GraphErrors.ts"
import { hash } from "./Random.ts"

const Batch = Schema.Struct({
  requests: Schema.Array(Schema.Struct({
    id: Schema.String,
    method: Schema.String,
    url: Schema.String,
    headers: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    body: Schema.optionalKey(Schema.Unknown),
    dependsOn: Schema.optionalKey(Schema.Array(Schema.String)),
  })),
})
const decodeBatch = Schema.decodeUnknownOption(Batch)

/** Requests per batch. */
export const batchMaximum = 20

export interface BatchPart extends GraphRequest {
  readonly id: string
  readonly dependsOn: ReadonlyArray<string>
}

type BatchFault =
  | "too-large"
  | "malformed"
  | "duplicate id"
  | "absolute url"
  | "unknown dependency"
  | "body without type"

/** The parts of a batch, or what is wrong with its envelope. */
export const readBatch = (body: unknown): ReadonlyArray<BatchPart> | BatchFault => {
  const batch = decodeBatch(body)
  if (Option.isNone(batch) || batch.value.requests.length === 0) return "malformed"
  const { requests } = batch.value
  if (requests.length > batchMaximum) return "too-large"
  const ids = new Set<string>()
  const parts: Array<BatchPart> = []
  for (const request of requests) {
    // Ids are told apart without regard to case.
    const id = request.id.toLowerCase()
    if (ids.has(id)) return "duplicate id"
    if (/^https?:/i.test(request.url)) return "absolute url"
    const dependsOn = (request.dependsOn ?? []).map((dependency) => dependency.toLowerCase())
    if (dependsOn.some((dependency) => !ids.has(dependency))) return "unknown dependency"
    const headers = new Headers(request.headers)
    if (request.body !== undefined && !headers.has("content-type")) return "body without type"
    ids.add(id)
    parts.push({
      id: request.id,
      method: request.method.toUpperCase(),
      url: request.url.startsWith("/") ? request.url : `/${request.url}`,
      prefer: headers.get("prefer"),
      body: request.body,
      dependsOn,
    })
  }
  return parts
}

/**
 * Runs the parts and collects their answers, in an order that is not the order of the requests.
 *
 * @param attempt tells one batch from another, so that the order differs
 */
export const runBatch = (
  parts: ReadonlyArray<BatchPart>,
  seed: number,
  attempt: number,
  now: number,
  run: (part: BatchPart, position: number) => Answer,
): Answer => {
  const failed = new Set<string>()
  const responses: Array<{ readonly order: number; readonly text: string }> = []
  let manner: Answer["manner"]
  for (const [position, part] of parts.entries()) {
    const dependencyFailed = part.dependsOn.some((dependency) => failed.has(dependency))
    const answer = dependencyFailed ? failedDependency(now) : run(part, position)
    // A hang or a broken connection cannot befall a part alone.
    if (answer.manner === "hang" || answer.manner === "reset") return answer
    manner ??= answer.manner
    if (answer.status >= 400) failed.add(part.id.toLowerCase())
    responses.push({ order: hash(seed, 0xba7c, attempt, position), text: render(part.id, answer) })
  }
  responses.sort((a, b) => a.order - b.order)
  return {
    status: 200,
    headers: { ...jsonHeaders },
    body: `{"responses":[${responses.map(({ text }) => text).join(",")}]}`,
    ...(manner === undefined ? {} : { manner }),
  }
}

const render = (id: string, answer: Answer): string => {
  const isJson = answer.headers["content-type"]?.startsWith("application/json") === true
  const headers = Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [
      name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()),
      isJson && name === "content-type" ? "application/json" : value,
    ]),
  )
  const envelope = JSON.stringify({ id, status: answer.status, headers })
  if (answer.body === "") return envelope
  // Anything that is no JSON travels as a base64 string.
  const body = isJson
    ? answer.body
    : JSON.stringify(btoa(String.fromCharCode(...new TextEncoder().encode(answer.body))))
  return `${envelope.slice(0, -1)},"body":${body}}`
}

const failedDependency = (now: number): Answer => ({
  status: 424,
  headers: { ...jsonHeaders },
  body: JSON.stringify(graphErrorBody("FailedDependency", "A request that this one depends on failed.", now)),
})
