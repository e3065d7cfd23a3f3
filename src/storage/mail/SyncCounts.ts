/** Counts of folders, here and at the provider, and when they are compared. */
import { Context, Effect, Layer } from "effect"
import type { FolderId } from "../../domain/Ids.ts"
import { column, Database, orDie } from "../Database.ts"
import type { LeaseKey } from "./SyncLeases.ts"

export interface FolderCount {
  readonly id: FolderId
  /** Messages that have not left it. */
  readonly stored: number
  /** What the last comparison found missing, or, below 0, too many. */
  readonly difference: number
}

export class SyncCounts extends Context.Service<SyncCounts, {
  /** Of the folders whose listing is complete, and of those that have none of their own. */
  readonly of: (key: LeaseKey) => Effect.Effect<ReadonlyArray<FolderCount>>
  /** Notes what differs, by folder, and when the account's counts are compared again. */
  readonly compared: (
    key: LeaseKey,
    differences: ReadonlyMap<FolderId, number>,
    againInMillis: number,
  ) => Effect.Effect<void>
}>()("mailfleet/storage/SyncCounts") {
  static readonly layer: Layer.Layer<SyncCounts, never, Database> = Layer.effect(
    SyncCounts,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      // What has left a folder and is not settled still counts as in it. Index: messages_removed.
      const of = Effect.fn("SyncCounts.of")(function* ({ accountId }: LeaseKey) {
        return yield* sql<FolderCount>`select f.id, (f.messages - coalesce(r.removed, 0))::integer as stored,
            coalesce(f.difference, 0) as difference
          from ${t.folders} f left join (
            select folder_id, count(*) as removed from ${t.messages}
            where account_id = ${accountId} and removed_at is not null group by folder_id
          ) r on r.folder_id = f.id
          where f.account_id = ${accountId} and (f.listed or f.followed_by is not null) and not f.gone`
      }, orDie)

      const compared = Effect.fn("SyncCounts.compared")(function* (
        { accountId, fence }: LeaseKey,
        differences: ReadonlyMap<FolderId, number>,
        againInMillis: number,
      ) {
        yield* sql`with account as (
            update ${t.accounts} set counts_due_at = now() + make_interval(secs => ${againInMillis / 1_000}::float8)
            where id = ${accountId} and sync_lease_fence = ${fence} returning id
          )
          update ${t.folders} f set reconciled_at = now(), difference = coalesce(d.difference, 0)
          from account join ${t.folders} g on g.account_id = account.id and not g.gone
          left join unnest(${column("uuid", [...differences.keys()])}, ${column("int4", [...differences.values()])})
            as d (id, difference) on d.id = g.id
          where f.account_id = g.account_id and f.id = g.id and (g.listed or d.id is not null)`
      }, orDie)

      return SyncCounts.of({ of, compared })
    }),
  )
}
