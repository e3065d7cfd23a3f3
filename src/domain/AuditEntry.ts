/** Who was given what, and who changed what. Never holds a secret, nor an address. */
import { Schema } from "effect"
import { Resource } from "./Account.ts"
import { AccountId, GrantId } from "./Ids.ts"

/** An entry of the audit log, as operators read it. */
export const AuditEntry = Schema.Struct({
  /** Its position in the log: each is one more than the one before. */
  id: Schema.String,
  at: Schema.DateTimeUtcFromString,
  /**
   * The name of the key that the caller bore, after `dashboard:` where a browser did, `library`, or `session:` and the id of a
   * connect session.
   */
  actor: Schema.String,
  /**
   * `access_token`, `sign_in`, `admin_consent`; else the call of the API: `mail.message`, `accounts.update`, `runs.cancel`,
   * `session.create`.
   */
  action: Schema.String,
  /** Of an account that is there, or whose erasure is under way. Absent too where a sign-in or a consent came to no account. */
  accountId: Schema.optionalKey(AccountId),
  grantId: Schema.optionalKey(GrantId),
  /** What kind of access token. */
  resource: Schema.optionalKey(Resource),
  /** The id of the message, run, app, grant, webhook or key. Absent where the account it belonged to is erased. */
  objectId: Schema.optionalKey(Schema.String),
  /** The names, and never the values, of what a list was chosen by; the tag of a policy. */
  detail: Schema.optionalKey(Schema.String),
  /** `ok`, `issued` or `connected`, else the code of the refusal, or `interrupted`. */
  outcome: Schema.String,
  /** The pseudonym of the account. It stays when the account is erased. */
  subject: Schema.optionalKey(Schema.String),
  /** SHA-256 over the hash of the entry before and this entry. Absent = written before the log was chained. */
  hash: Schema.optionalKey(Schema.String),
})
export type AuditEntry = typeof AuditEntry.Type
