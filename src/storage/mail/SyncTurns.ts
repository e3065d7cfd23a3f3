/** Turns of a sync: where one begins, and what an unfinished one has got through. All times are the database's. */
import { Context, Effect, Layer } from "effect"
import type { FolderId } from "../../domain/Ids.ts"
import { column, Database, orDie } from "../Database.ts"
import { type LeaseKey, LeaseLost } from "./SyncLeases.ts"

/**
 * For how long a folder counts as asked in a round that has not ended. One that takes longer begins anew, so that nothing
 * is settled by what a folder said long ago.
 */
const roundHours = 6

/**
 * A folder that was asked so lately is not asked again by the next turn: turns may follow each other at once. Unless the
 * provider has told of something new since.
 */
const freshSeconds = 60

/** What an earlier turn of the same round has got through. */
export interface Asked {
  /** When that turn began. */
  readonly since: string
  readonly isFresh: boolean
}

export interface TurnStart {
  /** Now, to be handed to `MessageWriter.settle` and back to `unfinished`. */
  readonly time: string
  /** The folders that earlier turns of this round have followed to their end, the longest ago first. */
  readonly asked: ReadonlyMap<FolderId, Asked>
  /** Nobody chose the channel, and no answer of the provider has yet. */
  readonly channelOpen: boolean
  /** The counts of folders are to be compared with the provider's once the round is complete. */
  readonly countsDue: boolean
}

export class SyncTurns extends Context.Service<SyncTurns, {
  readonly begin: (key: LeaseKey) => Effect.Effect<TurnStart, LeaseLost>
  /**
   * Gives the lease back in the middle of a round: an active account is due at once, behind those that are due already.
   *
   * @param asked the folders that this turn has followed to their end
   */
  readonly unfinished: (
    key: LeaseKey,
    start: Pick<TurnStart, "time">,
    asked: ReadonlyArray<FolderId>,
  ) => Effect.Effect<void, LeaseLost>
}>()("mailfleet/storage/SyncTurns") {
  static readonly layer: Layer.Layer<SyncTurns, never, Database> = Layer.effect(
    SyncTurns,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      const begin = Effect.fnUntraced(function* (key: LeaseKey) {
        const rows = yield* orDie(sql<{
          time: string
          open: boolean
          counts: boolean
          id: string | null
          since: string | null
          fresh: boolean | null
        }>`select clock_timestamp()::text as time, a.channel_open as open,
            coalesce(a.counts_due_at <= now(), true) as counts, f.id, f.asked_at::text as since,
            f.asked_at > now() - make_interval(secs => ${freshSeconds}) and not exists (
              select 1 from ${t.notifications} n where n.account_id = a.id and n.received_at > f.asked_at) as fresh
          from ${t.accounts} a left join ${t.folders} f on f.account_id = a.id
            and f.asked_at > greatest(a.synced_at, now() - make_interval(hours => ${roundHours}))
          where a.id = ${key.accountId} and a.sync_lease_fence = ${key.fence} order by f.asked_at`)
        const first = rows[0]
        if (first === undefined) return yield* new LeaseLost()
        const start: TurnStart = {
          time: first.time,
          channelOpen: first.open,
          countsDue: first.counts,
          asked: new Map(
            rows.flatMap(({ fresh, id, since }): ReadonlyArray<readonly [FolderId, Asked]> =>
              id === null || since === null ? [] : [[id, { since, isFresh: fresh === true }]]
            ),
          ),
        }
        return start
      })

      // A turn that ended well is a sign that what failed before has passed.
      const unfinished = Effect.fn("SyncTurns.unfinished")(
        function* (key: LeaseKey, { time }: Pick<TurnStart, "time">, asked: ReadonlyArray<FolderId>) {
          const rows = yield* orDie(sql`with given as (
              update ${t.accounts} set sync_lease_until = null,
                sync_due_at = case when status = 'active' then now() end,
                sync_failures = 0, sync_failure_code = null, sync_failure_message = null, sync_failed_at = null
              where id = ${key.accountId} and sync_lease_fence = ${key.fence} returning id
            ), noted as (
              update ${t.folders} f set asked_at = ${time}::timestamptz from given
              where f.account_id = given.id and f.id = any(${column("uuid", asked)})
            )
            select 1 from given`)
          if (rows.length === 0) return yield* new LeaseLost()
        },
      )

      return SyncTurns.of({ begin, unfinished })
    }),
  )
}
