/** Hands out access tokens, and keeps a record of it. */
import { Context, type Duration, Effect, Layer, Option, Schema } from "effect"
import { type Account, Resource, resourceOf } from "../domain/Account.ts"
import type { AccountId } from "../domain/Ids.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { type AccessToken, Tokens } from "../oauth/Tokens.ts"
import { Accounts } from "../storage/Accounts.ts"
import { Audit } from "../storage/Audit.ts"

/** There is no account with this id. */
export class AccountNotFound extends Schema.TaggedError<AccountNotFound>()("AccountNotFound", {
  accountId: Schema.String,
}) {}

/** The account's provider has no such resource. */
export class WrongResource extends Schema.TaggedError<WrongResource>()("WrongResource", {
  expected: Schema.Array(Resource),
  message: Schema.String,
}) {}

/** What kind of access token is asked for. */
export interface AccessTokenOptions {
  /** Default: that of the account's channel. */
  readonly resource?: Resource | undefined
  /** For how long the token must stay valid; one that was issued within the last minute will do. Default 2 minutes. */
  readonly minValidity?: Duration.Input | undefined
}

export class AccessTokens extends Context.Service<AccessTokens, {
  /**
   * A valid access token of an account. That `actor` was given it is durable before it is; a refusal is recorded too. Where
   * the record cannot be written, none is given.
   */
  readonly issue: (
    actor: string,
    id: AccountId,
    options?: AccessTokenOptions,
  ) => Effect.Effect<AccessToken, AccountNotFound | WrongResource | ProviderError>
}>()("mailfleet/programs/AccessTokens") {
  static readonly layer: Layer.Layer<AccessTokens, never, Accounts | Audit | Tokens> = Layer.effect(
    AccessTokens,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const audit = yield* Audit
      const tokens = yield* Tokens

      return AccessTokens.of({
        issue: Effect.fn("AccessTokens.issue")(function* (actor, id, { minValidity, resource: wanted } = {}) {
          const account = Option.getOrUndefined(yield* accounts.get(id))
          if (account === undefined) return yield* new AccountNotFound({ accountId: id })
          const resource = wanted ?? resourceOf(account.provider, account.channel)
          const expected = resourcesOf(account)
          if (!expected.includes(resource)) {
            const message = `Expected ${expected.join(" or ")}: the account is at ${account.provider}`
            return yield* new WrongResource({ expected, message })
          }
          const record = (outcome: string) =>
            audit.record({
              actor,
              action: "access_token",
              accountId: account.id,
              grantId: account.grantId,
              resource,
              outcome,
            })
          const token = yield* (account.status === "disabled" ? Effect.fail(disabled) : tokens.accessToken(
            account.grantId,
            resource,
            minValidity === undefined ? {} : { minValidity },
          )).pipe(Effect.tapError(({ code }) => record(code)))
          yield* record("issued")
          return token
        }),
      })
    }),
  )
}

/** What an account can be asked for. */
const resourcesOf = ({ provider }: Account): ReadonlyArray<Resource> =>
  provider === "google" ? ["gmail"] : ["graph", "outlook-imap"]

const disabled = new ProviderError({
  class: "blocked",
  code: "account_disabled",
  message: "the account is disabled: set its status to active first",
  notSent: true,
})
