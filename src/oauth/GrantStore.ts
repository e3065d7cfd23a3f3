/** The port to where grants are kept. `storage/Grants.ts` implements it. */
import type { DateTime, Effect, Option, Redacted } from "effect"
import { Context } from "effect"
import type { Resource } from "../domain/Account.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import type { GrantId } from "../domain/Ids.ts"
import type { AppCredentials } from "./OAuthProvider.ts"

/** A grant that this process alone may redeem, until the lease ends. */
export interface LeasedGrant {
  readonly id: GrantId
  readonly version: number
  /** Fencing number: grows with each lease, so that a holder who lost the lease can be told from the present one. */
  readonly fence: bigint
  readonly app: AppCredentials
  readonly refreshToken: Redacted.Redacted
  /** When it was last redeemed, in milliseconds of the database's clock; undefined = never yet. */
  readonly redeemedAt: number | undefined
  /** Failures of the same class in a row, and since when. */
  readonly failures: number
  readonly failingSeconds: number
  readonly failureClass: FailureClass | undefined
}

export type LeaseAnswer =
  /** `takenOver`: from a holder that let it run out, as after a crash. */
  | { readonly _tag: "Leased"; readonly grant: LeasedGrant; readonly takenOver: boolean }
  | { readonly _tag: "Held"; readonly version: number; readonly redeemedAt: number | undefined }
  | { readonly _tag: "Missing" }
  /** All of its accounts are disabled: nothing may contact the provider. */
  | { readonly _tag: "Disabled" }
  /** Its secret cannot be decrypted; nobody holds the lease. */
  | { readonly _tag: "Unreadable"; readonly message: string }

/** What one redemption came to. Times are seconds from now, on the database's clock. */
export type Settlement =
  | {
    readonly _tag: "Redeemed"
    readonly grant: LeasedGrant
    readonly resource: Resource
    readonly accessToken: Redacted.Redacted
    readonly expiresInSeconds: number
    /** The rotated refresh token; undefined = the provider sent none, the stored one stays. */
    readonly refreshToken: Redacted.Redacted | undefined
    /** When it is due next, by the policy that it follows at the time of writing. */
    readonly dueInSeconds: { readonly keepAlive: number; readonly warm: number }
  }
  | {
    readonly _tag: "Failed"
    readonly grant: LeasedGrant
    readonly class: FailureClass
    readonly code: string
    readonly message: string
    readonly traceId: string | undefined
    readonly correlationId: string | undefined
    /** The status that the class calls for; undefined = the accounts stay as they are. */
    readonly status: "needs_reauth" | "blocked" | undefined
    readonly attemptInSeconds: number
    /** Whether the due time moves along: no where the grant is not at fault, so that its lag is seen. */
    readonly movesDue: boolean
  }

/** False: the grant's version moved or the lease was lost meanwhile, and nothing was written. */
export type Settled = { readonly applied: boolean; readonly expiresAt: DateTime.Utc | undefined }

/** No call is part of a transaction that its caller is in. */
export class GrantStore extends Context.Service<GrantStore, {
  /**
   * Takes the leases for 20 s where nobody holds them; answers in the order of `ids`, which are distinct. A lease outlives
   * the token timeout of 8 s and ends by itself after a crash.
   */
  readonly lease: (ids: ReadonlyArray<GrantId>) => Effect.Effect<ReadonlyArray<LeaseAnswer>>
  /** Stores all of them, redemptions together and failures together; durable when it returns, answers in the order of `batch`. */
  readonly settle: (batch: ReadonlyArray<Settlement>) => Effect.Effect<ReadonlyArray<Settled>>
  /** Gives a lease back unused. */
  readonly release: (grant: LeasedGrant) => Effect.Effect<void>
  /** The cached access token, if it stays valid for `minValiditySeconds`. */
  readonly accessToken: (
    id: GrantId,
    resource: Resource,
    minValiditySeconds: number,
  ) => Effect.Effect<Option.Option<{ readonly token: Redacted.Redacted; readonly expiresAt: DateTime.Utc }>>
  /** Puts off the next attempt, where nothing was sent and so nothing is to be settled. The due time stays. */
  readonly postpone: (id: GrantId, seconds: number) => Effect.Effect<void>
  /** The app of a grant; none = the grant is gone. */
  readonly app: (id: GrantId) => Effect.Effect<Option.Option<Pick<AppCredentials, "provider" | "clientId" | "tenant">>>
}>()("mailfleet/oauth/GrantStore") {}
