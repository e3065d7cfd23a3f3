/** Shows runs, stops them, runs their failed items again. */
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { NothingToRetry, RunActive, RunEnded } from "../api/Problems.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import { Runs } from "../storage/runs/Runs.ts"
import { conflictProblem, cursorProblem, limited, orNotFound, started } from "./Answers.ts"
import { hasEnded, runEvents } from "./RunEvents.ts"
import { Shutdown } from "./Shutdown.ts"

export const layerRuns = HttpApiBuilder.group(
  Api,
  "runs",
  Effect.fnUntraced(function* (handlers) {
    const runs = yield* Runs
    const requests = yield* RunRequests
    const shutdown = yield* Shutdown

    const find = (id: string) => orNotFound("run")(runs.get(id))

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(runs.list(limited(query)), cursorProblem),
      get: ({ params }) => find(params.id),
      items: Effect.fn("runs.items")(function* ({ params, query }) {
        const run = yield* find(params.id)
        return yield* Effect.mapError(runs.items(run.id, limited(query)), cursorProblem)
      }),
      events: ({ params }) => Effect.map(find(params.id), (run) => runEvents(runs, shutdown, run.id)),
      cancel: Effect.fn("runs.cancel")(function* ({ params }) {
        const run = yield* find(params.id)
        if (!(yield* requests.cancel(run.id))) {
          return yield* new RunEnded({ detail: "the run has ended: there is nothing left to cancel" })
        }
        return yield* find(run.id)
      }),
      retry: Effect.fn("runs.retry")(function* ({ params, headers }) {
        const run = yield* find(params.id)
        if (!hasEnded(run)) {
          return yield* new RunActive({ detail: "the run is still going: wait for its end, or cancel it first" })
        }
        const again = yield* requests.retry(run, { trigger: "retry", idempotencyKey: headers["idempotency-key"] }).pipe(
          Effect.mapError(conflictProblem),
        )
        if (Option.isNone(again)) {
          return yield* new NothingToRetry({ detail: "no item of this run failed and has an account" })
        }
        return started(again.value)
      }),
    })
  }),
)
