/** Who was given what. Never holds a secret. */
import { Schema } from "effect"
import { Resource } from "./Account.ts"
import { AccountId, GrantId } from "./Ids.ts"

export const AuditEntry = Schema.Struct({
  id: Schema.String,
  at: Schema.DateTimeUtcFromString,
  /** The name of the key that the caller bore, or `library`. */
  actor: Schema.String,
  action: Schema.Literal("access_token"),
  accountId: AccountId,
  grantId: GrantId,
  resource: Resource,
  /** `issued`, or the code of the refusal. */
  outcome: Schema.String,
})
export type AuditEntry = typeof AuditEntry.Type
