/** Shows the refresh policies of tags and changes them. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Caller } from "../api/Authorization.ts"
import { NotFound } from "../api/Problems.ts"
import { Policies } from "../storage/grants/Policies.ts"
import { cursorProblem, limited } from "./Answers.ts"

export const layerPolicies = HttpApiBuilder.group(
  Api,
  "policies",
  Effect.fnUntraced(function* (handlers) {
    const policies = yield* Policies
    const noteTag = (tag: string) => Effect.flatMap(Caller, ({ note }) => note({ detail: tag }))

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(policies.list(limited(query)), cursorProblem),
      set: ({ params, payload }) => Effect.andThen(noteTag(params.tag), policies.set(params.tag, payload.policy)),
      unset: Effect.fn("policies.unset")(function* ({ params }) {
        yield* noteTag(params.tag)
        if (!(yield* policies.unset(params.tag))) return yield* new NotFound({ detail: "this tag has no policy" })
      }),
    })
  }),
)
