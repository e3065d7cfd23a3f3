/** A run as server-sent events, from now until it has ended. */
import { Duration, Option, Schedule, Schema, Stream } from "effect"
import { RunEvent } from "../api/Runs.ts"
import type { Run } from "../domain/Run.ts"
import type { RunId } from "../domain/Ids.ts"
import type { Runs } from "../storage/runs/Runs.ts"
import { eventStream, frame } from "./EventStream.ts"
import type { Shutdown } from "./Shutdown.ts"

/** How often a run is looked at. Its counts are written that often, too. */
const every = Duration.millis(250)

export const hasEnded = ({ state }: Run): boolean => state !== "queued" && state !== "running"

const encode = Schema.encodeSync(RunEvent)

const toFrame = (run: Run, event: RunEvent["event"], id: number): string =>
  frame(id, event, encode({ event, data: run }).data)

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

const frames = (runs: Runs["Service"], id: RunId): Stream.Stream<string> =>
  states(runs, id).pipe(
    Stream.zipWithIndex,
    Stream.flatMap(([run, index]) =>
      hasEnded(run)
        ? Stream.make(toFrame(run, "progress", index), toFrame(run, "end", index + 1))
        : Stream.make(toFrame(run, "progress", index))
    ),
  )

export const runEvents = (runs: Runs["Service"], shutdown: Shutdown["Service"], id: RunId) =>
  eventStream(shutdown, frames(runs, id))
