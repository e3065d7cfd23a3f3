/** Thousands of requests made from the document, and what no answer to any of them may be. */
import { Data, Effect } from "effect"
import { faultOf, type Operation, operations } from "./OpenApi.ts"
import { makeRandom } from "./Random.ts"
import { collectionOf, type FuzzRequest, makeRequest } from "./Requests.ts"

export interface Finding {
  /** Of the request: the same number makes the same one, given the same answers before. */
  readonly number: number
  readonly what: string
  readonly request: string
  readonly answer: string
}

export interface Fuzzed {
  readonly requests: number
  readonly byStatus: ReadonlyMap<number, number>
  /** Operations that never answered with success. */
  readonly unreached: ReadonlyArray<string>
  readonly findings: ReadonlyArray<Finding>
}

export interface Target {
  readonly origin: string
  /** Keys of every kind; null = none. */
  readonly keys: ReadonlyArray<string | null>
}

class Hung extends Data.TaggedError("Hung")<{ readonly path: string }> {}

/** No answer may take longer, busy as the machine may be. */
const longest = "20 seconds"

/** What comes first of a stream of events is enough. */
const streamMillis = 60

/** In secrets that requests hold: no answer repeats them. */
const canary = "CANARY"

const remembered = 40

interface Answer {
  readonly status: number
  readonly mediaType: string
  readonly text: string
}

const readSome = async (response: Response): Promise<string> => {
  const reader = response.body!.getReader()
  const end = new Promise<undefined>((resolve) => setTimeout(resolve, streamMillis, undefined))
  const first = await Promise.race([reader.read(), end])
  await reader.cancel()
  return first?.value === undefined ? "" : new TextDecoder().decode(first.value)
}

const send = (origin: string, { body, headers, method, path }: FuzzRequest): Effect.Effect<Answer, Hung> =>
  Effect.promise(async (signal) => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers,
      body: body ?? null,
      redirect: "manual",
      signal,
    })
    const mediaType = response.headers.get("content-type") ?? ""
    const isStream = mediaType.startsWith("text/event-stream")
    return { status: response.status, mediaType, text: isStream ? await readSome(response) : await response.text() }
  }).pipe(Effect.timeoutOrElse({ duration: longest, orElse: () => Effect.fail(new Hung({ path })) }))

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isProblem = (body: unknown): body is { readonly code: string; readonly status: number } =>
  typeof body === "object" && body !== null && "code" in body && typeof body.code === "string" && "status" in body

/** What is wrong with an answer, if anything is. */
const wrongWith = ({ allowed, operation, headers, method, path }: FuzzRequest, answer: Answer): string | undefined => {
  const { mediaType, status, text } = answer
  if (status === 500 || status > 503 || status === 501 || status === 502) return `a fault of ours: ${status}`
  if (text.includes(canary)) return "it repeats a secret"
  const described = operation.responses[String(status)]
  // Any route may say that it is none, or that the address has sent too many wrong keys.
  const isGeneral = status === 404 || status === 405 || status === 429 || status === 431
  if (described === undefined && !isGeneral) return `the document does not know the status ${status}`
  if (status >= 400) {
    if (mediaType !== "application/problem+json") return `an error of type ${mediaType}`
    const body = parsed(text)
    if (!isProblem(body) || body.status !== status) return "an error that is no problem"
    if (described !== undefined) return faultOf(operation, status, mediaType, body)
    return undefined
  }
  if (status === 204 || status === 304) return text === "" ? undefined : "an empty answer with a body"
  const types = Object.keys(described?.content ?? {})
  const declared = types.find((type) => type.split(";")[0] === mediaType.split(";")[0])
  // An attachment is of any type.
  if (types.length > 0 && declared === undefined && !path.includes("/attachments/")) {
    return `an answer of type ${mediaType}`
  }
  if (declared === "application/json") {
    const fault = faultOf(operation, status, declared, parsed(text))
    if (fault !== undefined) return `not by the document: ${fault}`
  }
  // Providers send more than is read of it.
  const isNotification = path.includes("/notifications/")
  if (!allowed && !isNotification && method !== "GET" && headers["content-type"] === "application/json") {
    return "taken, though the document does not allow the body"
  }
  return undefined
}

/** Remembers what later requests may ask for. */
const remember = (seen: Map<string, Array<string>>, { path }: Operation, body: unknown): void => {
  const keep = (name: string, value: string) => {
    const known = seen.get(name) ?? []
    if (!known.includes(value)) known.push(value)
    if (known.length > remembered) known.shift()
    seen.set(name, known)
  }
  const visit = (value: unknown, collection: string): void => {
    if (Array.isArray(value)) return value.slice(0, 5).forEach((one) => visit(one, collection))
    if (typeof value !== "object" || value === null) return
    for (const [name, one] of Object.entries(value)) {
      if (typeof one !== "string") visit(one, collection)
      else if (name === "id") keep(`id of ${collection}`, one)
      else if (/Id$|position|email$|subject/.test(name)) keep(name, one)
      else if (name === "nextCursor") {
        keep("cursor", one)
        keep("after", one)
      }
    }
  }
  // The last word of the path that is no parameter is what its items are.
  visit(body, path.split("/").findLast((part) => part !== "" && !part.startsWith("{")) ?? collectionOf(path))
}

const show = ({ body, headers, method, path }: FuzzRequest): string =>
  `${method} ${path.slice(0, 300)} ${headers["content-type"] ?? ""} ${(body ?? "").slice(0, 400)}`

/** Sends requests until there were so many; `lanes` of them at a time. */
export const fuzzApi = (
  target: Target,
  options: {
    readonly seed: number
    readonly requests: number
    readonly lanes: number
    /** What is to be left out, as `GET /v1/runs`. */
    readonly without?: ReadonlyArray<string>
  },
): Effect.Effect<Fuzzed> =>
  Effect.gen(function* () {
    const seen = new Map<string, Array<string>>()
    const byStatus = new Map<number, number>()
    const findings = new Map<string, Finding>()
    const nameOf = ({ method, path }: Operation) => `${method} ${path}`
    const all = operations.filter((one) => options.without?.includes(nameOf(one)) !== true)
    const reached = new Set<string>()
    let next = 0
    const one = Effect.gen(function* () {
      const number = next++
      const random = makeRandom(options.seed * 1_000_003 + number)
      // In turn at first, so that there is something to ask for; deletions seldom.
      const drawn = number < all.length * 2 ? all[number % all.length]! : random.pick(all)
      const operation = drawn.method === "DELETE" && random.chance(0.6) ? random.pick(all) : drawn
      const key = random.chance(0.8) ? target.keys[0]! : random.pick(target.keys)
      const request = makeRequest(random, operation, seen, key)
      const report = (what: string, answer: string) => {
        const found = `${nameOf(operation)}: ${what}`
        if (!findings.has(found)) findings.set(found, { number, what: found, request: show(request), answer })
      }
      const answer = yield* Effect.result(send(target.origin, request))
      if (answer._tag === "Failure") return report("no answer in time", "")
      const { status, text } = answer.success
      byStatus.set(status, (byStatus.get(status) ?? 0) + 1)
      const wrong = wrongWith(request, answer.success)
      if (wrong !== undefined) report(wrong, `${status} ${text.slice(0, 400)}`)
      if (status < 300) {
        reached.add(nameOf(operation))
        remember(seen, operation, parsed(text))
      }
    })
    const lane = Effect.gen(function* () {
      while (next < options.requests) yield* one
    })
    yield* Effect.all(Array.from({ length: options.lanes }, () => lane), { concurrency: "unbounded", discard: true })
    return {
      requests: next,
      byStatus,
      unreached: all.map(nameOf).filter((name) => !reached.has(name)),
      findings: [...findings.values()],
    }
  })
