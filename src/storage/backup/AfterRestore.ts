/** What a restored fleet must know of itself: time has passed at the provider that it has no record of. */
import type { PgClient } from "@effect/sql-pg"
import { Clock, DateTime, Effect } from "effect"

/**
 * The change log goes on in a new epoch, nobody holds a lease any more, what is due is spread over a while, and the refusal of
 * a grant is not believed at once: its refresh token may be an old one. Part of the transaction that restores, on tables as they
 * were when the backup was made.
 */
export const afterRestore = Effect.fnUntraced(function* (
  sql: PgClient.PgClient,
  schema: string,
  { epoch, takenAt }: { readonly epoch: number; readonly takenAt: DateTime.Utc },
  spreadSeconds: number,
) {
  const t = (name: string) => sql(`${schema}.${name}`)
  // By the clock: the same backup may be restored twice, and the two logs go on differently.
  const next = Math.max(epoch + 1, Math.floor((yield* Clock.currentTimeMillis) / 1_000))
  yield* sql`update ${t("meta")} set value = ${String(next)} where name = 'epoch'`

  yield* sql`update ${t("runs")} set owner_until = now() - interval '1 second' where owner_until > now()`
  yield* sql`update ${t("accounts")} set sync_lease_until = null, idle_until = null
    where sync_lease_until is not null or idle_until is not null`
  yield* sql`update ${t("webhooks")} set lease_until = null where lease_until is not null`
  yield* sql`update ${t("subscriptions")} set claimed_until = null where claimed_until is not null`
  yield* sql`update ${t("encryption_rotations")} set lease_until = null where lease_until is not null`

  const soon = sql`now() + make_interval(secs => ${spreadSeconds}::float8)`
  const spread = sql`now() + random() * make_interval(secs => ${spreadSeconds}::float8)`
  yield* sql`update ${t("grants")} g set lease_until = null, claimed_until = null,
      restored_at = case when kind = 'refresh_token' then now() end,
      (due_at, attempt_at) = (
        select case when g.due_at < next.at then next.at else g.due_at end, next.at
        from (select case when g.attempt_at < ${soon} then ${spread} else g.attempt_at end as at) next)`
  yield* sql`update ${t("accounts")} set sync_due_at = ${spread} where sync_due_at < ${soon}`

  yield* sql`insert into ${t("events")} (kind, subject, message) values ('backup.restored', 'fleet', ${
    `a backup of ${
      DateTime.formatIso(takenAt)
    } has been restored: what happened since is not in the change log, whose ` +
    "positions of before are expired. Whoever follows it lists the messages anew, and goes on from the position of now"
  })`
})
