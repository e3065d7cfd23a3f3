/** Access tokens over HTTP: why none is to be had, as problems. */
import { type Duration, Effect } from "effect"
import { Caller } from "../api/Authorization.ts"
import { AccountUnusable, InvalidRequest, NotFound, ProviderUnavailable } from "../api/Problems.ts"
import type { Resource } from "../domain/Account.ts"
import type { AccountId } from "../domain/Ids.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import { AccessTokens } from "../programs/AccessTokens.ts"
import { withHeaders } from "./Answers.ts"

const toProblem = (error: ProviderError) => {
  const about = {
    detail: error.message,
    ...(error.providerCode === undefined ? {} : { providerCode: error.providerCode }),
    ...(error.traceId === undefined ? {} : { traceId: error.traceId }),
  }
  if (error.code === "account_disabled") return new AccountUnusable({ code: "account_disabled", ...about })
  switch (error.class) {
    case "needs_user":
      return new AccountUnusable({ code: "needs_reauth", ...about })
    case "blocked":
      return new AccountUnusable({ code: "account_blocked", ...about })
    case "scope":
      return new AccountUnusable({ code: "consent_required", ...about })
    case "throttled":
      return new ProviderUnavailable({ code: "throttled", ...about })
    case "app":
      return new ProviderUnavailable({ code: "app_misconfigured", ...about })
    case "ambiguous":
      return new ProviderUnavailable({ code: "grant_doubtful", ...about })
    case "unknown":
      return new ProviderUnavailable({ code: "provider_answer_unknown", ...about })
    case "transient":
      return new ProviderUnavailable({ code: "provider_unavailable", ...about })
  }
}

/** Fails with the problem that an error of a provider is, and says when to come back. */
export const refuse = Effect.fnUntraced(function* (error: ProviderError) {
  const problem = toProblem(error)
  if (problem._tag === "ProviderUnavailable" && (error.retryable || error.retryAfterMillis !== undefined)) {
    yield* withHeaders({ "retry-after": String(Math.max(1, Math.ceil((error.retryAfterMillis ?? 5_000) / 1_000))) })
  }
  return yield* problem
})

/** Issues an access token to whoever bears the key of the request. */
export const makeIssue = Effect.map(AccessTokens, (tokens) =>
  Effect.fnUntraced(
    function* (id: AccountId, options: {
      readonly resource?: Resource | undefined
      readonly minValidity?: Duration.Duration | undefined
    }) {
      const caller = yield* Caller
      return yield* tokens.issue(caller.name, id, options)
    },
    Effect.catchTags({
      AccountNotFound: () => Effect.fail(new NotFound({ detail: "there is no account with this id" })),
      WrongResource: ({ message }) =>
        Effect.fail(
          new InvalidRequest({
            detail: `resource: ${message}`,
            issues: [{ in: "query", field: "resource", message }],
          }),
        ),
      ProviderError: refuse,
    }),
  ))
