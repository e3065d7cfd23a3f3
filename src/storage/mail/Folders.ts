/** Folders: what the provider listed, and how far each one is synced. */
import { Context, DateTime, Effect, Layer } from "effect"
import { type AccountId, type FolderId, isId, newId } from "../../domain/Ids.ts"
import type { ChangeOrigin, Folder, FolderRole } from "../../domain/Mail.ts"
import type { RemoteFolder } from "../../mail/Mailbox.ts"
import { Database, orDie } from "../Database.ts"
import { carriedOver } from "./FolderMatch.ts"
import { dropEarlier, renameFolders } from "./FolderRenames.ts"
import { postgresCount, postgresJson } from "../PostgresText.ts"
import { holdLease, type LeaseKey, LeaseLost } from "./SyncLeases.ts"

/** How far a folder is synced. */
export interface FolderState extends RemoteFolder {
  readonly id: FolderId
  /** Null = nothing of the present listing is stored. */
  readonly cursor: string | null
  /** When that was stored; null = long ago. */
  readonly cursorAt: Date | null
  /** True where `cursor` stands in the middle of a round, whose end brings the folder to a state of the past. */
  readonly inRound: boolean
  /** Which listing from the start this is; from 1. */
  readonly round: number
  /** True once that listing is complete. */
  readonly listed: boolean
  /** What entries of the change log get as their origin. */
  readonly origin: ChangeOrigin
  /** The provider says that it is deleted; its mail is not settled yet. */
  readonly gone: boolean
  /** Known from the channel before the present one, with the remote id that it had there; no listing has shown it since. */
  readonly earlier: boolean
}

interface FolderRow {
  readonly id: string | null
  readonly remote_id: string
  readonly parent_remote_id: string | null
  readonly display_name: string
  readonly role: FolderRole | null
  readonly remote_messages: number | null
  readonly cursor: string | null
  readonly in_round: boolean
  readonly round: number
  readonly listed: boolean
  readonly origin: ChangeOrigin
  readonly gone: boolean
  readonly followed_by: string | null
  readonly cursor_at: Date | null
  readonly earlier: boolean
}

interface ListedRow {
  readonly id: string
  readonly display_name: string
  readonly role: FolderRole | null
  readonly parent_id: string | null
  readonly messages: number
  readonly remote_messages: number | null
  readonly cursor_at: Date | null
  readonly reconciled_at: Date | null
  readonly difference: number | null
  readonly synced_at: Date | null
}

const timeOrNull = (date: Date | null): DateTime.Utc | null => date === null ? null : DateTime.fromDateUnsafe(date)

const stateColumns = `remote_id, parent_remote_id, display_name, role, remote_messages, cursor, in_round, round, listed,
  origin, gone, followed_by, cursor_at, earlier`

const toState = (row: FolderRow & { readonly id: string }): FolderState => ({
  id: row.id,
  remoteId: row.remote_id,
  parentRemoteId: row.parent_remote_id,
  displayName: row.display_name,
  role: row.role,
  totalItems: row.remote_messages,
  ...(row.followed_by === null ? {} : { followedBy: row.followed_by }),
  cursor: row.cursor,
  cursorAt: row.cursor_at,
  inRound: row.in_round,
  round: row.round,
  listed: row.listed,
  origin: row.origin,
  gone: row.gone,
  earlier: row.earlier,
})

const same = (state: FolderState, listed: RemoteFolder): boolean =>
  !state.gone && !state.earlier && state.followedBy === listed.followedBy &&
  state.parentRemoteId === listed.parentRemoteId && state.displayName === listed.displayName &&
  state.role === listed.role && state.totalItems === listed.totalItems

export class Folders extends Context.Service<Folders, {
  /** In the order that they were found. Unknown account = none. */
  readonly list: (accountId: AccountId) => Effect.Effect<ReadonlyArray<Folder>>
  /** All folders, those included that are gone but not settled. */
  readonly states: (key: LeaseKey) => Effect.Effect<ReadonlyArray<FolderState>, LeaseLost>
  /**
   * Stores a listing and answers as `states` does. A folder that is missing from the listing stays: a listing of nested
   * folders is not one snapshot. A folder that comes back is listed afresh. One that was renamed keeps its id, cursor and
   * mail. The first listing after a change of channel finds folders again by role, path or name; they keep id and mail, and
   * what it does not show is gone.
   */
  readonly store: (
    key: LeaseKey,
    before: ReadonlyArray<FolderState>,
    listing: ReadonlyArray<RemoteFolder>,
  ) => Effect.Effect<ReadonlyArray<FolderState>, LeaseLost>
  /** The remote ids of the messages that are stored in the folder and have not left it. */
  readonly storedIds: (key: LeaseKey, folderRemoteId: string) => Effect.Effect<ReadonlyArray<string>>
  /**
   * Writes down what a comparison of a folder with the provider came to: the messages that it counts, and how many the store
   * had too few (or, negative, too many) before it was put right.
   */
  readonly reconciled: (
    key: LeaseKey,
    folder: FolderState,
    outcome: { readonly remoteMessages: number; readonly difference: number },
  ) => Effect.Effect<void>
  /** After a lost cursor: the folder is listed from the start, and what that listing does not show will have left it. */
  readonly restart: (key: LeaseKey, folder: FolderState) => Effect.Effect<FolderState, LeaseLost>
}>()("mailfleet/storage/Folders") {
  static readonly layer: Layer.Layer<Folders, never, Database> = Layer.effect(
    Folders,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database

      const list = Effect.fn("Folders.list")(function* (accountId: AccountId) {
        if (!isId(accountId)) return []
        const rows = yield* sql<ListedRow>`select f.id, f.display_name, f.role, p.id as parent_id, f.messages,
            f.remote_messages, f.cursor_at, f.reconciled_at, f.difference, round_end.at as synced_at
          from ${t.folders} f
          join ${t.accounts} a on a.id = f.account_id
          left join ${t.folders} p on p.account_id = f.account_id and p.remote_id = f.parent_remote_id and not p.gone
          left join ${t.folders} o on o.account_id = f.account_id and o.remote_id = f.followed_by
          -- A round without news is not written down with each folder, but with the account.
          cross join lateral (select case when coalesce(o.listed and not o.in_round, f.listed and not f.in_round)
            then greatest(o.synced_at, f.synced_at, a.synced_at) else coalesce(o.synced_at, f.synced_at) end as at) round_end
          where f.account_id = ${accountId} and not f.gone order by f.id`
        return rows.map((row): Folder => ({
          id: row.id,
          displayName: row.display_name,
          ...(row.role === null ? {} : { role: row.role }),
          ...(row.parent_id === null ? {} : { parentId: row.parent_id }),
          messages: row.messages,
          remoteMessages: row.remote_messages,
          difference: row.remote_messages === null ? null : row.remote_messages - row.messages,
          syncedAt: timeOrNull(row.synced_at),
          cursorAt: timeOrNull(row.cursor_at),
          reconciled: row.reconciled_at === null
            ? null
            : { at: DateTime.fromDateUnsafe(row.reconciled_at), difference: row.difference ?? 0 },
        }))
      }, orDie)

      const states = Effect.fnUntraced(function* (key: LeaseKey) {
        const rows = yield* orDie(
          sql<FolderRow>`select f.id, ${sql.literal(stateColumns)}
          from ${t.accounts} a left join ${t.folders} f on f.account_id = a.id
          where a.id = ${key.accountId} and a.sync_lease_fence = ${key.fence} order by f.id`,
        )
        if (rows.length === 0) return yield* new LeaseLost()
        return rows.flatMap(({ id, ...row }) => id === null ? [] : [toState({ ...row, id })])
      })

      // Index: folders_account_id_remote_id_key.
      const upsertFolders = (
        key: LeaseKey,
        listed: ReadonlyArray<RemoteFolder>,
        fresh: { readonly origin: ChangeOrigin; readonly round: number } | undefined,
      ) => {
        const folders = postgresJson(listed.map((folder) => ({
          id: newId(),
          remote_id: folder.remoteId,
          parent_remote_id: folder.parentRemoteId,
          display_name: folder.displayName,
          role: folder.role,
          followed_by: folder.followedBy ?? null,
          remote_messages: postgresCount(folder.totalItems),
        })))
        return sql`insert into ${t.folders} as f
            (account_id, id, remote_id, parent_remote_id, display_name, role, followed_by, remote_messages, round, origin)
          select a.id, n.id, n.remote_id, n.parent_remote_id, n.display_name, n.role, n.followed_by, n.remote_messages,
            ${fresh?.round ?? 1}, coalesce(${
          fresh?.origin ?? null
        }, case when a.synced_at is null then 'backfill' else 'live' end)
          from ${t.accounts} a, json_to_recordset(${folders}::json) as n (id uuid, remote_id text,
            parent_remote_id text, display_name text, role text, followed_by text, remote_messages integer)
          where a.id = ${key.accountId} and a.sync_lease_fence = ${key.fence}
          order by n.id
          on conflict (account_id, remote_id) do update set
            parent_remote_id = excluded.parent_remote_id, display_name = excluded.display_name, role = excluded.role,
            followed_by = excluded.followed_by, remote_messages = excluded.remote_messages, gone = false,
            cursor = case when not f.gone then f.cursor end, in_round = f.in_round and not f.gone,
            listed = f.listed and not f.gone, round = f.round + f.gone::int,
            origin = case when f.gone then 'reconcile' else f.origin end`
      }

      const store = Effect.fn("Folders.store")(
        function* (key: LeaseKey, before: ReadonlyArray<FolderState>, listing: ReadonlyArray<RemoteFolder>) {
          const carried = carriedOver(before, listing)
          const hasEarlier = before.some(({ earlier }) => earlier)
          const known = new Map(before.map((state) => [state.remoteId, state]))
          const changed = listing.filter((folder) => {
            const state = carried.get(folder.remoteId) ?? known.get(folder.remoteId)
            return state === undefined || !same(state, folder)
          })
          if (changed.length === 0 && carried.size === 0 && !hasEarlier) return before
          const upsert = upsertFolders(
            key,
            [...new Map(changed.map((folder) => [folder.remoteId, folder])).values()],
            // After a change of channel the new one's folders are compared as all others are.
            hasEarlier ? { origin: "reconcile", round: Math.max(...before.map(({ round }) => round)) } : undefined,
          )
          if (carried.size === 0 && !hasEarlier) yield* orDie(upsert)
          else {
            yield* sql.withTransaction(Effect.gen(function* () {
              yield* holdLease(database, key)
              yield* renameFolders(database, key.accountId, carried)
              yield* upsert
              if (hasEarlier) yield* dropEarlier(database, key.accountId)
            })).pipe(Effect.catchTag("SqlError", Effect.die))
          }
          return yield* states(key)
        },
      )

      const restart = Effect.fn("Folders.restart")(function* (key: LeaseKey, folder: FolderState) {
        const rows = yield* sql<FolderRow & { readonly id: string }>`update ${t.folders} set
            cursor = null, cursor_at = null, in_round = false, listed = false, round = round + 1,
            origin = case when synced_at is null then origin else 'reconcile' end
          where account_id = ${key.accountId} and id = ${folder.id} and round = ${folder.round}
          returning id, ${sql.literal(stateColumns)}`
        return rows[0] === undefined ? yield* new LeaseLost() : toState(rows[0])
      }, (effect, key) =>
        sql.withTransaction(Effect.andThen(holdLease(database, key), effect)).pipe(
          Effect.catchTag("SqlError", Effect.die),
        ))

      // Index: messages_of_folder.
      const storedIds = ({ accountId }: LeaseKey, folderRemoteId: string) =>
        sql<{ remote_id: string }>`select m.remote_id from ${t.folders} f
          join ${t.messages} m on m.account_id = f.account_id and m.folder_id = f.id and m.removed_at is null
          where f.account_id = ${accountId} and f.remote_id = ${folderRemoteId}`.pipe(
          Effect.map((rows) => rows.map(({ remote_id }) => remote_id)),
          Effect.orDie,
        )

      const reconciled = Effect.fnUntraced(function* (
        key: LeaseKey,
        folder: FolderState,
        outcome: { readonly remoteMessages: number; readonly difference: number },
      ) {
        yield* sql`update ${t.folders} set remote_messages = ${outcome.remoteMessages},
            difference = ${outcome.difference}, reconciled_at = now()
          where account_id = ${key.accountId} and id = ${folder.id} and exists (
            select 1 from ${t.accounts} where id = ${key.accountId} and sync_lease_fence = ${key.fence})`
      }, orDie)

      return Folders.of({ list, states, store, storedIds, reconciled, restart })
    }),
  )
}
