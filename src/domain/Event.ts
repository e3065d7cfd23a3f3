/** What operators are told. */
import { Schema } from "effect"

/**
 * - `app.faulted`: the provider refuses an app; nothing is sent for it, its accounts are left as they are
 * - `app.recovered`: its requests are sent again
 * - `app.secret_expiring`: its secret or certificate ends soon, or has ended
 * - `reauth.spike`: so many users would have to sign in again at once that it is not believed without confirmation
 * - `reauth.spike_ended`: refusals are believed at once again
 * - `account.needs_reauth`: somebody must sign in again, or an administrator allow the access
 * - `account.blocked`: an administrator must act, or the provider locked it
 * - `account.recovered`: an account that was told of by one of these two is active again
 * - `grant.ending`: a refresh token ends soon unless it is used, or somebody signs in again
 * - `run.finished`: an import, refresh or sync that somebody asked for has ended, however it ended
 * - `backup.restored`: the database is of a backup, and the change log goes on otherwise than it did
 * - `webhook.disabled`: nothing is sent to a webhook any more, for its receiver has not taken anything for days, or is gone
 */
export const EventKind = Schema.Literals([
  "app.faulted",
  "app.recovered",
  "app.secret_expiring",
  "reauth.spike",
  "reauth.spike_ended",
  "account.needs_reauth",
  "account.blocked",
  "account.recovered",
  "grant.ending",
  "run.finished",
  "backup.restored",
  "webhook.disabled",
])
export type EventKind = typeof EventKind.Type

/** Something that operators should know of the fleet as a whole. */
export const Event = Schema.Struct({
  id: Schema.String,
  at: Schema.DateTimeUtcFromString,
  kind: EventKind,
  /** `provider:clientId`, `provider:clientId:tenant`, `provider:clientId:tenant:resource`, `fleet`, the id of an account, a grant, a run or a webhook. */
  subject: Schema.String,
  /** The provider's own code, such as `AADSTS7000222`; of `grant.ending` how long before it is told, of `run.finished` its state. */
  code: Schema.optionalKey(Schema.String),
  /** What happened, and what to do. */
  message: Schema.String,
  /** Of `account.needs_reauth`: where the user, or the administrator, signs in again. Absent = a service account reads it. */
  reconnectUrl: Schema.optionalKey(Schema.String),
})
export type Event = typeof Event.Type
