/** What became of an account that was deleted. */
import { Schema } from "effect"
import { Provider } from "./Account.ts"

/**
 * - `pending`: the provider is being asked
 * - `revoked`: the provider takes the refresh token no more
 * - `unsupported`: the provider lets nobody revoke a single grant (Microsoft): the user, or an administrator, can
 * - `not_needed`: there was no refresh token, or other accounts are read by it
 * - `failed`: the provider could not be brought to it within a day
 */
export const Revocation = Schema.Literals(["pending", "revoked", "unsupported", "not_needed", "failed"])
export type Revocation = typeof Revocation.Type

/** The receipt of a deletion. Neither address nor id of the account is in it once it has ended. */
export const Erasure = Schema.Struct({
  id: Schema.String,
  state: Schema.Literals(["running", "completed"]),
  /** The account's pseudonym in the audit log. */
  subject: Schema.String,
  provider: Provider,
  requestedAt: Schema.DateTimeUtcFromString,
  /** When nothing of the account was left. */
  finishedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** `kept`: other accounts are read by it, or it is a whole tenant's. */
  grant: Schema.Literals(["deleted", "kept"]),
  revocation: Revocation,
  /** Rows that were deleted; of items of runs, and of entries of the audit log of long ago, those that name nobody any more. */
  erased: Schema.Struct({
    messages: Schema.Int,
    bodies: Schema.Int,
    folders: Schema.Int,
    changes: Schema.Int,
    runItems: Schema.Int,
    events: Schema.Int,
    connectSessions: Schema.Int,
    auditEntries: Schema.Int,
  }),
})
export type Erasure = typeof Erasure.Type
