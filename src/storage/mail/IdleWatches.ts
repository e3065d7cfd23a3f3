/** Which accounts a connection waits for news of: the most recently active ones, each by one process. */
import { Context, Effect, Layer } from "effect"
import type { AccountId } from "../../domain/Ids.ts"
import type { MailAccount } from "../../mail/Mailbox.ts"
import { column, Database, orDie } from "../Database.ts"
import type { LeaseKey } from "./SyncLeases.ts"

/** Seconds. Longer than two looks: one may be missed. */
const watchSeconds = 90

export class IdleWatches extends Context.Service<IdleWatches, {
  /** A turn has brought changes: whose mailbox is busy is worth a connection. */
  readonly active: (key: LeaseKey) => Effect.Effect<void>
  /**
   * The accounts to watch for the next 90 s: those read over IMAP that were active last, at most `limit`, but for those that
   * another process watches. The others of `mine` are given up.
   */
  readonly claim: (
    mine: ReadonlyArray<AccountId>,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<MailAccount>>
  /** Another process may watch them. */
  readonly release: (mine: ReadonlyArray<AccountId>) => Effect.Effect<void>
  /** Watching it came to nothing: it is not tried again before it is active again. */
  readonly failed: (id: AccountId) => Effect.Effect<void>
}>()("mailfleet/storage/IdleWatches") {
  static readonly layer: Layer.Layer<IdleWatches, never, Database> = Layer.effect(
    IdleWatches,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      const active = Effect.fnUntraced(function* ({ accountId, fence }: LeaseKey) {
        yield* sql`update ${t.accounts} set active_at = now()
          where id = ${accountId} and sync_lease_fence = ${fence}`
      }, orDie)

      const release = Effect.fnUntraced(function* (mine: ReadonlyArray<AccountId>) {
        if (mine.length === 0) return
        yield* sql`update ${t.accounts} set idle_until = null where id = any(${column("uuid", mine)})`
      }, orDie)

      // Index: accounts_idle.
      const claim = Effect.fn("IdleWatches.claim")(function* (mine: ReadonlyArray<AccountId>, limit: number) {
        const rows = yield* sql<{
          id: string
          email: string
          provider: MailAccount["provider"]
          channel: MailAccount["channel"]
          grant_id: string
          client_id: string
          by_name: boolean
        }>`with latest as (
            select id from ${t.accounts}
            where channel = 'imap' and status = 'active' and active_at is not null
              and (idle_until is null or idle_until <= now() or id = any(${column("uuid", mine)}))
            order by active_at desc limit ${limit} for no key update skip locked
          ), watched as (
            update ${t.accounts} a set idle_until = now() + make_interval(secs => ${watchSeconds})
            from latest where a.id = latest.id
            returning a.id, a.email, a.provider, a.channel, a.grant_id, a.by_name
          )
          select w.*, p.client_id from watched w join ${t.grants} g on g.id = w.grant_id join ${t.apps} p on p.id = g.app_id`
        const kept = new Set(rows.map(({ id }) => id))
        yield* release(mine.filter((id) => !kept.has(id)))
        return rows.map((row): MailAccount => ({
          id: row.id,
          email: row.email,
          provider: row.provider,
          channel: row.channel,
          grantId: row.grant_id,
          clientId: row.client_id,
          byName: row.by_name,
        }))
      }, orDie)

      const failed = Effect.fnUntraced(function* (id: AccountId) {
        yield* sql`update ${t.accounts} set active_at = null, idle_until = null where id = ${id}`
      }, orDie)

      return IdleWatches.of({ active, claim, release, failed })
    }),
  )
}
