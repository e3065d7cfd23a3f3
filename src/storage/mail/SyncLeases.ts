/** The right of one process to sync one account, for a limited time, with a fencing number. All times are the database's. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type SqlError } from "effect/sql"
import type { AccountId } from "../../domain/Ids.ts"
import type { MailChoice, OwnMailChoice } from "../../domain/MailChoice.ts"
import { Settings } from "../../domain/Settings.ts"
import type { MailAccount } from "../../mail/Mailbox.ts"
import { byIndex, Database, notForLong, orDie } from "../Database.ts"
import { mailChoice } from "./MailChoices.ts"

/** How long a lease lasts without being kept. Long enough for some missed beats, short enough to take over a dead process soon. */
export const leaseSeconds = 45

/** When an account is due again whose turn ended without a verdict, in seconds: soon, but no fault of ours is repeated on and on. */
const soon = 10

/** Another process has taken the account over, or it is gone: this one must write nothing more. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {}) {}

/** Names a lease: what is written under it is refused once `fence` has moved on. */
export interface LeaseKey {
  readonly accountId: AccountId
  readonly fence: bigint
}

export interface SyncLease extends LeaseKey {
  readonly account: MailAccount
  /** What is kept of its mail. */
  readonly mail: MailChoice
  /** Failed rounds in a row before this one. */
  readonly failures: number
}

/** What another process can be seen doing with an account. */
export interface SyncStanding {
  readonly fence: bigint
  /** Milliseconds; 0 = nobody holds the lease. */
  readonly heldForMillis: number
  readonly syncedAt: Date | null
  readonly failedAt: Date | null
  readonly failureCode: string | null
  readonly failureMessage: string | null
}

interface LeaseRow {
  readonly id: string
  readonly email: string
  readonly provider: MailAccount["provider"]
  readonly channel: MailAccount["channel"]
  readonly grant_id: string
  readonly client_id: string
  readonly by_name: boolean
  readonly mail: OwnMailChoice
  readonly fence: bigint
  readonly failures: number
}

export class SyncLeases extends Context.Service<SyncLeases, {
  /** None = another process holds it, or the account is gone. */
  readonly acquire: (accountId: AccountId) => Effect.Effect<Option.Option<SyncLease>>
  /** None = the account is gone. */
  readonly standing: (accountId: AccountId) => Effect.Effect<Option.Option<SyncStanding>>
  /** Prolongs the lease from now; false = lost. */
  readonly keep: (key: LeaseKey) => Effect.Effect<boolean>
  /** Gives the lease back without a verdict on the round. Where others have to wait for the end of a claim, they wait 10 s at most. */
  readonly release: (key: LeaseKey) => Effect.Effect<void>
  /** Records a complete round and gives the lease back. Due again, as after a failed one, is an active account only. */
  readonly succeed: (key: LeaseKey, dueInMillis: number) => Effect.Effect<void, LeaseLost>
  /** Records a failed round and gives the lease back. */
  readonly fail: (
    key: LeaseKey,
    failure: { readonly code: string; readonly message: string; readonly dueInMillis: number },
  ) => Effect.Effect<void, LeaseLost>
}>()("mailfleet/storage/SyncLeases") {
  static readonly layer: Layer.Layer<SyncLeases, never, Database | Settings> = Layer.effect(
    SyncLeases,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const settings = yield* Settings
      const in_ = (millis: number) => sql`now() + make_interval(secs => ${millis / 1_000}::float8)`

      const acquire = Effect.fn("SyncLeases.acquire")(function* (accountId: AccountId) {
        const rows = yield* sql<LeaseRow>`with taken as (
            update ${t.accounts} set sync_lease_fence = sync_lease_fence + 1,
              sync_lease_until = now() + make_interval(secs => ${leaseSeconds})
            where id = ${accountId} and (sync_lease_until is null or sync_lease_until <= now())
            returning id, email, provider, channel, grant_id, by_name, mail, sync_lease_fence, sync_failures
          )
          select a.id, a.email, a.provider, a.channel, a.grant_id, a.by_name, a.mail, p.client_id, a.sync_lease_fence as fence,
            a.sync_failures as failures
          from taken a join ${t.grants} g on g.id = a.grant_id join ${t.apps} p on p.id = g.app_id`
        return Option.map(Option.fromUndefinedOr(rows[0]), (row): SyncLease => ({
          accountId: row.id,
          fence: row.fence,
          failures: row.failures,
          mail: mailChoice(settings, row.mail),
          account: {
            id: row.id,
            email: row.email,
            provider: row.provider,
            channel: row.channel,
            grantId: row.grant_id,
            clientId: row.client_id,
            byName: row.by_name,
          },
        }))
      }, orDie)

      const standing = Effect.fn("SyncLeases.standing")(function* (accountId: AccountId) {
        const rows = yield* sql<{
          fence: bigint
          held: number
          synced_at: Date | null
          failed_at: Date | null
          code: string | null
          message: string | null
        }>`select sync_lease_fence as fence, synced_at, sync_failed_at as failed_at, sync_failure_code as code,
            sync_failure_message as message,
            greatest(0, coalesce(extract(epoch from sync_lease_until - now()), 0))::float8 * 1000 as held
          from ${t.accounts} where id = ${accountId}`
        return Option.map(Option.fromUndefinedOr(rows[0]), (row): SyncStanding => ({
          fence: row.fence,
          heldForMillis: row.held,
          syncedAt: row.synced_at,
          failedAt: row.failed_at,
          failureCode: row.code,
          failureMessage: row.message,
        }))
      }, orDie)

      const keep = Effect.fnUntraced(function* (key: LeaseKey) {
        const rows = yield* sql`update ${t.accounts} set
            sync_lease_until = now() + make_interval(secs => ${leaseSeconds})
          where id = ${key.accountId} and sync_lease_fence = ${key.fence} returning 1`
        return rows.length > 0
      }, orDie)

      const release = Effect.fnUntraced(function* (key: LeaseKey) {
        yield* sql`update ${t.accounts} set sync_lease_until = null, sync_due_at = case when sync_due_at is not null
            then least(sync_due_at, now() + make_interval(secs => ${soon})) end
          where id = ${key.accountId} and sync_lease_fence = ${key.fence}`
      }, orDie)

      const succeed = Effect.fn("SyncLeases.succeed")(function* (key: LeaseKey, dueInMillis: number) {
        const rows = yield* orDie(sql`update ${t.accounts} set sync_lease_until = null, synced_at = now(),
            sync_due_at = case when status = 'active' then ${in_(dueInMillis)} end,
            sync_failures = 0, sync_failure_code = null, sync_failure_message = null, sync_failed_at = null
          where id = ${key.accountId} and sync_lease_fence = ${key.fence} returning 1`)
        if (rows.length === 0) return yield* new LeaseLost()
      })

      const fail = Effect.fn("SyncLeases.fail")(function* (
        key: LeaseKey,
        failure: { readonly code: string; readonly message: string; readonly dueInMillis: number },
      ) {
        const rows = yield* orDie(sql`update ${t.accounts} set sync_lease_until = null,
            sync_due_at = case when status = 'active' then ${in_(failure.dueInMillis)} end,
            sync_failures = sync_failures + 1, sync_failure_code = ${failure.code},
            sync_failure_message = ${failure.message}, sync_failed_at = now()
          where id = ${key.accountId} and sync_lease_fence = ${key.fence} returning 1`)
        if (rows.length === 0) return yield* new LeaseLost()
      })

      return SyncLeases.of({ acquire, standing, keep, release, succeed, fail })
    }),
  )
}

/**
 * Proves the lease inside a transaction and keeps it proven until commit: whoever takes the account over waits for this
 * row. Fails with `LeaseLost` otherwise. Also puts the account's writers in a row, so that they need no finer locks.
 * Plans of the transaction are those of {@link byIndex}.
 */
export const holdLease = (
  { sql, tables: t }: Database["Service"],
  key: LeaseKey,
): Effect.Effect<void, LeaseLost | SqlError.SqlError> =>
  Effect.flatMap(
    sql`select ${sql.literal(byIndex)}, ${sql.literal(notForLong)} from ${t.accounts}
      where id = ${key.accountId} and sync_lease_fence = ${key.fence} for no key update`,
    (rows) => rows.length > 0 ? Effect.void : Effect.fail(new LeaseLost()),
  )
