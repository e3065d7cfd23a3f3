/** Shows the refresh policies of tags and changes them. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { NotFound } from "../api/Problems.ts"
import { Policies } from "../storage/grants/Policies.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerPolicies = HttpApiBuilder.group(
  Api,
  "policies",
  Effect.fnUntraced(function* (handlers) {
    const policies = yield* Policies

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(policies.list(limited(query)), cursorProblem),
      set: ({ params, payload }) => policies.set(params.tag, payload.policy),
      unset: Effect.fn("policies.unset")(function* ({ params }) {
        if (!(yield* policies.unset(params.tag))) return yield* new NotFound({ detail: "this tag has no policy" })
      }),
    })
  }),
)
