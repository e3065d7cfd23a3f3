/** Parses messages in worker threads: as many as there are cores, started when needed, replaced when they hang. */
import { Context, Effect, Layer, Option, Queue, Result, Schema } from "effect"
// The runtime's own where there is one; Node has none.
import Worker from "web-worker"
import type { MimeMessage } from "./MimeMessage.ts"

/** The message cannot be read; another try would end alike. `reason` is one line, without anything of the message. */
export class MimeRefused extends Schema.TaggedError<MimeRefused>()("MimeRefused", { reason: Schema.String }) {}

export interface MimeParserOptions {
  /** Threads at most. */
  readonly workers: number
  /** Longest that one message may take, in milliseconds. */
  readonly timeLimit: number
  /** Largest source, in bytes: what parsing takes in memory is a small multiple of it. */
  readonly sizeLimit: number
  /** The module that a worker runs. */
  readonly module: URL
}

const defaults = (): MimeParserOptions => ({
  workers: Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1),
  timeLimit: 10_000,
  sizeLimit: 4 * 1024 * 1024,
  module: new URL("./MimeWorker.ts", import.meta.url),
})

/** Starting a worker loads its modules: seconds, where many start at once on a busy machine. */
const startLimit = "30 seconds"

/** Messages as the worker takes them: one behind the other, and where each ends. */
export interface MimeBatch {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly ends: ReadonlyArray<number>
}

/** In the order of the batch; null for what cannot be read. */
export type MimeAnswer = { readonly ready: true } | { readonly messages: ReadonlyArray<MimeMessage | null> }

export type Parsed = Result.Result<MimeMessage, MimeRefused>

export class MimeParser extends Context.Service<MimeParser, {
  /** Batches that are worth handing over at once; more only take memory. */
  readonly concurrency: number
  /**
   * What is in each of the messages, in their order. Small ones go together: each handover to a thread costs as much as parsing
   * one of them.
   */
  readonly parseAll: (sources: ReadonlyArray<Uint8Array>) => Effect.Effect<ReadonlyArray<Parsed>>
  readonly parse: (source: Uint8Array) => Effect.Effect<MimeMessage, MimeRefused>
}>()("mailfleet/mail/MimeParser") {
  static readonly layerWith = (options: Partial<MimeParserOptions>): Layer.Layer<MimeParser> =>
    Layer.effect(
      MimeParser,
      Effect.gen(function* () {
        const { module, sizeLimit, timeLimit, workers } = { ...defaults(), ...options }
        const slots = yield* Queue.unbounded<Slot>()
        const all = Array.from({ length: workers }, (): Slot => ({ worker: undefined }))
        yield* Queue.offerAll(slots, all)
        yield* Effect.addFinalizer(() => Effect.sync(() => all.forEach(stop)))

        const ensure = (slot: Slot) =>
          slot.worker !== undefined ? Effect.succeed(slot.worker) : Effect.suspend(() => {
            const worker = slot.worker = new Worker(module, { type: "module" })
            return Effect.as(answerOf(worker), worker)
          }).pipe(Effect.timeoutOrElse({ duration: startLimit, orElse: () => died }))

        const answerIn = Effect.fnUntraced(function* (slot: Slot, sources: ReadonlyArray<Uint8Array>) {
          const worker = yield* ensure(slot)
          const answer = yield* answerOf(worker, batchOf(sources)).pipe(
            Effect.timeoutOrElse({
              duration: timeLimit,
              orElse: () => Effect.fail(new MimeRefused({ reason: "the message takes too long to be read" })),
            }),
          )
          return "messages" in answer ? answer.messages : []
        })

        const handOver = (sources: ReadonlyArray<Uint8Array>) =>
          Effect.acquireUseRelease(
            Queue.take(slots),
            (slot) =>
              // Hung, dead, or given up: it must not answer the next messages with these.
              Effect.onError(answerIn(slot, sources), () => Effect.sync(() => stop(slot))),
            (slot) => Queue.offer(slots, slot),
          )

        const parse = Effect.fnUntraced(function* (source: Uint8Array) {
          if (source.byteLength > sizeLimit) {
            return yield* new MimeRefused({ reason: "the message is too large to be read" })
          }
          // What the parser says of it may quote the message.
          return (yield* handOver([source]))[0] ??
            (yield* new MimeRefused({ reason: "the message is nested, or has headers, beyond all measure" }))
        })

        return MimeParser.of({
          concurrency: workers * 2,
          parse,
          parseAll: Effect.fnUntraced(function* (sources) {
            const together = sources.some(({ byteLength }) => byteLength > sizeLimit)
              ? undefined
              : yield* Effect.option(handOver(sources))
            // One of them ends the thread, or is beyond all measure: each by itself.
            return together === undefined || Option.isNone(together) || together.value.includes(null)
              ? yield* Effect.forEach(sources, (source) => Effect.result(parse(source)))
              : together.value.map((message) => Result.succeed(message!))
          }),
        })
      }),
    )

  static readonly layer: Layer.Layer<MimeParser> = MimeParser.layerWith({})
}

interface Slot {
  worker: Worker | undefined
}

const stop = (slot: Slot) => {
  slot.worker?.terminate()
  slot.worker = undefined
}

const died = Effect.fail(new MimeRefused({ reason: "the thread that read the message died" }))

const batchOf = (sources: ReadonlyArray<Uint8Array>): MimeBatch => {
  const bytes = new Uint8Array(sources.reduce((size, { byteLength }) => size + byteLength, 0))
  let end = 0
  const ends = sources.map((source) => {
    bytes.set(source, end)
    return end += source.byteLength
  })
  return { bytes, ends }
}

/** The worker's next answer, after it was given a batch if there is one. */
const answerOf = (worker: Worker, batch?: MimeBatch): Effect.Effect<MimeAnswer, MimeRefused> =>
  Effect.callback((resume) => {
    worker.onmessage = ({ data }: MessageEvent<MimeAnswer>) => resume(Effect.succeed(data))
    worker.onerror = (event) => {
      // Unhandled, it would end the process.
      event.preventDefault?.()
      resume(died)
    }
    if (batch !== undefined) worker.postMessage(batch, [batch.bytes.buffer])
  })
