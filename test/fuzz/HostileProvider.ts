/**
 * A provider that answers as nobody should: in front of a simulator, it lets some requests through, and answers others with
 * any status, header and body, with what the simulator said cut off or changed, or not at all.
 */
import { Effect, type Scope } from "effect"
import type { Simulator } from "../../src/simulator/Simulator.ts"
import { serveSimulator } from "../support/processes.ts"
import { serve } from "../support/simulator.ts"
import { hostileTexts, makeRandom, mutated, mutatedJson, type Random } from "./Random.ts"

export interface HostileProvider {
  readonly origin: string
  /** Whether it misbehaves. */
  hostile: boolean
  /** Answers that were not the simulator's. */
  answers: number
  /** Requests with an access token that came to a host which is not the provider's. */
  lured: number
}

const mediaTypes = ["application/json", "text/html", "text/plain; charset=utf-16", "application/octet-stream", "", "x"]
const statuses = [
  200,
  200,
  201,
  202,
  204,
  206,
  301,
  302,
  304,
  307,
  400,
  401,
  402,
  403,
  404,
  405,
  408,
  409,
  410,
  412,
  413,
]
  .concat([422, 429, 431, 451, 500, 501, 502, 503, 504, 509, 520, 599])

const bodyFor = (random: Random): string => {
  switch (random.below(6)) {
    case 0:
      return random.pick(hostileTexts)
    case 1:
      return '{"value":'.repeat(random.pick([10, 2_000, 100_000])) + "1"
    case 2:
      return "[".repeat(random.pick([10, 5_000]))
    case 3:
      return `"${"x".repeat(random.pick([10, 100_000, 3_000_000]))}"`
    case 4:
      return JSON.stringify(
        mutatedJson(random, { error: { code: "x", message: "m", details: [{ reason: "y" }] }, value: [] }),
      )
    default:
      return mutated(random, "<html><body>The service is unavailable. Please try again later.</body></html>")
  }
}

const headersFor = (random: Random, elsewhere: string): Headers => {
  const headers = new Headers()
  const type = random.pick(mediaTypes)
  if (type !== "") headers.set("content-type", type)
  // Seldom: a pause is kept, and nothing is asked for while it lasts.
  if (random.chance(0.05)) {
    headers.set(
      "retry-after",
      random.pick(["0", "0.5", "1", "-5", "x", "1e9", "Wed, 25 Nov 1926 10:00:00 GMT", "99999999999999999999"]),
    )
  }
  if (random.chance(0.1)) {
    headers.set("www-authenticate", mutated(random, 'Bearer error="invalid_token"').replace(/[^ -~]/g, "?"))
  }
  if (random.chance(0.2)) headers.set("location", elsewhere)
  if (random.chance(0.05)) headers.set("content-encoding", "gzip")
  return headers
}

/** Begins, and breaks off. */
const cut = (text: string): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text.slice(0, text.length / 2)))
      setTimeout(() => {
        try {
          controller.error(new Error("cut"))
        } catch {
          // The other side has hung up before.
        }
      }, 5)
    },
  })

const empty = new Set([204, 205, 304])

/** Links of pages lead elsewhere: whoever follows them hands the token over. */
const luring = (body: string, elsewhere: string): string =>
  body.replace(/("@odata\.(?:nextLink|deltaLink)":")https?:\/\/[^/"]+/g, `$1${elsewhere}`)

export const hostileProvider = (
  simulator: Simulator,
  seed: number,
): Effect.Effect<HostileProvider, never, Scope.Scope> =>
  Effect.gen(function* () {
    const state = { hostile: false, answers: 0, lured: 0 }
    const elsewhere = yield* serve((request) => {
      if (request.headers.has("authorization")) state.lured++
      return new Response("{}")
    })
    let number = 0
    const answer = async (request: Request, next: () => Promise<Response>): Promise<Response> => {
      if (!state.hostile || new URL(request.url).pathname.startsWith("/_")) return next()
      const random = makeRandom(seed * 1_000_003 + number++)
      if (random.chance(0.4)) return next()
      state.answers++
      const isToken = request.url.includes("token")
      // A token that the simulator gave out is never kept back: what it then refuses is refused with right.
      if (!isToken && random.chance(0.5)) {
        const real = await next()
        const text = await real.text()
        if (random.chance(0.3)) return new Response(cut(text), { status: 200, headers: real.headers })
        const changed = random.chance(0.4)
          ? luring(text, elsewhere)
          : random.chance(0.5)
          ? mutated(random, text)
          : changedJson(random, text)
        return new Response(empty.has(real.status) ? null : changed, {
          status: real.status,
          headers: headersFor(random, elsewhere),
        })
      }
      if (random.chance(0.03)) await new Promise((resolve) => setTimeout(resolve, 2_000))
      const status = random.pick(statuses)
      const body = empty.has(status) ? null : random.chance(0.15) ? cut(bodyFor(random)) : bodyFor(random)
      return new Response(body, { status, headers: headersFor(random, elsewhere) })
    }
    const origin = yield* serveSimulator(simulator, answer)
    return Object.assign(state, { origin })
  })

const changedJson = (random: Random, text: string): string => {
  try {
    return JSON.stringify(mutatedJson(random, JSON.parse(text)))
  } catch {
    return mutated(random, text)
  }
}
