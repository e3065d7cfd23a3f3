/** Many reads in one request (Microsoft Graph, JSON batching), or one by one where a provider has no batches. */
import { Clock, Effect, Random, Result, Schema } from "effect"
import { parseRetryAfter, ProviderError } from "../../domain/ProviderError.ts"
import type { MailLane } from "../../pacing/MailboxLimiter.ts"
import { type GraphClient, immutableIds } from "./GraphClient.ts"
import { graphError, GraphRefusal, refusalOf, strangeAnswer } from "./GraphErrors.ts"
import { longestPause, mostPauses } from "../MailRequests.ts"

/** Requests in a batch (Microsoft Graph, JSON batching). */
const mostParts = 20

/** Tries of a part that meets passing faults. */
const tries = 4

/** Statuses by which an endpoint says that it takes no batches. */
const noBatches = new Set([400, 404, 405, 501])

const Answers = Schema.fromJsonString(Schema.Struct({
  responses: Schema.Array(Schema.Struct({
    id: Schema.String,
    status: Schema.Number,
    headers: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
    body: Schema.optionalKey(Schema.Unknown),
  })),
}))
type Part = typeof Answers.Type["responses"][number]

/** What a read came to: the JSON of its answer, or why there is none. */
export type Read = Result.Result<unknown, GraphRefusal>

/**
 * Reads paths after the version, such as `/me/messages/…`. The answers are in the order of the paths; one that was throttled or
 * unavailable to the end is a refusal of that class. Fails where nothing can be read at all.
 */
export type GraphReader = (
  paths: ReadonlyArray<string>,
  lane: MailLane,
) => Effect.Effect<ReadonlyArray<Read>, GraphRefusal | ProviderError>

export const makeGraphReader = (client: GraphClient): GraphReader => {
  let batches = true

  const one = (path: string, lane: MailLane) =>
    client.get(`${client.graphUrl}${path}`, Schema.Unknown, { lane }).pipe(
      Effect.map((body): Read => Result.succeed(body)),
      Effect.catchIf((error) => error._tag === "GraphRefusal", (refusal) => Effect.succeed<Read>(Result.fail(refusal))),
    )

  const oneByOne = (paths: ReadonlyArray<string>, lane: MailLane) =>
    Effect.forEach(paths, (path) => one(path, lane), { concurrency: 4 })

  /** One batch, and the parts of its answer by the place of their path. */
  const send = Effect.fnUntraced(
    function* (paths: ReadonlyArray<string>, places: ReadonlyArray<number>, lane: MailLane) {
      const requests = places.map((place) => ({
        id: String(place),
        method: "GET",
        url: paths[place]!,
        headers: { Prefer: immutableIds },
      }))
      const { body, date } = yield* client.call({
        url: `${client.graphUrl}/$batch`,
        method: "POST",
        body: { requests },
        lane,
        requests: requests.length,
      })
      const { responses } = yield* Effect.mapError(
        Schema.decodeUnknownEffect(Answers)(body),
        () => strangeAnswer(200),
      )
      // They come in any order.
      return { date, parts: new Map(responses.map((part) => [Number(part.id), part])) }
    },
  )

  const batch = Effect.fnUntraced(function* (paths: ReadonlyArray<string>, lane: MailLane) {
    const reads = new Map<number, Read>()
    let open = paths.map((_, place) => place)
    let faults = 0
    let pauses = 0
    while (true) {
      const { date, parts } = yield* send(paths, open, lane)
      const now = yield* Clock.currentTimeMillis
      const again: Array<number> = []
      let wait: number | undefined
      for (const place of open) {
        const read = readOf(parts.get(place), date, now)
        reads.set(place, read)
        if (Result.isSuccess(read)) continue
        const { error } = read.failure
        if (error.class === "throttled") wait = Math.max(wait ?? 0, error.retryAfterMillis ?? -1)
        if (error.class === "throttled" || error.class === "transient") again.push(place)
      }
      open = again
      if (wait === undefined) yield* client.succeeded
      if (open.length === 0) break
      if (wait !== undefined) {
        // The longest of the waits holds for the mailbox, so for all of them.
        const millis = yield* client.throttled(wait < 0 ? undefined : wait)
        if (millis > longestPause || ++pauses > mostPauses) break
      } else {
        if (++faults >= tries) break
        yield* Effect.sleep(250 * 2 ** faults * (yield* Random.nextBetween(0.8, 1.2)))
      }
    }
    return paths.map((_, place) => reads.get(place)!)
  })

  const inBatch = (paths: ReadonlyArray<string>, lane: MailLane) =>
    batch(paths, lane).pipe(
      Effect.catchIf(
        (error) => error._tag === "GraphRefusal" && noBatches.has(error.status) && error.error.class !== "blocked",
        () =>
          Effect.suspend(() => {
            batches = false
            return oneByOne(paths, lane)
          }),
      ),
    )

  return Effect.fn("Graph.read")(function* (paths, lane) {
    const reads: Array<Read> = []
    for (let start = 0; start < paths.length; start += mostParts) {
      const some = paths.slice(start, start + mostParts)
      reads.push(...yield* batches && some.length > 1 ? inBatch(some, lane) : oneByOne(some, lane))
    }
    return reads
  })
}

/** The part's own word on itself: that the batch succeeded says nothing of it. */
const readOf = (part: Part | undefined, date: string | undefined, now: number): Read => {
  if (part === undefined) return Result.fail(new GraphRefusal({ status: 0, code: "", error: graphError("transient") }))
  const { body, headers, status } = part
  if (status >= 200 && status < 300) return Result.succeed(body)
  const header = (name: string): string | undefined => {
    const [, value] = Object.entries(headers ?? {}).find(([key]) => key.toLowerCase() === name) ?? []
    return value === undefined || value === null ? undefined : String(value)
  }
  // Named so by an older form of batches, where one of the others was throttled (Microsoft Graph, throttling guidance).
  if (status === 424) {
    const retryAfterMillis = parseRetryAfter(header("retry-after"), date, now)
    const error = retryAfterMillis === undefined
      ? graphError("transient")
      : graphError("throttled", { retryAfterMillis })
    return Result.fail(new GraphRefusal({ status, code: "", error }))
  }
  return Result.fail(refusalOf(
    {
      status,
      body: typeof body === "string" ? body : JSON.stringify(body ?? null),
      retryAfter: header("retry-after"),
      date,
      authenticate: header("www-authenticate"),
    },
    now,
  ))
}
