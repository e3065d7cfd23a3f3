/** Writing to the change log. Reading it is `Changes`. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { ChangeKind, ChangeOrigin } from "../../domain/Mail.ts"
import type { AccountId, FolderId, MessageId } from "../../domain/Ids.ts"
import { column, type Database, notForLong } from "../Database.ts"

export interface NewChange {
  readonly accountId: AccountId
  readonly kind: ChangeKind
  readonly origin: ChangeOrigin
  readonly messageId?: MessageId
  readonly folderId?: FolderId
  readonly fields?: ReadonlyArray<string>
}

/**
 * Appends entries as the last act of the caller's transaction.
 *
 * The lock is held until that transaction commits: positions are taken in the order of commits, so a reader who pages by
 * position never skips an entry that commits late.
 */
export const appendChanges = (
  { sql, tables: t, changesLock }: Database["Service"],
  changes: ReadonlyArray<NewChange>,
): Effect.Effect<void, SqlError.SqlError> =>
  changes.length === 0 ? Effect.void : Effect.asVoid(
    // Rows are joined to the lock, so that it is held before the first of them takes its position.
    sql`with locked as materialized (select pg_advisory_xact_lock(${changesLock}), ${sql.literal(notForLong)})
      insert into ${t.changes} (account_id, kind, origin, message_id, folder_id, fields)
      select account_id, kind, origin, message_id, folder_id, string_to_array(fields, ',')
      from locked cross join unnest(${column("uuid", changes.map(({ accountId }) => accountId))},
        ${column("text", changes.map(({ kind }) => kind))}, ${column("text", changes.map(({ origin }) => origin))},
        ${column("uuid", changes.map(({ messageId }) => messageId ?? null))},
        ${column("uuid", changes.map(({ folderId }) => folderId ?? null))},
        ${column("text", changes.map(({ fields }) => fields?.join(",") ?? null))})
        with ordinality as new (account_id, kind, origin, message_id, folder_id, fields, place)
      order by place`,
  )
