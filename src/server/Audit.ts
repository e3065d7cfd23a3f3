/** Shows who was given what. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Audit } from "../storage/Audit.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerAudit = HttpApiBuilder.group(
  Api,
  "audit",
  Effect.fnUntraced(function* (handlers) {
    const audit = yield* Audit
    return handlers.handleAll({
      chain: ({ query }) => Effect.mapError(audit.chain(limited(query)), cursorProblem),
      list: ({ query }) => Effect.mapError(audit.list(limited(query)), cursorProblem),
    })
  }),
)
