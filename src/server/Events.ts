/** Shows what operators are told. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { ReconnectLinks } from "../programs/ReconnectLinks.ts"
import { Events } from "../storage/Events.ts"
import { Reconnects } from "../storage/grants/Reconnects.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerEvents = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const events = yield* Events
    const links = yield* ReconnectLinks
    const reconnects = yield* Reconnects
    return handlers.handleAll({
      list: Effect.fn("events.list")(function* ({ query }) {
        const page = yield* Effect.mapError(events.list(limited(query)), cursorProblem)
        const dead = page.items.filter(({ kind }) => kind === "account.needs_reauth").map(({ subject }) => subject)
        return yield* links.ofEvents(page, yield* reconnects.unattended([...new Set(dead)]))
      }),
    })
  }),
)
