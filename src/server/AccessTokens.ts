/** Hands out access tokens, and keeps a record of it. */
import { Context, type Duration, Effect, Layer } from "effect"
import { HttpEffect, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { Caller } from "../api/Authorization.ts"
import { AccountUnusable, InvalidRequest, type NotFound, ProviderUnavailable } from "../api/Problems.ts"
import { type Account, type Resource, resourceOf } from "../domain/Account.ts"
import type { AccountId } from "../domain/Ids.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import { type AccessToken, Tokens } from "../oauth/Tokens.ts"
import { Accounts } from "../storage/Accounts.ts"
import { orNotFound } from "./Answers.ts"

/** What an account can be asked for. */
const resourcesOf = ({ provider }: Account): ReadonlyArray<Resource> =>
  provider === "google" ? ["gmail"] : ["graph", "outlook-imap"]

const retryAfter = (seconds: number) =>
  HttpEffect.appendPreResponseHandler((_request, response) =>
    Effect.succeed(HttpServerResponse.setHeader(response, "retry-after", String(seconds)))
  )

const toProblem = (error: ProviderError) => {
  const about = {
    detail: error.message,
    ...(error.providerCode === undefined ? {} : { providerCode: error.providerCode }),
  }
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

const refuse = Effect.fnUntraced(function* (error: ProviderError) {
  const problem = toProblem(error)
  if (problem._tag === "ProviderUnavailable" && (error.retryable || error.retryAfterMillis !== undefined)) {
    yield* retryAfter(Math.max(1, Math.ceil((error.retryAfterMillis ?? 5_000) / 1_000)))
  }
  return yield* problem
})

export class AccessTokens extends Context.Service<AccessTokens, {
  readonly issue: (id: AccountId, request: {
    readonly resource?: Resource | undefined
    readonly minValidity?: Duration.Duration | undefined
  }) => Effect.Effect<
    AccessToken,
    NotFound | InvalidRequest | AccountUnusable | ProviderUnavailable,
    Caller | HttpServerRequest.HttpServerRequest
  >
}>()("mailfleet/server/AccessTokens") {
  static readonly layer: Layer.Layer<AccessTokens, never, Accounts | Tokens> = Layer.effect(
    AccessTokens,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const tokens = yield* Tokens

      /** The audit record: who got what of whom. The token itself is never part of it. */
      const audit = (account: Account, resource: Resource, outcome: string) =>
        Effect.flatMap(Caller, (caller) =>
          Effect.logInfo("access token asked for").pipe(Effect.annotateLogs({
            audit: "access-token",
            caller: caller.name,
            accountId: account.id,
            grantId: account.grantId,
            resource,
            outcome,
          })))

      const issue = Effect.fn("AccessTokens.issue")(function* (id: AccountId, request: {
        readonly resource?: Resource | undefined
        readonly minValidity?: Duration.Duration | undefined
      }) {
        const account = yield* orNotFound("account")(accounts.get(id))
        const resource = request.resource ?? resourceOf(account.provider, account.channel)
        if (!resourcesOf(account).includes(resource)) {
          const message = `Expected ${resourcesOf(account).join(" or ")}: the account is at ${account.provider}`
          return yield* new InvalidRequest({
            detail: `resource: ${message}`,
            issues: [{ in: "query", field: "resource", message }],
          })
        }
        if (account.status === "disabled") {
          yield* audit(account, resource, "account_disabled")
          return yield* new AccountUnusable({
            code: "account_disabled",
            detail: "the account is disabled: set its status to active first",
          })
        }
        const token = yield* tokens.accessToken(
          account.grantId,
          resource,
          request.minValidity === undefined ? {} : { minValidity: request.minValidity },
        ).pipe(
          Effect.tapError((error) => audit(account, resource, error.code)),
          Effect.catchTag("ProviderError", refuse),
        )
        yield* audit(account, resource, "issued")
        return token
      })

      return AccessTokens.of({ issue })
    }),
  )
}
