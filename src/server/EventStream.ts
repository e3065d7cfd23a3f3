/** Answers that are streams of server-sent events, as long as the process lives. */
import { Duration, Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import type { Shutdown } from "./Shutdown.ts"

/** Under the idle timeouts of common proxies. */
const keepAliveEvery = Duration.seconds(15)

const keepAlive = Stream.tick(keepAliveEvery).pipe(Stream.drop(1), Stream.map(() => ": keep-alive\n\n"))

/** `data` is one line of JSON. */
export const frame = (id: string | number, event: string, data: string): string =>
  `id: ${id}\nevent: ${event}\ndata: ${data}\n\n`

/** Frames are taken as the reader reads: a slow one holds up nobody, and costs no memory. */
export const eventStream = (shutdown: Shutdown["Service"], frames: Stream.Stream<string>) =>
  HttpServerResponse.stream(
    Stream.merge(frames, keepAlive, { haltStrategy: "left" }).pipe(
      shutdown.until,
      // The status is sent already: what is left to say is that the stream is over. Readers ask again.
      Stream.catchCause((cause) => Stream.fromEffectDrain(Effect.logError("an event stream broke off", cause))),
      Stream.encodeText,
    ),
    { contentType: "text/event-stream", headers: { "x-accel-buffering": "no" } },
  )
