/** Following a run from here until it has ended. */
import { Clock, Console, Duration, Effect, Schedule, Stream } from "effect"
import { HttpClientError } from "effect/http"
import type { Run } from "../domain/Run.ts"
import { Connection } from "./Connection.ts"
import { CommandError, SomeFailed, whenInterrupted } from "./ExitCode.ts"
import * as Progress from "./Progress.ts"
import { report, reportJson } from "./Report.ts"

/** How long a server may be away, as while it restarts, before we stop waiting for it. */
const patience = Duration.seconds(30)

/** How long the answer to a cancel is waited for. */
const cancelPatience = Duration.seconds(5)

/** Ctrl-C: the run is cancelled, since whoever started it here wants it gone. */
const cancel = Effect.fnUntraced(function* (run: Run) {
  const { client: { api } } = yield* Connection
  yield* Console.error("cancelling; Ctrl-C again leaves at once")
  const isCancelled = yield* api.runs.cancel({ params: { id: run.id } }).pipe(
    Effect.as(true),
    Effect.timeout(cancelPatience),
    Effect.orElseSucceed(() => false),
  )
  yield* Console.error(
    isCancelled
      ? `cancelled ${run.kind} ${run.id}: what was under way finishes, nothing more is started`
      : `${run.kind} ${run.id} could not be cancelled and may go on; see: mailfleet runs show ${run.id}`,
  )
})

/** Ctrl-C where we only looked on. */
const leave = (run: Run) => Console.error(`${run.kind} ${run.id} goes on`)

/** Shows the progress of a run until it has ended, and answers with it. */
const watch = Effect.fnUntraced(function* (run: Run) {
  const { ask, client, url } = yield* Connection
  const progress = yield* Progress.make({ label: run.kind, total: run.total })
  const clock = yield* Clock.Clock
  let last = run
  let seenAt = clock.currentTimeMillisUnsafe()
  yield* client.watchRun(run.id).pipe(
    Stream.runForEach((state) => {
      last = state
      seenAt = clock.currentTimeMillisUnsafe()
      return progress.update(state)
    }),
    Effect.retry({
      while: (error) =>
        HttpClientError.isHttpClientError(error) &&
        clock.currentTimeMillisUnsafe() - seenAt < Duration.toMillis(patience),
      schedule: Schedule.spaced(Duration.seconds(1)),
    }),
    Effect.catchIf(HttpClientError.isHttpClientError, () =>
      Effect.fail(
        new CommandError({
          message: `the server at ${url} does not answer any more; when it does: mailfleet runs watch ${run.id}`,
        }),
      )),
    ask,
  )
  yield* progress.done
  return last
}, Effect.scoped)

/**
 * Follows a run to its end, reports what came of it, and fails where not all of it went well. `onInterrupt` says what an
 * interruption does to the run.
 */
export const follow = Effect.fnUntraced(function* (
  run: Run,
  options: { readonly json: boolean; readonly onInterrupt: "cancel" | "leave" },
) {
  const ended = yield* watch(run).pipe(
    Effect.provideService(Progress.Screen, Progress.standardScreen(options.json ? "stderr" : "stdout")),
    whenInterrupted(options.onInterrupt === "cancel" ? cancel(run) : leave(run)),
  )
  yield* options.json ? reportJson(ended) : report(ended)
  if (ended.state !== "completed" || ended.failed > 0) return yield* new SomeFailed()
})

/** What commands that start a run do with it: follow it, or only say what was started. */
export const started = Effect.fnUntraced(function* (
  run: Run,
  options: { readonly json: boolean; readonly wait: boolean },
) {
  if (options.wait) return yield* follow(run, { json: options.json, onInterrupt: "cancel" })
  if (options.json) return yield* reportJson(run)
  yield* Console.log(`started ${run.kind} ${run.id}; follow it with: mailfleet runs watch ${run.id}`)
})
