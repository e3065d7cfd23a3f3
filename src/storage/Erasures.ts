/** Accounts that were deleted: what is stored of them goes a batch at a time, and a receipt stays. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Statement } from "effect/sql"
import type { Provider } from "../domain/Account.ts"
import type { Erasure, Revocation } from "../domain/Erasure.ts"
import { type ErasureId, type GrantId, isId } from "../domain/Ids.ts"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"
import { Database, orDie } from "./Database.ts"

/** Some tenths of a second, with bodies and what messages are found by. */
const rowsAtOnce = 1_000

/** A process that died while it asked the provider is not waited for any longer; nor is the provider asked more often. */
const askAgainMinutes = 5

/** After so long the provider is not asked any more, so that nothing of the account is left within the day. */
const askHours = 20

type Part = keyof Erasure["erased"]
const parts: ReadonlyArray<Part> = [
  "messages",
  "bodies",
  "folders",
  "changes",
  "runItems",
  "events",
  "connectSessions",
  "auditEntries",
]
type Step = Part | "settle"

interface ErasureRow {
  readonly id: string
  readonly subject: string
  readonly provider: Provider
  readonly grant_deleted: boolean
  readonly revocation: Revocation
  readonly erased: Partial<Erasure["erased"]>
  readonly requested_at: Date
  readonly finished_at: Date | null
}

interface OpenRow {
  readonly id: string
  readonly account_id: string
  readonly email_key: string
  readonly grant_id: string
  readonly grant_deleted: boolean
  readonly step: Step
  readonly requested_at: Date
}

const toErasure = (row: ErasureRow): Erasure => ({
  id: row.id,
  state: row.finished_at === null ? "running" : "completed",
  subject: row.subject,
  provider: row.provider,
  requestedAt: DateTime.fromDateUnsafe(row.requested_at),
  finishedAt: row.finished_at === null ? null : DateTime.fromDateUnsafe(row.finished_at),
  grant: row.grant_deleted ? "deleted" : "kept",
  revocation: row.revocation,
  erased: {
    messages: 0,
    bodies: 0,
    folders: 0,
    changes: 0,
    runItems: 0,
    events: 0,
    connectSessions: 0,
    auditEntries: 0,
    ...row.erased,
  },
})

/** A refresh token that the provider is to take back. */
export interface ToRevoke {
  readonly id: ErasureId
  readonly grantId: GrantId
  /** Sealed, as the grant had it. */
  readonly secret: Uint8Array
  /** It has been tried for long enough. */
  readonly isLast: boolean
}

export class Erasures extends Context.Service<Erasures, {
  readonly get: (id: ErasureId) => Effect.Effect<Option.Option<Erasure>>
  /** Newest first. */
  readonly list: (options: {
    readonly limit: number
    readonly cursor?: string | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<Erasure>; readonly nextCursor: string | null }, InvalidCursor>
  /** Does one batch of what there is to be done, of one account that no other process is at. False = there is nothing now. */
  readonly purgeSome: Effect.Effect<boolean>
  /** Claims refresh tokens that are to be revoked. */
  readonly claimRevocations: (limit: number) => Effect.Effect<ReadonlyArray<ToRevoke>>
  /** Notes what came of it, and forgets the token. */
  readonly settleRevocation: (id: ErasureId, revocation: Revocation) => Effect.Effect<void>
}>()("mailfleet/storage/Erasures") {
  static readonly layer: Layer.Layer<Erasures, never, Database> = Layer.effect(
    Erasures,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const columns = sql.literal("id, subject, provider, grant_deleted, revocation, erased, requested_at, finished_at")
      const ended =
        sql`select 1 from ${t.runs} r where r.id = i.run_id and r.state not in ('uploading', 'queued', 'running')`

      /** Items that name the account: by its id, or by its address in runs from before. */
      const itemsOf = ({ account_id, email_key, requested_at }: OpenRow) =>
        sql`(i.account_id = ${account_id} or (lower(i.email) = ${email_key} and exists (
          select 1 from ${t.runs} r where r.id = i.run_id and r.created_at <= ${requested_at})))`

      /** Indexes: the primary keys by account, changes_account, run_items_account, run_items_email, events_subject, audit_account. */
      const batchOf = (row: OpenRow): Readonly<Record<Part, Statement.Fragment>> => {
        const { account_id, email_key, grant_deleted, grant_id, requested_at } = row
        return {
          messages: sql`delete from ${t.messages} where account_id = ${account_id} and id in (
            select id from ${t.messages} where account_id = ${account_id} limit ${rowsAtOnce})`,
          bodies: sql`delete from ${t.message_bodies} where account_id = ${account_id} and message_id in (
            select message_id from ${t.message_bodies} where account_id = ${account_id} limit ${rowsAtOnce})`,
          folders: sql`delete from ${t.folders} where account_id = ${account_id} and id in (
            select id from ${t.folders} where account_id = ${account_id} limit ${rowsAtOnce})`,
          changes: sql`delete from ${t.changes} where id in (
            select id from ${t.changes} where account_id = ${account_id} limit ${rowsAtOnce})`,
          // The counts of a run stay true: its items stay, and name nobody. One that waits for its turn has it first.
          runItems: sql`update ${t.run_items} u
            set account_id = null, email = null, dedup_key = null, error_message = null
            from (select i.run_id, i.position from ${t.run_items} i where ${itemsOf(row)}
              and (i.outcome <> 'pending' or exists (${ended})) limit ${rowsAtOnce}) i
            where u.run_id = i.run_id and u.position = i.position`,
          events: sql`delete from ${t.events} where id in (select id from ${t.events}
            where subject = ${account_id} or (${grant_deleted} and subject = ${grant_id}) limit ${rowsAtOnce})`,
          connectSessions: sql`delete from ${t.connect_sessions} where id in (select id from ${t.connect_sessions}
            where connected_account_id = ${account_id} or (${grant_deleted} and grant_id = ${grant_id})
              or (lower(expected_email) = ${email_key} and created_at <= ${requested_at}) limit ${rowsAtOnce})`,
          // Of before the log was a chain, which holds pseudonyms.
          auditEntries: sql`update ${t.audit} set account_id = null, grant_id = null where id in (
            select id from ${t.audit} where account_id = ${account_id} limit ${rowsAtOnce})`,
        }
      }

      const purge = Effect.fnUntraced(function* (row: OpenRow, part: Part) {
        const rows = yield* sql<{ count: number }>`with gone as (${batchOf(row)[part]} returning 1)
          select count(*)::int as count from gone`
        const { count } = rows[0]!
        const next: Step = count < rowsAtOnce ? parts[parts.indexOf(part) + 1] ?? "settle" : part
        yield* sql`update ${t.erasures} set step = ${next},
            erased = erased || jsonb_build_object(${part}::text, coalesce((erased ->> ${part}::text)::int, 0) + ${count}::int)
          where id = ${row.id}`
      })

      /** Ends it where nothing is left; else all is looked through again. */
      const settle = Effect.fnUntraced(function* (row: OpenRow) {
        const { account_id, id } = row
        const left = yield* sql<
          { left: boolean }
        >`select exists (select 1 from ${t.messages} where account_id = ${account_id})
          or exists (select 1 from ${t.message_bodies} where account_id = ${account_id})
          or exists (select 1 from ${t.folders} where account_id = ${account_id})
          or exists (select 1 from ${t.changes} where account_id = ${account_id})
          or exists (select 1 from ${t.run_items} i where ${itemsOf(row)})
          or exists (select 1 from ${t.events} where subject = ${account_id}) as left`
        if (left[0]!.left) {
          return yield* sql`update ${t.erasures} set step = ${parts[0]!}, settle_at = now() + interval '1 minute'
            where id = ${id}`
        }
        yield* sql`delete from ${t.audit_subjects} where account_id = ${account_id}`
        return yield* sql`update ${t.erasures} set account_id = null, email_key = null, grant_id = null, secret = null,
          finished_at = now() where id = ${id}`
      })

      const purgeSome = Effect.gen(function* () {
        // Index: erasures_open. The last step waits for the provider, and for runs that have the account before them.
        const rows = yield* sql<
          OpenRow
        >`select e.id, e.account_id, e.email_key, e.grant_id, e.grant_deleted, e.step, e.requested_at
          from ${t.erasures} e where e.finished_at is null and (e.step <> 'settle' or (
            e.revocation <> 'pending' and e.settle_at <= now()
            and not exists (select 1 from ${t.run_items} i join ${t.runs} r on r.id = i.run_id
              where i.outcome = 'pending' and r.state in ('uploading', 'queued', 'running')
                and (i.account_id = e.account_id or (lower(i.email) = e.email_key and r.created_at <= e.requested_at)))))
          order by e.requested_at limit 1 for update of e skip locked`
        const row = rows[0]
        if (row === undefined) return false
        yield* row.step === "settle" ? settle(row) : purge(row, row.step)
        return true
      }).pipe(sql.withTransaction, orDie, Effect.withSpan("Erasures.purgeSome"))

      return Erasures.of({
        get: Effect.fn("Erasures.get")(function* (id: ErasureId) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<ErasureRow>`select ${columns} from ${t.erasures} where id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), toErasure)
        }, orDie),
        // By the primary key: ids are made in the order of time.
        list: Effect.fn("Erasures.list")(function* (options: {
          readonly limit: number
          readonly cursor?: string | undefined
        }) {
          const before = yield* afterCursor(options.cursor, isId)
          const rows = yield* orDie(sql<ErasureRow>`select ${columns} from ${t.erasures}
            where ${before === undefined ? sql`true` : sql`id < ${before}`} order by id desc limit ${
            options.limit + 1
          }`)
          return pageOf(rows, options.limit, toErasure, ({ id }) => id)
        }),
        purgeSome,
        claimRevocations: Effect.fn("Erasures.claimRevocations")(function* (limit: number) {
          const rows = yield* sql<{ id: string; grant_id: string; secret: Uint8Array; last: boolean }>`
            update ${t.erasures} set revoke_at = now() + make_interval(mins => ${askAgainMinutes})
            where id in (select id from ${t.erasures} where finished_at is null and revocation = 'pending'
              and (revoke_at is null or revoke_at <= now()) order by requested_at limit ${limit} for update skip locked)
            returning id, grant_id, secret, requested_at < now() - make_interval(hours => ${askHours}) as last`
          return rows.map(({ grant_id, id, last, secret }) => ({ id, grantId: grant_id, secret, isLast: last }))
        }, orDie),
        settleRevocation: Effect.fn("Erasures.settleRevocation")(function* (id: ErasureId, revocation: Revocation) {
          yield* sql`update ${t.erasures} set revocation = ${revocation}, secret = null where id = ${id}`
        }, orDie),
      })
    }),
  )
}
