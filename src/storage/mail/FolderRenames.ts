/** Folders that go on under another remote id, with their mail and, but for a change of channel, their cursors. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { AccountId } from "../../domain/Ids.ts"
import { column, type Database } from "../Database.ts"
import type { FolderState } from "./Folders.ts"

/**
 * Leaves an account's channel, as part of the caller's transaction: folders and mail stay, to be found again by the next
 * listing and by twin keys. Cursors are dropped, and whoever is reading the mailbox loses the lease.
 */
export const leaveChannel = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    yield* sql`update ${t.accounts} set sync_lease_fence = sync_lease_fence + 1, sync_lease_until = null,
        sync_due_at = case when status = 'active' then now() end
      where id = ${accountId}`
    // Ids that no provider gives, so that those of two channels never meet.
    yield* sql`update ${t.folders} f set earlier = true, remote_id = 'earlier ' || f.id, parent_remote_id = (
          select 'earlier ' || p.id from ${t.folders} p where p.account_id = f.account_id and p.remote_id = f.parent_remote_id),
        followed_by = null, cursor = null, cursor_at = null, in_round = false, listed = false, origin = 'reconcile',
        reconciled_at = null, difference = null,
        round = 1 + (select max(o.round) from ${t.folders} o where o.account_id = f.account_id)
      where f.account_id = ${accountId}`
    // Index: messages_elsewhere.
    yield* sql`update ${t.messages} set also_in = null where account_id = ${accountId} and also_in is not null`
    // What housekeeping has not come to yet must be known by its twin key now.
    yield* sql`insert into ${t.message_index} (account_id, message_id, received_at, twin_key, thread_id, wants_body)
      select account_id, id, coalesce(received_at, '-infinity'), left(trim(internet_message_id), 500), left(thread_id, 500),
        body_state = 'headers'
      from ${t.messages} where account_id = ${accountId}
      on conflict (account_id, message_id) do nothing`
  })

/**
 * Gives stored folders their new remote ids. Messages keep theirs: over IMAP they name the path under which the folder was first
 * listed, and so does its cursor.
 */
export const renameFolders = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  carried: ReadonlyMap<string, FolderState>,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    const named = (pairs: ReadonlyArray<readonly [id: string, remoteId: string]>) =>
      sql`update ${t.folders} f set remote_id = n.remote_id, earlier = false
        from unnest(${column("uuid", pairs.map(([id]) => id))}, ${column("text", pairs.map(([, to]) => to))})
          as n (id, remote_id)
        where f.account_id = ${accountId} and f.id = n.id`
    // Two folders may have changed names: by way of ids that no other has.
    yield* named([...carried.values()].map(({ id }) => [id, `moving ${id}`]))
    yield* named([...carried].map(([remoteId, { id }]) => [id, remoteId]))
  })

/** Folders of the channel before that the present one does not show: their mail is left to be settled. */
export const dropEarlier = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    const gone = yield* sql<{ id: string }>`update ${t.folders} set gone = true, earlier = false
      where account_id = ${accountId} and earlier returning id`
    if (gone.length === 0) return
    // Index: messages_of_folder.
    yield* sql`update ${t.messages} set removed_at = now(), removed_origin = 'reconcile', updated_at = now()
      where account_id = ${accountId} and folder_id = any (${column("uuid", gone.map(({ id }) => id))})
        and removed_at is null`
  })
