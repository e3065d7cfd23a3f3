/** What operators are told of the fleet as a whole. */
import { Schema } from "effect"

/**
 * - `app.faulted`: the provider refuses an app; nothing is sent for it, its accounts are left as they are
 * - `app.recovered`: its requests are sent again
 * - `reauth.spike`: so many users would have to sign in again at once that it is not believed without confirmation
 * - `reauth.spike_ended`: refusals are believed at once again
 */
export const EventKind = Schema.Literals(["app.faulted", "app.recovered", "reauth.spike", "reauth.spike_ended"])
export type EventKind = typeof EventKind.Type

export const Event = Schema.Struct({
  id: Schema.String,
  at: Schema.DateTimeUtcFromString,
  kind: EventKind,
  /** `provider:clientId`, `provider:clientId:tenant:resource`, or `fleet`. */
  subject: Schema.String,
  /** The provider's own code, such as `AADSTS7000222`. */
  code: Schema.optionalKey(Schema.String),
  /** What happened, and what to do. */
  message: Schema.String,
})
export type Event = typeof Event.Type
