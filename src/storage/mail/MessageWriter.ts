/** Writing mail: pages of changes, bodies, and what is left to settle when an account's round ends. */
import { Clock, Context, Effect, Layer } from "effect"
import type { SqlError } from "effect/sql"
import type { FolderId } from "../../domain/Ids.ts"
import type { ChangeOrigin } from "../../domain/Mail.ts"
import { Settings } from "../../domain/Settings.ts"
import type { Page, RemoteBody, RemoteMessage, Upsert } from "../../mail/Mailbox.ts"
import * as BodyWants from "./BodyWants.ts"
import { appendChanges, type NewChange } from "./ChangeLog.ts"
import { asAnyAccount, column, Database } from "../Database.ts"
import type { FolderState } from "./Folders.ts"
import { indexedFields, type IndexEntry, reindex, wordsOf, writeIndex } from "./MessageIndex.ts"
import { insertNew, knownOf, toNewRow } from "./MessageInsert.ts"
import { handUp, type Merged, mergePage, type Place, sweepElsewhere, sweepFolder } from "./MessageMerge.ts"
import { type Told, toldBy, toldOfBodies } from "./MessageRows.ts"
import { channelFields } from "./MessageTwins.ts"
import { holdLease, type LeaseKey, LeaseLost } from "./SyncLeases.ts"

/** Messages that one transaction settles or sweeps: long ones hold up the account's other pages and the change log. */
const batch = 500

/** No listing has this number: below it is everything. */
const everyRound = 2_147_483_647

/** A cursor that nothing was read with is stored so often: well within the life of every provider's. */
const cursorLifeMillis = 12 * 3_600_000

export interface Applied {
  /** The folder as it stands now. */
  readonly folder: FolderState
  /** Entries that went to the change log. */
  readonly changes: number
  /** Messages that left their last known folder: moved or deleted, as the rest of the account's round will show. */
  readonly left: number
}

/** What a page says of each message, with the words of those that may be new: made before a transaction begins. */
export interface Prepared {
  readonly told: ReadonlyArray<Told>
  readonly words: ReadonlyMap<string, string>
  /** Those as they are inserted if they are new. */
  readonly newRows: ReadonlyMap<string, string>
}

/** Of messages that are stored: none of them is new. */
const noneNew = { words: new Map<string, string>(), newRows: new Map<string, string>() }

export class MessageWriter extends Context.Service<MessageWriter, {
  /**
   * Writes a page that was read from `folder.cursor`: messages, cursor, counts and change log in one transaction.
   * `LeaseLost` where the lease or the folder's position has moved on: then nothing is written.
   *
   * Nothing is written either of the empty round of a folder that is in step, unless its cursor has changed and the stored
   * one is 12 hours old. The state that comes back is the stored one.
   *
   * @param prepared what `prepare` made of the page; unless given it is made now
   */
  readonly applyPage: (
    key: LeaseKey,
    folder: FolderState,
    page: Page,
    prepared?: Prepared,
  ) => Effect.Effect<Applied, LeaseLost>
  /** All that can be done for a page before it is its turn to be written. */
  readonly prepare: (key: LeaseKey, changes: Page["changes"]) => Effect.Effect<Prepared>
  /**
   * Writes fresh mail of a folder whose first listing is still under way, as live and without a cursor: the listing finds it
   * stored.
   */
  readonly applyNewest: (
    key: LeaseKey,
    folder: FolderState,
    upserts: ReadonlyArray<Upsert>,
  ) => Effect.Effect<Pick<Applied, "changes" | "left">, LeaseLost>
  /**
   * The remote ids of a page, in its order, whose bodies the account's choice wants and the store has not: to be fetched and
   * put into the page before it is written. Not those that came with a body, nor those that are known again as another's twin.
   */
  readonly wanting: (
    key: LeaseKey,
    folder: FolderState,
    changes: Page["changes"],
  ) => Effect.Effect<ReadonlyArray<string>>
  /**
   * Stored messages in other folders that may be the ones that a page shows under new ids: remote ids by the remote id of the
   * folder. The channel tells which of them are still there; the others are to be written as `left` before the page is.
   */
  readonly liveTwins: (
    key: LeaseKey,
    folder: FolderState,
    changes: Page["changes"],
  ) => Effect.Effect<ReadonlyMap<string, ReadonlyArray<string>>>
  /** Messages are no longer in a folder: moved or deleted, as a round will show. Ids that are not stored are ignored. */
  readonly left: (
    key: LeaseKey,
    folderRemoteId: string,
    remoteIds: ReadonlyArray<string>,
  ) => Effect.Effect<Pick<Applied, "changes" | "left">, LeaseLost>
  /** Stored messages whose bodies the account's choice wants, the newest `limit` of them behind a place. */
  readonly bodyBacklog: (
    key: LeaseKey,
    limit: number,
    after?: BodyWants.BacklogPlace | undefined,
  ) => Effect.Effect<BodyWants.Backlog>
  /**
   * Writes bodies by remote id, wherever their messages lie by now; those of messages that are not stored are ignored. The log
   * calls them backfill. One that cannot be read is to be stored as `refused`, or it stays in the backlog.
   */
  readonly storeBodies: (
    key: LeaseKey,
    folderRemoteId: string,
    bodies: ReadonlyMap<string, RemoteBody & Partial<RemoteMessage>>,
  ) => Effect.Effect<Pick<Applied, "changes">, LeaseLost>
  /**
   * The provider says that the folder is deleted: its messages are left to be settled. Those of a folder that another one's
   * pages tell of move to that one, whose pages say what became of them.
   */
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
  static readonly layer: Layer.Layer<MessageWriter, never, Database | Settings> = Layer.effect(
    MessageWriter,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
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
        const total = moved.reduce((sum, [, difference]) => sum + difference, 0)
        yield* sql`with counted as (
            update ${t.folders} f set messages = f.messages + d.difference
            from unnest(${column("uuid", moved.map(([id]) => id))}, ${column("int4", moved.map(([, value]) => value))})
              as d (id, difference)
            where f.account_id = ${key.accountId} and f.id = d.id
          )
          update ${t.accounts} set messages = messages + ${total} where id = ${key.accountId} and ${total} <> 0`
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

      const prepare = Effect.fnUntraced(function* ({ accountId }: LeaseKey, changes: Page["changes"]) {
        const told = toldBy(changes)
        const words = new Map<string, string>()
        const newRows = new Map<string, string>()
        const now = yield* Clock.currentTimeMillis
        for (const one of told) {
          const { fields, ifKnown, remoteId, word } = one
          if (word !== "shown" || ifKnown) continue
          const found = wordsOf(accountId, fields, now)
          words.set(remoteId, found)
          newRows.set(remoteId, toNewRow(one, found))
          // Other fibers have their turn in between; a message without a text takes microseconds.
          if (words.size % 16 === 0 || (fields.text?.length ?? 0) > 10_000) yield* Effect.yieldNow
        }
        return { told, words, newRows }
      })

      /** Merges, and keeps what messages are found by in step. */
      const merge = Effect.fnUntraced(function* (
        place: Place,
        { newRows, told, words }: Prepared,
      ) {
        const mayBeNew = told.filter(({ ifKnown, word }) => word === "shown" && !ifKnown)
        const known = yield* knownOf(database, place.accountId, mayBeNew)
        const isNew = (one: Told) => one.word === "shown" && !one.ifKnown && !known.has(one.remoteId)
        const inserted = yield* insertNew(database, settings, place, told.filter(isNew), newRows)
        const found = yield* mergePage(database, settings, place, told.filter((one) => !isNew(one)))
        const twinKeys = new Map(told.map(({ remoteId, twinKey }) => [remoteId, twinKey]))
        const fresh: Array<IndexEntry> = []
        const changed: Array<string> = []
        for (const { fields, id, remote_id, was_folder } of found) {
          if (was_folder === null) {
            fresh.push({ id, twinKey: twinKeys.get(remote_id) ?? undefined, search: words.get(remote_id) ?? "" })
          } else if (fields.some((field) => indexedFields.has(field))) changed.push(id)
        }
        yield* writeIndex(database, place.accountId, fresh)
        yield* reindex(database, place.accountId, changed)
        return inPageOrder(told, [...inserted, ...found])
      })

      const placeOf = ({ accountId }: LeaseKey, { id, origin, round }: FolderState): Place => ({
        accountId,
        folderId: id,
        round,
        origin,
      })

      /** The folder's place, or none where it is not known (any more). Index: folders_account_id_remote_id_key. */
      const placeNamed = Effect.fnUntraced(function* ({ accountId }: LeaseKey, folderRemoteId: string) {
        const rows = yield* sql<{ id: string; round: number; origin: ChangeOrigin }>`select id, round, origin
          from ${t.folders} where account_id = ${accountId} and remote_id = ${folderRemoteId}`
        return rows[0] === undefined
          ? undefined
          : { accountId, folderId: rows[0].id, round: rows[0].round, origin: rows[0].origin } satisfies Place
      })

      const applyPage = Effect.fn("MessageWriter.applyPage")(
        function* (key: LeaseKey, folder: FolderState, page: Page, made?: Prepared) {
          const isQuiet = page.changes.length === 0 && page.roundComplete && folder.listed && !folder.inRound
          if (isQuiet) {
            const age = (yield* Clock.currentTimeMillis) - (folder.cursorAt?.getTime() ?? 0)
            if (page.cursor === folder.cursor || age < cursorLifeMillis) return { folder, changes: 0, left: 0 }
          }
          const place = placeOf(key, folder)
          const advance = sql`update ${t.folders} set cursor = ${page.cursor}, cursor_at = now(),
              in_round = ${!page.roundComplete}, listed = listed or ${page.roundComplete},
              origin = case when ${page.roundComplete} then 'live' else origin end,
              synced_at = case when ${page.roundComplete} then now() else synced_at end
            where account_id = ${key.accountId} and id = ${folder.id} and round = ${folder.round}
              and cursor is not distinct from ${folder.cursor}`
          const moved = (rows: ReadonlyArray<{ readonly cursor_at: Date }>): FolderState => ({
            ...folder,
            cursor: page.cursor,
            cursorAt: rows[0]!.cursor_at,
            inRound: !page.roundComplete,
            listed: folder.listed || page.roundComplete,
            origin: page.roundComplete ? "live" : folder.origin,
          })
          // A first listing finds only what is there; a later one must also take out what it did not show.
          const sweeps = page.roundComplete && !folder.listed && folder.round > 1

          // Nothing new: one statement, no transaction. The cursor is the guard.
          if (page.changes.length === 0 && !sweeps) {
            const rows = yield* Effect.orDie(sql<{ cursor_at: Date }>`${advance} and exists (
              select 1 from ${t.accounts} where id = ${key.accountId} and sync_lease_fence = ${key.fence})
              returning cursor_at`)
            return rows.length === 0 ? yield* new LeaseLost() : { folder: moved(rows), changes: 0, left: 0 }
          }
          const prepared = made ?? (yield* prepare(key, page.changes))
          return yield* underLease(
            key,
            Effect.gen(function* () {
              const rows = yield* sql<{ cursor_at: Date }>`${advance} returning cursor_at`
              if (rows.length === 0) return yield* new LeaseLost()
              const merged = [...yield* merge(place, prepared)]
              if (sweeps) {
                yield* sweepElsewhere(database, place)
                merged.push(...yield* sweepFolder(database, place, everyRound))
              }
              return { folder: moved(rows), ...yield* record(key, folder.origin, merged) }
            }),
          )
        },
      )

      const applyNewest = Effect.fn("MessageWriter.applyNewest")(
        function* (key: LeaseKey, folder: FolderState, upserts: ReadonlyArray<Upsert>) {
          if (upserts.length === 0) return { changes: 0, left: 0 }
          const prepared = yield* prepare(key, upserts)
          const place: Place = { ...placeOf(key, folder), origin: "live" }
          return yield* underLease(
            key,
            Effect.flatMap(merge(place, prepared), (merged) => record(key, place.origin, merged)),
          )
        },
      )

      const left = Effect.fn("MessageWriter.left")(
        function* (key: LeaseKey, folderRemoteId: string, remoteIds: ReadonlyArray<string>) {
          if (remoteIds.length === 0) return { changes: 0, left: 0 }
          const told = toldBy(remoteIds.map((remoteId) => ({ _tag: "Removed", remoteId })))
          return yield* underLease(
            key,
            Effect.gen(function* () {
              const place = yield* placeNamed(key, folderRemoteId)
              if (place === undefined) return { changes: 0, left: 0 }
              return yield* record(key, place.origin, yield* merge(place, { told, ...noneNew }))
            }),
          )
        },
      )

      const storeBodies = Effect.fn("MessageWriter.storeBodies")(
        function* (
          key: LeaseKey,
          folderRemoteId: string,
          bodies: ReadonlyMap<string, RemoteBody & Partial<RemoteMessage>>,
        ) {
          if (bodies.size === 0) return { changes: 0 }
          const told = toldOfBodies(bodies)
          return yield* underLease(
            key,
            Effect.gen(function* () {
              const found = yield* placeNamed(key, folderRemoteId)
              if (found === undefined) return { changes: 0 }
              const place: Place = { ...found, origin: "backfill" }
              const { changes } = yield* record(key, place.origin, yield* merge(place, { told, ...noneNew }))
              return { changes }
            }),
          )
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
              const merged = folder.followedBy === undefined
                ? yield* sweepFolder(database, place, batch)
                : yield* handUp(database, place, batch)
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
        const account = asAnyAccount(sql, key.accountId)
        // Index: messages_removed.
        const deleted = yield* sql<{ id: string; folder_id: string; origin: ChangeOrigin }>`
          with doomed as materialized (
            select id from ${t.messages} where account_id = ${key.accountId} and removed_at < ${time}::timestamptz
            order by id limit ${batch}
          ), bodies as (
            delete from ${t.message_bodies} b using doomed d where b.account_id = ${account} and b.message_id = d.id
          )
          delete from ${t.messages} m using doomed d where m.account_id = ${account} and m.id = d.id
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
        prepare,
        applyNewest,
        wanting: Effect.fn("MessageWriter.wanting")(
          (key: LeaseKey, folder: FolderState, changes: Page["changes"]) =>
            Effect.orDie(BodyWants.wanting(database, settings, key, folder, changes)),
        ),
        liveTwins: Effect.fn("MessageWriter.liveTwins")(
          (key: LeaseKey, folder: FolderState, changes: Page["changes"]) =>
            Effect.orDie(BodyWants.liveTwins(database, key, folder, changes)),
        ),
        left,
        bodyBacklog: Effect.fn("MessageWriter.bodyBacklog")(
          (key: LeaseKey, limit: number, after?: BodyWants.BacklogPlace) =>
            Effect.orDie(BodyWants.bodyBacklog(database, settings, key, limit, after)),
        ),
        storeBodies,
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

const inPageOrder = (told: ReadonlyArray<Told>, merged: ReadonlyArray<Merged>): ReadonlyArray<Merged> => {
  const places = new Map(told.map(({ remoteId }, place) => [remoteId, place]))
  return merged.toSorted((a, b) => places.get(a.remote_id)! - places.get(b.remote_id)!)
}

/** The entry of the change log for what became of a message, if anything did. */
const toEntry = (
  { accountId }: LeaseKey,
  origin: ChangeOrigin,
  { adopted, fields: all, folder, id, was_folder }: Merged,
): ReadonlyArray<NewChange> => {
  const fields = adopted ? all.filter((field) => !channelFields.has(field)) : all
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
