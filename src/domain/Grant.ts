/** Grants: what a user or an administrator allowed an app to do. */
import { Schema } from "effect"
import { Provider, RefreshPolicy, TokenFailure } from "./Account.ts"
import { AccountId, AppId, GrantId } from "./Ids.ts"

/**
 * - `refresh_token`: of a user who signed in
 * - `client_credentials`: of an administrator, for all mailboxes of a tenant (Microsoft); the app proves itself, nothing is kept
 * - `service_account`: of a Google service account with domain-wide delegation, for one mailbox
 */
export const GrantKind = Schema.Literals(["refresh_token", "client_credentials", "service_account"])
export type GrantKind = typeof GrantKind.Type

/** What is redeemed for access tokens. Its accounts are read by way of it; the secret itself is never shown. */
export const Grant = Schema.Struct({
  id: GrantId,
  kind: GrantKind,
  appId: AppId,
  provider: Provider,
  clientId: Schema.String,
  /** That of the grant, else of its app. Empty at Google. */
  tenant: Schema.String,
  /** Who signed in, by the provider's id, or the mailbox that a service account reads; absent = not known. */
  subject: Schema.optionalKey(Schema.String),
  /** How many accounts are on it. */
  accounts: Schema.Int,
  refreshedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  policy: RefreshPolicy,
  /** When it is redeemed next by itself; null = only when a token is needed. */
  nextRefreshAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  lastError: Schema.optionalKey(TokenFailure),
  createdAt: Schema.DateTimeUtcFromString,
})
export type Grant = typeof Grant.Type

/** A grant cannot be made, or not be used so. `code` is stable; `message` says what was expected. */
export class GrantRefused extends Schema.TaggedError<GrantRefused>()("GrantRefused", {
  code: Schema.Literals([
    "app_not_found",
    "app_is_public",
    "app_has_no_key",
    "wrong_provider",
    "invalid_tenant",
    "invalid_mailbox",
    "grant_is_delegated",
    "grant_of_one_mailbox",
    "mailbox_taken",
  ]),
  message: Schema.String,
}) {}

/** The grant has accounts: it goes with the last of them, or after them. */
export class GrantInUse extends Schema.TaggedError<GrantInUse>()("GrantInUse", { accounts: Schema.Int }) {}

/** The most mailboxes that one call adds. */
export const mostMailboxes = 1_000

/** What became of one mailbox that was to be added to a grant. */
export const MailboxOutcome = Schema.Struct({
  email: Schema.String,
  /** `exists`: there is an account of this address already, on this grant or another; it is left as it is. */
  outcome: Schema.Literals(["created", "exists", "failed"]),
  accountId: Schema.optionalKey(AccountId),
  error: Schema.optionalKey(Schema.Struct({ code: Schema.String, message: Schema.String })),
})
export type MailboxOutcome = typeof MailboxOutcome.Type

/** A mailbox of a tenant, as its directory lists it. */
export const TenantMailbox = Schema.Struct({
  email: Schema.String,
  displayName: Schema.optionalKey(Schema.String),
  /** The account that reads it; absent = none yet. */
  accountId: Schema.optionalKey(AccountId),
})
export type TenantMailbox = typeof TenantMailbox.Type
