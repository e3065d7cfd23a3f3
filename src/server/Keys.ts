/** Makes API keys, shows them and takes them away. */
import { DateTime, Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { InvalidBody, NotFound } from "../api/Problems.ts"
import { ApiKeys } from "../storage/ApiKeys.ts"
import { cursorProblem, limited } from "./Answers.ts"

const past = "expiresAt: a time that is yet to come is expected"

export const layerKeys = HttpApiBuilder.group(
  Api,
  "keys",
  Effect.fnUntraced(function* (handlers) {
    const keys = yield* ApiKeys

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(keys.list(limited(query)), cursorProblem),
      create: Effect.fn("keys.create")(function* ({ payload }) {
        const { expiresAt } = payload
        if (expiresAt !== undefined && DateTime.isLessThanOrEqualTo(expiresAt, yield* DateTime.now)) {
          return yield* new InvalidBody({
            detail: past,
            issues: [{ in: "body", field: "expiresAt", message: "a time that is yet to come is expected" }],
          })
        }
        const { key, secret } = yield* keys.create(payload)
        return HttpApiSchema.withHeaders({ body: { ...key, key: secret }, headers: { location: `/v1/keys/${key.id}` } })
      }),
      revoke: Effect.fn("keys.revoke")(function* ({ params }) {
        if (!(yield* keys.revoke(params.id))) return yield* new NotFound({ detail: "there is no key with this id" })
      }),
    })
  }),
)
