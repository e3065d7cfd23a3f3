/** Shows what operators are told. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { ReconnectLinks } from "../programs/ReconnectLinks.ts"
import { Events } from "../storage/Events.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerEvents = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const events = yield* Events
    const links = yield* ReconnectLinks
    return handlers.handleAll({
      list: ({ query }) => Effect.flatMap(Effect.mapError(events.list(limited(query)), cursorProblem), links.ofEvents),
    })
  }),
)
