/** The port to a token endpoint: how a refresh token becomes an access token at one provider. */
import type { Effect, Redacted } from "effect"
import { Context } from "effect"
import type { Resource } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import type { Reach } from "../domain/FailureClass.ts"
import type { ProviderError } from "../domain/ProviderError.ts"

export type { AppCredentials }

export interface Redemption {
  readonly accessToken: Redacted.Redacted
  /** Seconds, as the provider said. */
  readonly expiresIn: number
  /** The successor of the redeemed token; absent where the provider does not rotate: the old one stays. */
  readonly refreshToken?: Redacted.Redacted
  /** What was granted, as the provider said. */
  readonly scope?: string
}

/** Why a redemption failed. */
export interface RedemptionFailure {
  readonly error: ProviderError
  /** What a throttled answer pauses (class `throttled`), or what a fault of the app stops (class `app`). */
  readonly reach?: Reach
  /** The successor of the redeemed token, where one came in spite of the failure: the old one may be void by now. */
  readonly refreshToken?: Redacted.Redacted
}

/** What an app is to be itself for. */
export interface AppOnlyRequest {
  /** Its tenant is that of the grant: an app is itself at one tenant. */
  readonly app: AppCredentials
  /** The mailbox in whose place a service account of Google stands. */
  readonly subject: string | undefined
  readonly resource: Resource
}

export class OAuthProvider extends Context.Service<OAuthProvider, {
  /**
   * Redeems a refresh token once, without retry. Answers within the token timeout; a network fault or a timeout is a
   * `transient` failure whose outcome at the provider is unknown.
   */
  readonly redeem: (request: {
    readonly app: AppCredentials
    readonly refreshToken: Redacted.Redacted
    readonly resource: Resource
  }) => Effect.Effect<Redemption, RedemptionFailure>
  /** The same where there is no refresh token: the app's own proof is enough. */
  readonly obtain: (request: AppOnlyRequest) => Effect.Effect<Redemption, RedemptionFailure>
}>()("mailfleet/oauth/OAuthProvider") {}
