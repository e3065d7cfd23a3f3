/** Writing mail: pages of changes, and what is left to settle when an account's round ends. */
import { Context, Effect, Layer } from "effect"
import type { SqlError } from "effect/sql"
import type { FolderId } from "../domain/Ids.ts"
import type { ChangeOrigin } from "../domain/Mail.ts"
import type { Page } from "../mail/Mailbox.ts"
import { appendChanges, type NewChange } from "./ChangeLog.ts"
import { column, Database } from "./Database.ts"
import type { FolderState } from "./Folders.ts"
import { type Merged, mergePage, sweepElsewhere, sweepFolder } from "./MessageMerge.ts"
import { holdLease, type LeaseKey, LeaseLost } from "./SyncLeases.ts"

/** Messages that one transaction settles or sweeps: long ones hold up the account's other pages and the change log. */
const batch = 500

/** No listing has this number: below it is everything. */
const everyRound = 2_147_483_647

export interface Applied {
  /** The folder as it stands now. */
  readonly folder: FolderState
  /** Entries that went to the change log. */
  readonly changes: number
  /** Messages that left their last known folder: moved or deleted, as the rest of the account's round will show. */
  readonly left: number
}

export class MessageWriter extends Context.Service<MessageWriter, {
  /**
   * Writes a page that was read from `folder.cursor`: messages, cursor, counts and change log in one transaction.
   * `LeaseLost` where the lease or the folder's position has moved on: then nothing is written.
   */
  readonly applyPage: (key: LeaseKey, folder: FolderState, page: Page) => Effect.Effect<Applied, LeaseLost>
  /** The provider says that the folder is deleted: its messages are left to be settled. */
  readonly abandon: (key: LeaseKey, folder: FolderState) => Effect.Effect<Pick<Applied, "changes" | "left">, LeaseLost>
  /** The database's time, to be handed to `settle` and `unsettled`. */
  readonly now: Effect.Effect<string>
  /** True where a message has left its last known folder since `time`. */
  readonly unsettled: (key: LeaseKey, time: string) => Effect.Effect<boolean>
  /**
   * Deletes what left its last known folder before `time` and has not been seen since, and the folders that are gone.
   * Right only once every folder's round has begun after `time` and ended. Answers the number of entries in the change log.
   */
  readonly settle: (key: LeaseKey, time: string) => Effect.Effect<number, LeaseLost>
}>()("mailfleet/storage/MessageWriter") {
  static readonly layer: Layer.Layer<MessageWriter, never, Database> = Layer.effect(
    MessageWriter,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database

      /** One transaction under the lease. Its SQL faults end the sync, which its next round takes up again. */
      const underLease = <A>(key: LeaseKey, effect: Effect.Effect<A, LeaseLost | SqlError.SqlError>) =>
        sql.withTransaction(Effect.andThen(holdLease(database, key), effect)).pipe(
          Effect.catchTag("SqlError", Effect.die),
        )

      /** Moves the counts of folders and account along. */
      const count = Effect.fnUntraced(function* (key: LeaseKey, byFolder: ReadonlyMap<FolderId, number>) {
        const moved = [...byFolder].filter(([, difference]) => difference !== 0)
        if (moved.length === 0) return
        yield* sql`update ${t.folders} f set messages = f.messages + d.difference
          from unnest(${column("uuid", moved.map(([id]) => id))}, ${column("int4", moved.map(([, value]) => value))})
            as d (id, difference)
          where f.account_id = ${key.accountId} and f.id = d.id`
        const total = moved.reduce((sum, [, difference]) => sum + difference, 0)
        if (total === 0) return
        yield* sql`update ${t.accounts} set messages = messages + ${total} where id = ${key.accountId}`
      })

      /** Counts and logs what merging found; the last act of a transaction. */
      const record = Effect.fnUntraced(
        function* (key: LeaseKey, origin: ChangeOrigin, merged: ReadonlyArray<Merged>) {
          const entries = merged.flatMap((one) => toEntry(key, origin, one))
          yield* count(key, countsOf(merged))
          yield* appendChanges(database, entries)
          return { changes: entries.length, left: merged.reduce((sum, { left }) => sum + (left ? 1 : 0), 0) }
        },
      )

      const applyPage = Effect.fn("MessageWriter.applyPage")(
        function* (key: LeaseKey, folder: FolderState, page: Page) {
          const place = { accountId: key.accountId, folderId: folder.id, round: folder.round, origin: folder.origin }
          const advance = sql`update ${t.folders} set cursor = ${page.cursor}, in_round = ${!page.roundComplete},
              listed = listed or ${page.roundComplete},
              origin = case when ${page.roundComplete} then 'live' else origin end,
              synced_at = case when ${page.roundComplete} then now() else synced_at end
            where account_id = ${key.accountId} and id = ${folder.id} and round = ${folder.round}
              and cursor is not distinct from ${folder.cursor}`
          const next: FolderState = {
            ...folder,
            cursor: page.cursor,
            inRound: !page.roundComplete,
            listed: folder.listed || page.roundComplete,
            origin: page.roundComplete ? "live" : folder.origin,
          }
          // A first listing finds only what is there; a later one must also take out what it did not show.
          const sweeps = page.roundComplete && !folder.listed && folder.round > 1

          // Nothing new, as in most rounds of most folders: one statement, no transaction. The cursor is the guard.
          if (page.changes.length === 0 && !sweeps) {
            const rows = yield* Effect.orDie(sql`${advance} and exists (
              select 1 from ${t.accounts} where id = ${key.accountId} and sync_lease_fence = ${key.fence}) returning 1`)
            return rows.length === 0 ? yield* new LeaseLost() : { folder: next, changes: 0, left: 0 }
          }
          const outcome = yield* underLease(
            key,
            Effect.gen(function* () {
              if ((yield* sql`${advance} returning 1`).length === 0) return yield* new LeaseLost()
              const merged = [...yield* mergePage(database, place, page.changes)]
              if (sweeps) {
                yield* sweepElsewhere(database, place)
                merged.push(...yield* sweepFolder(database, place, everyRound))
              }
              return yield* record(key, folder.origin, merged)
            }),
          )
          return { folder: next, ...outcome }
        },
      )

      const abandon = Effect.fn("MessageWriter.abandon")(function* (key: LeaseKey, folder: FolderState) {
        const place = { accountId: key.accountId, folderId: folder.id, round: everyRound, origin: folder.origin }
        const outcome = { changes: 0, left: 0 }
        for (let swept = batch; swept === batch;) {
          yield* underLease(
            key,
            Effect.gen(function* () {
              yield* sql`update ${t.folders} set gone = true where account_id = ${key.accountId} and id = ${folder.id}
                and not gone`
              yield* sweepElsewhere(database, place)
              const merged = yield* sweepFolder(database, place, batch)
              swept = merged.length
              const { changes, left } = yield* record(key, folder.origin, merged)
              outcome.changes += changes
              outcome.left += left
            }),
          )
        }
        return outcome
      })

      // Index: messages_removed.
      const unsettled = (key: LeaseKey, time: string) =>
        sql`select 1 from ${t.messages}
          where account_id = ${key.accountId} and removed_at >= ${time}::timestamptz limit 1`.pipe(
          Effect.map((rows) => rows.length > 0),
          Effect.orDie,
        )

      const settleBatch = Effect.fnUntraced(function* (key: LeaseKey, time: string) {
        // Index: messages_removed.
        const deleted = yield* sql<{ id: string; folder_id: string; origin: ChangeOrigin }>`
          with doomed as materialized (
            select id from ${t.messages} where account_id = ${key.accountId} and removed_at < ${time}::timestamptz
            order by id limit ${batch}
          )
          delete from ${t.messages} m using doomed d where m.account_id = ${key.accountId} and m.id = d.id
          returning m.id, m.folder_id, m.removed_origin as origin`
        const counts = new Map<FolderId, number>()
        for (const { folder_id } of deleted) counts.set(folder_id, (counts.get(folder_id) ?? 0) - 1)
        yield* count(key, counts)
        if (deleted.length < batch) {
          yield* sql`delete from ${t.folders} f where f.account_id = ${key.accountId} and f.gone and not exists (
            select 1 from ${t.messages} m where m.account_id = f.account_id and m.folder_id = f.id)`
        }
        yield* appendChanges(
          database,
          deleted.map(({ folder_id, id, origin }) => ({
            accountId: key.accountId,
            kind: "message.deleted",
            origin,
            messageId: id,
            folderId: folder_id,
          })),
        )
        return deleted.length
      })

      const settle = Effect.fn("MessageWriter.settle")(function* (key: LeaseKey, time: string) {
        // Asked first: most rounds leave nothing to settle.
        const work = yield* Effect.orDie(sql`select 1 from ${t.messages} where account_id = ${key.accountId}
            and removed_at < ${time}::timestamptz
          union all select 1 from ${t.folders} where account_id = ${key.accountId} and gone limit 1`)
        if (work.length === 0) return 0
        let settled = 0
        for (let deleted = batch; deleted === batch; settled += deleted) {
          deleted = yield* underLease(key, settleBatch(key, time))
        }
        return settled
      })

      return MessageWriter.of({
        applyPage,
        abandon,
        now: sql<{ now: string }>`select clock_timestamp()::text as now`.pipe(
          Effect.map((rows) => rows[0]!.now),
          Effect.orDie,
        ),
        unsettled,
        settle,
      })
    }),
  )
}

/** The entry of the change log for what became of a message, if anything did. */
const toEntry = (
  { accountId }: LeaseKey,
  origin: ChangeOrigin,
  { fields, folder, id, was_folder }: Merged,
): ReadonlyArray<NewChange> => {
  const entry = { accountId, origin, messageId: id, folderId: folder }
  if (was_folder === null) return [{ ...entry, kind: "message.created" }]
  if (was_folder !== folder) return [{ ...entry, kind: "message.moved", ...(fields.length === 0 ? {} : { fields }) }]
  return fields.length === 0 ? [] : [{ ...entry, kind: "message.updated", fields }]
}

const countsOf = (merged: ReadonlyArray<Merged>): ReadonlyMap<FolderId, number> => {
  const counts = new Map<FolderId, number>()
  const add = (folder: FolderId, difference: number) => counts.set(folder, (counts.get(folder) ?? 0) + difference)
  for (const { folder, was_folder } of merged) {
    if (was_folder === folder) continue
    add(folder, 1)
    if (was_folder !== null) add(was_folder, -1)
  }
  return counts
}
