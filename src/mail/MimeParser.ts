/** Parses messages in worker threads: as many as there are cores, started when needed, replaced when they hang. */
import { Context, Effect, Layer, Queue, Schema } from "effect"
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

type Answer = { readonly ready: true } | { readonly message: MimeMessage } | { readonly error: string }

export class MimeParser extends Context.Service<MimeParser, {
  /** Messages that may be handed over at once without waiting for a thread; more only take memory. */
  readonly concurrency: number
  /** The source is handed over to the thread if it fills its buffer, and empty afterwards. */
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

        const parseIn = Effect.fnUntraced(function* (slot: Slot, source: Uint8Array) {
          const worker = yield* ensure(slot)
          const answer = yield* answerOf(worker, source).pipe(
            Effect.timeoutOrElse({
              duration: timeLimit,
              orElse: () => refused("the message takes too long to be read"),
            }),
          )
          return "message" in answer ? answer.message : undefined
        })

        return MimeParser.of({
          concurrency: workers * 2,
          parse: (source) =>
            source.byteLength > sizeLimit ? refused("the message is too large to be read") : Effect.acquireUseRelease(
              Queue.take(slots),
              (slot) =>
                // Hung, dead, or given up: it must not answer the next message with this one.
                Effect.onError(parseIn(slot, source), () => Effect.sync(() => stop(slot))),
              (slot) => Queue.offer(slots, slot),
            ).pipe(
              // What the parser says of it may quote the message.
              Effect.flatMap((message) =>
                message === undefined
                  ? refused("the message is nested, or has headers, beyond all measure")
                  : Effect.succeed(message)
              ),
            ),
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

const refused = (reason: string) => Effect.fail(new MimeRefused({ reason }))

const died = refused("the thread that read the message died")

/** The worker's next answer, after it was given `source` if there is one. */
const answerOf = (worker: Worker, source?: Uint8Array): Effect.Effect<Answer, MimeRefused> =>
  Effect.callback((resume) => {
    worker.onmessage = ({ data }: MessageEvent<Answer>) => resume(Effect.succeed(data))
    worker.onerror = (event) => {
      // Unhandled, it would end the process.
      event.preventDefault()
      resume(died)
    }
    if (source !== undefined) {
      // A view into a larger buffer would be cloned with all of it.
      const whole = source.byteLength === source.buffer.byteLength ? source : source.slice()
      worker.postMessage(whole, [whole.buffer as ArrayBuffer])
    }
  })
