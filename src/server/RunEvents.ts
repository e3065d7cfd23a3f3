/** A run as server-sent events, from now until it has ended. */
import { Duration, Effect, Option, Schedule, Schema, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { RunEvent } from "../api/Runs.ts"
import type { Run } from "../domain/Run.ts"
import type { RunId } from "../domain/Ids.ts"
import type { Runs } from "../storage/Runs.ts"
import type { Shutdown } from "./Shutdown.ts"

/** How often a run is looked at. Its counts are written that often, too. */
const every = Duration.millis(250)

/** Under the idle timeouts of common proxies. */
const keepAliveEvery = Duration.seconds(15)

export const hasEnded = ({ state }: Run): boolean => state !== "queued" && state !== "running"

const encode = Schema.encodeSync(RunEvent)

const frame = (run: Run, event: RunEvent["event"], id: number): string => {
  const { data } = encode({ event, data: run })
  return `id: ${id}\nevent: ${event}\ndata: ${data}\n\n`
}

const changed = (one: Run, other: Run): boolean =>
  one.state !== other.state || one.processed !== other.processed ||
  one.succeeded !== other.succeeded || one.failed !== other.failed || one.total !== other.total

/** The run each time it changed; the last is the run as it ended. A run that is deleted meanwhile ends the stream. */
const states = (runs: Runs["Service"], id: RunId): Stream.Stream<Run> =>
  Stream.fromEffectSchedule(runs.get(id), Schedule.spaced(every)).pipe(
    Stream.takeWhile(Option.isSome),
    Stream.map((run) => run.value),
    Stream.changesWith((one, other) => !changed(one, other)),
    Stream.takeUntil(hasEnded),
  )

const frames = (runs: Runs["Service"], id: RunId): Stream.Stream<string> => {
  const progress = states(runs, id).pipe(
    Stream.zipWithIndex,
    Stream.flatMap(([run, index]) =>
      hasEnded(run)
        ? Stream.make(frame(run, "progress", index), frame(run, "end", index + 1))
        : Stream.make(frame(run, "progress", index))
    ),
  )
  const keepAlive = Stream.tick(keepAliveEvery).pipe(Stream.drop(1), Stream.map(() => ": keep-alive\n\n"))
  return Stream.merge(progress, keepAlive, { haltStrategy: "left" })
}

export const runEvents = (runs: Runs["Service"], shutdown: Shutdown["Service"], id: RunId) =>
  HttpServerResponse.stream(
    frames(runs, id).pipe(
      shutdown.until,
      // The status is sent already: what is left to say is that the stream is over. Readers ask again.
      Stream.catchCause((cause) => Stream.fromEffectDrain(Effect.logError("an event stream broke off", cause))),
      Stream.encodeText,
    ),
    { contentType: "text/event-stream", headers: { "x-accel-buffering": "no" } },
  )
