/** Shows receipts of deleted accounts. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Erasures } from "../storage/Erasures.ts"
import { cursorProblem, limited, orNotFound } from "./Answers.ts"

export const layerErasures = HttpApiBuilder.group(
  Api,
  "erasures",
  Effect.fnUntraced(function* (handlers) {
    const erasures = yield* Erasures
    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(erasures.list(limited(query)), cursorProblem),
      get: ({ params }) => orNotFound("erasure")(erasures.get(params.id)),
    })
  }),
)
