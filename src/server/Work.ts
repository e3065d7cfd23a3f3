/** Starts refreshes and syncs. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import type { Selection as Selected } from "../api/Work.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import type { Selection } from "../storage/Accounts.ts"
import { conflictProblem, started } from "./Answers.ts"

const toSelection = ({ accountIds, filter }: Selected): Selection =>
  accountIds === undefined ? { _tag: "Filter", filter: filter ?? {} } : { _tag: "Ids", ids: accountIds }

export const layerWork = HttpApiBuilder.group(
  Api,
  "work",
  Effect.fnUntraced(function* (handlers) {
    const requests = yield* RunRequests

    const start = (kind: "refresh" | "sync") =>
      Effect.fn(`work.${kind}`)(function* (request: {
        readonly payload: Selected
        readonly headers: { readonly "idempotency-key"?: string }
      }) {
        const run = yield* requests[kind](toSelection(request.payload), {
          trigger: "api",
          idempotencyKey: request.headers["idempotency-key"],
        })
        return started(run)
      }, Effect.mapError(conflictProblem))

    return handlers.handleAll({ refresh: start("refresh"), sync: start("sync") })
  }),
)
