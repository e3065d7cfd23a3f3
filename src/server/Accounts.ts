/** Shows accounts and changes them by hand. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { DuplicateAccount } from "../api/Problems.ts"
import { ReconnectLinks } from "../programs/ReconnectLinks.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import { Accounts } from "../storage/Accounts.ts"
import { makeIssue } from "./AccessTokens.ts"
import { cursorProblem, importProblem, limited, orNotFound, withHeaders } from "./Answers.ts"

export const layerAccounts = HttpApiBuilder.group(
  Api,
  "accounts",
  Effect.fnUntraced(function* (handlers) {
    const accounts = yield* Accounts
    const links = yield* ReconnectLinks
    const requests = yield* RunRequests
    const issue = yield* makeIssue
    const orNoAccount = orNotFound("account")

    return handlers.handleAll({
      list: ({ query }) =>
        Effect.flatMap(Effect.mapError(accounts.list(limited(query)), cursorProblem), links.withLinks),
      create: Effect.fn("accounts.create")(
        function* ({ payload }) {
          const account = yield* links.withLink(yield* requests.addAccount(payload))
          return HttpApiSchema.withHeaders({ body: account, headers: { location: `/v1/accounts/${account.id}` } })
        },
        Effect.catchTags({
          DuplicateAccount: ({ accountId }) =>
            Effect.fail(new DuplicateAccount({ detail: "an account with this address exists", accountId })),
          ImportRefused: (error) => Effect.fail(importProblem(error)),
        }),
      ),
      get: ({ params }) => Effect.flatMap(orNoAccount(accounts.get(params.id)), links.withLink),
      update: ({ params, payload }) => Effect.flatMap(orNoAccount(accounts.patch(params.id, payload)), links.withLink),
      remove: Effect.fn("accounts.remove")(function* ({ params }) {
        const erasure = yield* orNoAccount(accounts.erase(params.id))
        yield* withHeaders({ location: `/v1/erasures/${erasure}` })
      }),
      accessToken: Effect.fn("accounts.accessToken")(function* ({ params, query }) {
        const { token, resource, expiresAt } = yield* issue(params.id, query)
        return { accessToken: token, resource, expiresAt }
      }),
    })
  }),
)
