/** The simulated provider as a process of its own, and what it saw. */
import { Effect, Schema, type Scope } from "effect"
import { eventually, type NotYet, spawn } from "../../support/processes.ts"

const Counters = Schema.Struct({
  token: Schema.Struct({
    requests: Schema.Int,
    inFlight: Schema.Int,
    peak: Schema.Int,
    /** Answers by HTTP status. */
    statuses: Schema.Record(Schema.String, Schema.Int),
  }),
  graph: Schema.Struct({ requests: Schema.Int }),
  redemptions: Schema.Int,
})
export type Counters = typeof Counters.Type

/** The counters at one moment. */
export interface Sample extends Counters {
  /** `performance.now()` when they were there: the truth is no younger. */
  readonly at: number
}

export const answersOf = ({ token }: Counters, status?: number): number =>
  status === undefined
    ? Object.values(token.statuses).reduce((sum, count) => sum + count, 0)
    : token.statuses[status] ?? 0

export interface Provider {
  readonly origin: string
  readonly pid: number
  readonly counters: Effect.Effect<Counters>
  readonly resetCounters: Effect.Effect<void>
  /** Changes options while it runs. */
  readonly configure: (options: Record<string, unknown>) => Effect.Effect<void>
  /** An import file of some of its accounts. */
  readonly file: (from: number, count: number) => Effect.Effect<ReadableStream<Uint8Array>>
  /** Looks at the counters again and again until the scope ends; the list grows. */
  readonly watch: (everyMillis: number) => Effect.Effect<ReadonlyArray<Sample>, never, Scope.Scope>
}

/** Starts the process with options of `simulate`; it ends with the scope. */
export const startProvider = (
  options: { readonly accounts: number; readonly latencyMillis: number; readonly messages?: number },
): Effect.Effect<Provider, NotYet, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* spawn([
      "simulate",
      `--accounts=${options.accounts}`,
      `--latency=${options.latencyMillis}ms`,
      "--limits=none",
      `--messages=${options.messages ?? 0}`,
    ], {})
    let output = ""
    const add = (text: string) => void (output += text)
    for (const stream of [child.stdout, child.stderr]) {
      stream.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: add })).catch(() => {})
    }
    const listening = /^simulator listening on (\S+)$/m
    yield* eventually("the simulator listens", Effect.sync(() => output), (text) => listening.test(text))
    const origin = listening.exec(output)![1]!

    const ask = (path: string, init?: RequestInit) =>
      Effect.promise(async () => {
        const response = await fetch(`${origin}/_simulator/${path}`, init)
        if (!response.ok) throw new Error(`${path}: ${response.status}`)
        return response
      })
    const counters = ask("counters").pipe(
      Effect.flatMap((response) => Effect.promise(() => response.json())),
      Effect.map((json): Counters => Schema.decodeUnknownSync(Counters)(json)),
    )
    const provider: Provider = {
      origin,
      pid: child.pid,
      counters,
      resetCounters: Effect.asVoid(ask("counters/reset", { method: "POST" })),
      configure: (change) =>
        Effect.flatMap(
          ask("options", { method: "PATCH", body: JSON.stringify(change) }),
          (response) => Effect.promise(() => response.body?.cancel() ?? Promise.resolve()),
        ),
      file: (from, count) => Effect.map(ask(`import?from=${from}&count=${count}`), ({ body }) => body!),
      watch: (everyMillis) =>
        Effect.gen(function* () {
          const samples: Array<Sample> = []
          yield* counters.pipe(
            Effect.map((counters) => void samples.push({ ...counters, at: performance.now() })),
            Effect.andThen(Effect.sleep(everyMillis)),
            Effect.forever,
            Effect.forkScoped,
          )
          return samples
        }),
    }
    return provider
  })

/** Seconds from the first request's arrival to the answer that made `answers` whole, by samples from before it until after. */
export const secondsSeen = (samples: ReadonlyArray<Sample>, answers: number): number => {
  const first = samples.findLast(({ token }) => token.requests === 0)
  const last = samples.find((sample) => answersOf(sample) >= answers)
  return first === undefined || last === undefined ? NaN : (last.at - first.at) / 1_000
}
