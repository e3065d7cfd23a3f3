/** Accounts and what describes them. */
import { Schema } from "effect"
import { FailureClass } from "./FailureClass.ts"
import { AccountId, GrantId } from "./Ids.ts"
import { MailChoice } from "./MailChoice.ts"

/** Where a mailbox is. */
export const Provider = Schema.Literals(["microsoft", "google"])
export type Provider = typeof Provider.Type

/** How a mailbox is read. */
export const Channel = Schema.Literals(["graph", "gmail", "imap"])
export type Channel = typeof Channel.Type

/** What an access token opens. One access token, one resource (Microsoft identity platform, scopes and permissions). */
export const Resource = Schema.Literals(["graph", "outlook-imap", "gmail"])
export type Resource = typeof Resource.Type

/**
 * - `pending`: stored, not yet redeemed
 * - `active`: the last redemption succeeded, or failed for a reason that passes by itself
 * - `needs_reauth`: the user must sign in again
 * - `blocked`: an administrator must act, or the provider locked it; re-checked slowly
 * - `disabled`: switched off by the operator; nothing contacts the provider
 */
export const AccountStatus = Schema.Literals(["pending", "active", "needs_reauth", "blocked", "disabled"])
export type AccountStatus = typeof AccountStatus.Type

/**
 * When a grant is redeemed by itself.
 *
 * - `keep-alive`: every `MAILFLEET_REFRESH_EVERY`, so that the refresh token does not die of disuse
 * - `warm`: before its access token ends, so that a valid one is always at hand
 */
export const RefreshPolicy = Schema.Literals(["keep-alive", "warm"])
export type RefreshPolicy = typeof RefreshPolicy.Type

/**
 * By whose right a mailbox is read.
 *
 * - `own`: that of its user, who signed in
 * - `shared`: that of another user, who may open it
 * - `app-only`: that of the app, which an administrator gave it for the whole tenant (Microsoft)
 * - `service-account`: that of a service account with domain-wide delegation (Google)
 */
export const Access = Schema.Literals(["own", "shared", "app-only", "service-account"])
export type Access = typeof Access.Type

/** The resource that a channel reads through. */
export const resourceOf = (provider: Provider, channel: Channel): Resource =>
  provider === "google" ? "gmail" : channel === "imap" ? "outlook-imap" : "graph"

/** The last failure of a piece of work, as an operator sees it. Never holds a secret. */
export const Failure = Schema.Struct({
  code: Schema.String,
  message: Schema.String,
  at: Schema.DateTimeUtcFromString,
})
export type Failure = typeof Failure.Type

/** Why the last redemption of a grant failed. Ids are the provider's own, for its support. */
export const TokenFailure = Schema.Struct({
  ...Failure.fields,
  class: FailureClass,
  traceId: Schema.optionalKey(Schema.String),
  correlationId: Schema.optionalKey(Schema.String),
  /** Failures of this class in a row, and since when. */
  count: Schema.Int,
  since: Schema.DateTimeUtcFromString,
})
export type TokenFailure = typeof TokenFailure.Type

/** One mailbox at one provider. Unique by (provider, address without regard to case). */
export const Account = Schema.Struct({
  id: AccountId,
  email: Schema.String,
  provider: Provider,
  channel: Channel,
  grantId: GrantId,
  clientId: Schema.String,
  tenant: Schema.String,
  /** By whose right it is read. */
  access: Access,
  status: AccountStatus,
  /** When the status last changed. */
  statusSince: Schema.DateTimeUtcFromString,
  /** Why the status is what it is; absent while all is well. */
  statusReason: Schema.optionalKey(Schema.String),
  /** In `needs_reauth` only: where the user, or the administrator, signs in again. The same for as long as the account is there. */
  reconnectUrl: Schema.optionalKey(Schema.String),
  tags: Schema.Array(Schema.String),
  /** The account's own choice; absent = that of its tags, else `keep-alive`. */
  refreshPolicy: Schema.optionalKey(RefreshPolicy),
  /** What is kept of its mail: its own choice, and for the rest the one of the settings. */
  mail: MailChoice,
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
  token: Schema.Struct({
    /** Grows by one with each rotation of the refresh token. */
    version: Schema.Int,
    refreshedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
    /** When the newest cached access token ends. */
    expiresAt: Schema.NullOr(Schema.DateTimeUtcFromString),
    /** What is followed: the account's own policy, or that of its tags, or of another account on the same grant. */
    policy: RefreshPolicy,
    /** When it is tried next; null = not by itself. */
    nextRefreshAt: Schema.NullOr(Schema.DateTimeUtcFromString),
    /** When the refresh token ends unless it is used, or somebody signs in again, before; absent = it does not, or has ended. */
    endsAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
    lastError: Schema.optionalKey(TokenFailure),
  }),
  sync: Schema.Struct({
    /** End of the last complete round over all folders. */
    syncedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
    nextSyncAt: Schema.NullOr(Schema.DateTimeUtcFromString),
    messages: Schema.Int,
    lastError: Schema.optionalKey(Failure),
  }),
})
export type Account = typeof Account.Type
