/** Deleting an account: it is gone at once, and what was stored of it is left to `Erasures`. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Provider } from "../domain/Account.ts"
import type { Revocation } from "../domain/Erasure.ts"
import type { GrantKind } from "../domain/Grant.ts"
import { type AccountId, type ErasureId, newId } from "../domain/Ids.ts"
import { nameSubjects } from "./AuditSubjects.ts"
import type { Database } from "./Database.ts"

interface RemovedRow {
  readonly grant_id: string
  readonly kind: GrantKind
  readonly secret: Uint8Array | null
  readonly provider: Provider
  readonly email_key: string
}

const revocationOf = ({ kind, provider, secret }: RemovedRow, grantDeleted: boolean): Revocation =>
  !grantDeleted || kind !== "refresh_token" || secret === null
    ? "not_needed"
    : provider === "google"
    ? "pending"
    : "unsupported"

/**
 * Deletes the account's row, its grant where no other account uses it, unless it is a tenant's, and whatever else goes with
 * those; notes what remains to be done. To be run in a transaction. Undefined = there was no such account.
 */
export const removeAccount = (
  database: Database["Service"],
  id: AccountId,
): Effect.Effect<{ readonly erasureId: ErasureId; readonly grantId: string } | undefined, SqlError.SqlError> =>
  Effect.gen(function* () {
    const { sql, tables: t } = database
    const found = yield* sql<RemovedRow>`select g.id as grant_id, g.kind, g.secret, a.provider, a.email_key
      from ${t.grants} g join ${t.accounts} a on a.grant_id = g.id where a.id = ${id} for update of g, a`
    const removed = found[0]
    if (removed === undefined) return undefined
    const { email_key, grant_id, provider, secret } = removed
    yield* nameSubjects(database, [id])
    yield* sql`delete from ${t.accounts} where id = ${id}`
    const grants = yield* sql`delete from ${t.grants} g where id = ${grant_id} and kind <> 'client_credentials'
      and not exists (select 1 from ${t.accounts} a where a.grant_id = g.id) returning 1`
    const grantDeleted = grants.length > 0
    const revocation = revocationOf(removed, grantDeleted)
    const erasureId = newId()
    yield* sql`insert into ${t.erasures} (id, account_id, email_key, subject, provider, grant_id, grant_deleted, secret, revocation)
      select ${erasureId}, ${id}, ${email_key}, s.pseudonym, ${provider}, ${grant_id}, ${grantDeleted},
        ${revocation === "pending" ? secret : null}, ${revocation}
      from ${t.audit_subjects} s where s.account_id = ${id}`
    return { erasureId, grantId: grant_id }
  })
