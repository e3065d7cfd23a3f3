/** Shows what operators are told. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Events } from "../storage/Events.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerEvents = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const events = yield* Events
    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(events.list(limited(query)), cursorProblem),
    })
  }),
)
