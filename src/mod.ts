/**
 * Mailfleet as a library: imports, token refresh and mail sync inside your own program, in your own Postgres.
 *
 * Start at {@link Mailfleet}. What is not exported here is not public.
 *
 * @module
 */

// Layers and programs
export {
  type AccountSelection,
  type ImportFile,
  ImportFileBroken,
  type ImportFileOptions,
  Mailfleet,
  RunNotFound,
  type RunOptions,
} from "./schedules/Mailfleet.ts"
export type { MailfleetOptions } from "./schedules/MailfleetOptions.ts"
export {
  createMailfleet,
  type CreateOptions,
  type ItemOf,
  type ListName,
  type MailfleetMethods,
  type MailfleetPromises,
  type OptionsOf,
  type WithAll,
} from "./schedules/createMailfleet.ts"
export type { Given, Plain, Untouched } from "./promises/Plain.ts"
export type { GivenAll, Promised } from "./promises/Promised.ts"
export type { AccessToken } from "./oauth/Tokens.ts"
export type { AccessTokenOptions } from "./programs/AccessTokens.ts"
export type { AccountFilter, AccountListOptions, AccountPatch } from "./storage/Accounts.ts"
export type { MessageFilter } from "./storage/mail/Messages.ts"
export type { AppLag, Lag, RefreshLag } from "./storage/grants/RefreshLag.ts"
export type { Counts, FleetStats, SyncReach, SyncStats } from "./storage/Stats.ts"
export type { EndingGrants } from "./storage/grants/Endings.ts"
export type { SyncLag } from "./storage/mail/SyncLag.ts"
export { MailChoice, type OwnMailChoice } from "./domain/MailChoice.ts"

// The HTTP API; its typed client is `client.ts`
export { Api } from "./api/Api.ts"

// Errors
export { ProviderError } from "./domain/ProviderError.ts"
export { codeOf, FailureClass, isRetryable } from "./domain/FailureClass.ts"
export { SettingsError } from "./domain/Settings.ts"
export { AccountNotFound, WrongResource } from "./programs/AccessTokens.ts"
export { DuplicateApp } from "./programs/AppRequests.ts"
export { DuplicateAccount, ImportRefused, type NewAccount } from "./programs/RunRequests.ts"
export { InvalidCursor } from "./storage/Cursor.ts"
export { PositionExpired } from "./storage/mail/Positions.ts"
export { DatabaseError } from "./storage/Database.ts"
export { IdempotencyConflict } from "./storage/runs/Runs.ts"

// The words of the domain
export {
  Access,
  Account,
  AccountStatus,
  Channel,
  Failure,
  Provider,
  RefreshPolicy,
  Resource,
} from "./domain/Account.ts"
export { App, type AppPatch, AppScopes, InvalidApp, type NewApp, Registration } from "./domain/App.ts"
export { AuditFault, AuditHead, AuditLink, AuditVerdict, linkHash, verifyChain } from "./domain/AuditChain.ts"
export { AuditEntry } from "./domain/AuditEntry.ts"
export { Erasure, Revocation } from "./domain/Erasure.ts"
export { ConnectKind, ConnectSession, ConnectState, RefusalCode } from "./domain/ConnectSession.ts"
export { Event, EventKind } from "./domain/Event.ts"
export { AccountId, AppId, FolderId, GrantId, MessageId, RunId } from "./domain/Ids.ts"
export type { ImportFormat } from "./domain/ImportFile.ts"
export {
  Address,
  Change,
  ChangeKind,
  ChangeOrigin,
  Folder,
  FolderRole,
  Message,
  MessageWithBody,
} from "./domain/Mail.ts"
export { ItemError, OnDuplicate, Outcome, Run, RunItem, RunKind, RunState } from "./domain/Run.ts"
export { TagPolicy } from "./domain/TagPolicy.ts"
export {
  DeliveryOutcome,
  DeliveryState,
  InvalidWebhook,
  type NewWebhook,
  Webhook,
  WebhookDelivery,
  WebhookEvent,
  type WebhookPatch,
} from "./domain/Webhook.ts"
