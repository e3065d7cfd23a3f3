/** Who was given what. Never holds a secret. */
import { Schema } from "effect"
import { Resource } from "./Account.ts"
import { AccountId, GrantId } from "./Ids.ts"

/** Who was given which access token, or refused one. */
export const AuditEntry = Schema.Struct({
  id: Schema.String,
  at: Schema.DateTimeUtcFromString,
  /** The name of the key that the caller bore, `library`, or `session:` and the id of a connect session. */
  actor: Schema.String,
  action: Schema.Literals(["access_token", "sign_in", "admin_consent"]),
  /** Absent where a sign-in or a consent came to no account. */
  accountId: Schema.optionalKey(AccountId),
  grantId: Schema.optionalKey(GrantId),
  resource: Schema.optionalKey(Resource),
  /** `issued` or `connected`, or the code of the refusal. */
  outcome: Schema.String,
})
export type AuditEntry = typeof AuditEntry.Type
