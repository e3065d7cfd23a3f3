/**
 * The channel of an account for which nobody chose one. What was granted decides, as the provider's answers tell it: Graph where
 * its scopes let mail be read, else IMAP where a token for that can be had. Tokens are never looked into.
 */
import { Effect, Result } from "effect"
import type { Channel, Resource } from "../domain/Account.ts"
import { canReadMail, namePermissions } from "../domain/ConnectSession.ts"
import type { GrantId } from "../domain/Ids.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import type { GrantStore, LeasedGrant } from "./GrantStore.ts"
import type { Redemption, RedemptionFailure } from "./OAuthProvider.ts"

type Answer = Result.Result<Redemption, RedemptionFailure>

/** Only Microsoft's channels want tokens of their own: Google's opens both, as far as its scopes do. */
export const isProbed = (grant: Pick<LeasedGrant, "channelOpen" | "refreshToken">, resource: Resource): boolean =>
  grant.channelOpen && grant.refreshToken !== undefined && resource === "graph"

/** True for what says nothing of the grant as long as the other channel has not been tried. */
export const isUndecided = (
  grant: Pick<LeasedGrant, "channelOpen" | "refreshToken">,
  resource: Resource,
  error: ProviderError,
) => isProbed(grant, resource) && error.class === "scope"

/** Seconds until a grant is tried again whose channel could not be decided, for the provider did not answer. */
export const undecidedSeconds = 60

/**
 * After an answer for Graph to a grant with an open channel. `Chosen` with what IMAP answered, if that was asked; `Open` where
 * a fault that passes leaves it undecided.
 *
 * @param redeem redeems the grant for a resource, and records what comes of it
 */
export const chooseChannel = Effect.fnUntraced(function* <Token>(
  store: Pick<GrantStore["Service"], "chooseChannel">,
  grantId: GrantId,
  answer: Answer,
  redeem: (resource: Resource) => Effect.Effect<Token, ProviderError>,
): Effect.fn.Return<
  { readonly _tag: "Open" } | { readonly _tag: "Chosen"; readonly channel: Channel; readonly token?: Token }
> {
  if (Result.isFailure(answer) && answer.failure.error.class !== "scope") return { _tag: "Open" }
  if (Result.isSuccess(answer)) {
    const { scope } = answer.success
    // An answer that names no permission of Graph leaves out nothing in particular.
    if (scope === undefined || !namePermissions(scope) || canReadMail("microsoft", "graph", scope)) {
      yield* store.chooseChannel(grantId, "graph")
      return { _tag: "Chosen", channel: "graph" }
    }
  }
  const imap = yield* Effect.result(redeem("outlook-imap"))
  if (Result.isSuccess(imap)) {
    yield* store.chooseChannel(grantId, "imap")
    return { _tag: "Chosen", channel: "imap", token: imap.success }
  }
  const { class: failureClass, notSent } = imap.failure
  if (failureClass === "transient" || failureClass === "throttled" || notSent === true) return { _tag: "Open" }
  yield* store.chooseChannel(grantId, "graph")
  return { _tag: "Chosen", channel: "graph" }
})
