/** The port to where grants are kept. `storage/Grants.ts` implements it. */
import type { DateTime, Effect, Option, Redacted } from "effect"
import { Context } from "effect"
import type { Channel, Resource } from "../domain/Account.ts"
import type { AppName } from "../domain/App.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import type { GrantId } from "../domain/Ids.ts"
import type { AppCredentials } from "./OAuthProvider.ts"

/** The right of this process alone to redeem a grant, until it ends; and how the grant stands. */
export interface GrantLease {
  readonly id: GrantId
  readonly version: number
  /** Fencing number: grows with each lease, so that a holder who lost the lease can be told from the present one. */
  readonly fence: bigint
  /**
   * When it ends by `Monotonic`, counted from before it was asked for: no later than by the database's clock, however long the
   * answer took or this process stood still.
   */
  readonly leasedUntil: number
  /** When it was last redeemed, in milliseconds of the database's clock; undefined = never yet. */
  readonly redeemedAt: number | undefined
  /** Seconds until its policy wants it redeemed; negative = it is late, undefined = it rests. */
  readonly dueInSeconds: number | undefined
  /** Failures of the same class in a row, and since when. */
  readonly failures: number
  readonly failingSeconds: number
  readonly failureClass: FailureClass | undefined
  /** It comes out of a backup, and was not redeemed since: its refresh token may be an old one. */
  readonly restored: boolean
}

/** A grant that can be redeemed. */
export interface LeasedGrant extends GrantLease {
  /** At the tenant of the grant. `updatedAt`: when the app was last changed, in milliseconds of the database's clock. */
  readonly app: AppCredentials & { readonly updatedAt: number }
  /** Undefined where there is none: the app is itself, at a tenant or in the place of `subject`. */
  readonly refreshToken: Redacted.Redacted | undefined
  /** The provider's id of who signed in, or the mailbox in whose place a service account stands; undefined = not known. */
  readonly subject: string | undefined
  /** Some account of it is read through a channel that nobody chose: the provider's answers do. */
  readonly channelOpen: boolean
}

export type LeaseAnswer =
  /** `takenOver`: from a holder that let it run out, as after a crash. */
  | { readonly _tag: "Leased"; readonly grant: LeasedGrant; readonly takenOver: boolean }
  | { readonly _tag: "Held"; readonly version: number; readonly redeemedAt: number | undefined }
  | { readonly _tag: "Missing" }
  /** All of its accounts are disabled: nothing may contact the provider. */
  | { readonly _tag: "Disabled" }
  /** It is leased, and cannot be redeemed: its refresh token, or the secret of its app, cannot be decrypted. */
  | { readonly _tag: "Unreadable"; readonly grant: GrantLease; readonly code: string; readonly message: string }

/** What one redemption came to. Times are seconds from now, on the database's clock. */
export type Settlement =
  | {
    readonly _tag: "Redeemed"
    readonly grant: GrantLease
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
    readonly grant: GrantLease
    readonly resource: Resource
    /**
     * A fault of the wanted permission (`scope`), or of the app (`app`), is recorded only where an account of the grant reads
     * through `resource`: what somebody asks for beside that says nothing of the accounts.
     */
    readonly class: FailureClass
    readonly code: string
    readonly message: string
    readonly traceId: string | undefined
    readonly correlationId: string | undefined
    /** A rotated refresh token that came in spite of the failure; undefined = the stored one stays. */
    readonly refreshToken: Redacted.Redacted | undefined
    /** False: it only puts off the next attempt. What an earlier answer said of the grant stays recorded. */
    readonly recorded: boolean
    /** The status that the class calls for; undefined = the accounts stay as they are. */
    readonly status: "needs_reauth" | "blocked" | undefined
    readonly attemptInSeconds: number
    /** Whether the due time moves along: no where the grant is not at fault, so that its lag is seen. */
    readonly movesDue: boolean
  }

/** What was refused, as it is kept on a grant. */
export interface StoredFailure {
  readonly class: FailureClass
  readonly code: string
  readonly message: string
  /** The provider's own ids of the exchange. */
  readonly traceId: string | null
  readonly correlationId: string | null
}

/** False: the grant's version moved or the lease was lost meanwhile, and nothing was written. */
export type Settled = { readonly applied: boolean; readonly expiresAt: DateTime.Utc | undefined }

/** No call is part of a transaction that its caller is in. */
export class GrantStore extends Context.Service<GrantStore, {
  /**
   * Takes the leases for 20 s where nobody holds them; answers in the order of `ids`, which are distinct. A lease outlives
   * the token timeout of 8 s, if the redemption begins soon, and ends by itself after a crash.
   */
  readonly lease: (ids: ReadonlyArray<GrantId>) => Effect.Effect<ReadonlyArray<LeaseAnswer>>
  /** Stores all of them, redemptions together and failures together; durable when it returns, answers in the order of `batch`. */
  readonly settle: (batch: ReadonlyArray<Settlement>) => Effect.Effect<ReadonlyArray<Settled>>
  /** Gives a lease back unused. */
  readonly release: (grant: GrantLease) => Effect.Effect<void>
  /** The cached access token, if it stays valid for `minValiditySeconds`, or is valid and was issued within the last minute. */
  readonly accessToken: (
    id: GrantId,
    resource: Resource,
    minValiditySeconds: number,
  ) => Effect.Effect<Option.Option<{ readonly token: Redacted.Redacted; readonly expiresAt: DateTime.Utc }>>
  /**
   * Why the grant was refused within the last two minutes, where asking for this resource again would only repeat it. None =
   * it was not, or it passes by itself.
   */
  readonly recentRefusal: (id: GrantId, resource: Resource) => Effect.Effect<Option.Option<StoredFailure>>
  /** Whether it was redeemed since then, in milliseconds of the database's clock. */
  readonly redeemedSince: (id: GrantId, since: number) => Effect.Effect<boolean>
  /** Puts off the next attempt, where nothing was sent and so nothing is to be settled. The due time stays. */
  readonly postpone: (id: GrantId, seconds: number) => Effect.Effect<void>
  /** Settles the channel of those accounts of a grant for which nobody chose one. They are due to be synced at once. */
  readonly chooseChannel: (id: GrantId, channel: Channel) => Effect.Effect<void>
  /** The app of a grant; none = the grant is gone. */
  readonly app: (id: GrantId) => Effect.Effect<Option.Option<AppName>>
}>()("mailfleet/oauth/GrantStore") {}
