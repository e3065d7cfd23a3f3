/** Who was given what, and who changed what: written before the answer leaves, chained, and never changed. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import { Buffer } from "node:buffer"
import type { Resource } from "../domain/Account.ts"
import type { AuditHead, AuditLink } from "../domain/AuditChain.ts"
import type { AuditEntry } from "../domain/AuditEntry.ts"
import { type AccountId, isId } from "../domain/Ids.ts"
import { makeBatches } from "../pacing/Batches.ts"
import { accountsOf, anchorName, appendAudit, headOf, lockAudit, type NewAuditEntry } from "./AuditLog.ts"
import { makeSubjects, showId, toSubject } from "./AuditSubjects.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"
import { Database, orDie } from "./Database.ts"
import { beforeCursor, pageBefore } from "./NewestFirst.ts"

interface LinkRow {
  readonly id: bigint
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly subject: string | null
  readonly grant_object: string | null
  readonly object: string | null
  readonly resource: Resource | null
  readonly detail: string | null
  readonly outcome: string
  readonly hash: Uint8Array
}

interface EntryRow extends Omit<LinkRow, "hash"> {
  readonly hash: Uint8Array | null
  /** Of entries that were written before there was a chain. */
  readonly account_id: string | null
  readonly grant_id: string | null
  readonly subject_id: string | null
  readonly key: Uint8Array | null
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const toLink = (row: LinkRow): AuditLink => ({
  position: String(row.id),
  at: row.at.toISOString(),
  actor: row.actor,
  action: row.action,
  subject: row.subject,
  grant: row.grant_object,
  object: row.object,
  resource: row.resource,
  detail: row.detail,
  outcome: row.outcome,
  hash: hex(row.hash),
})

const toEntry = (row: EntryRow): AuditEntry => {
  const subject = row.subject === null || row.subject_id === null || row.key === null
    ? undefined
    : toSubject({ account_id: row.subject_id, pseudonym: row.subject, key: row.key })
  // Without a subject ids are written as they are; with one that is erased they say nothing any more.
  const shown = (id: string | null) => id === null ? null : row.subject === null ? id : subject && showId(subject, id)
  const accountId = subject?.accountId ?? row.account_id
  const grantId = shown(row.grant_object) ?? row.grant_id
  const objectId = shown(row.object)
  return {
    id: String(row.id),
    at: DateTime.fromDateUnsafe(row.at),
    actor: row.actor,
    action: row.action,
    ...(accountId === null ? {} : { accountId }),
    ...(grantId === null ? {} : { grantId }),
    ...(row.resource === null ? {} : { resource: row.resource }),
    ...(objectId === null || objectId === undefined ? {} : { objectId }),
    ...(row.detail === null ? {} : { detail: row.detail }),
    outcome: row.outcome,
    ...(row.subject === null ? {} : { subject: row.subject }),
    ...(row.hash === null ? {} : { hash: hex(row.hash) }),
  }
}

/** Entries deleted at once by {@link Audit.prune}. */
const prunedAtOnce = 10_000

export interface AuditPage {
  readonly anchor: AuditHead
  readonly items: ReadonlyArray<AuditLink>
  readonly nextCursor: string | null
}

export class Audit extends Context.Service<Audit, {
  /** Durable, and part of the chain, when it returns, whatever becomes of a transaction that the caller is in. */
  readonly record: (entry: NewAuditEntry) => Effect.Effect<void>
  /** Newest first. Entries outlive their account. */
  readonly list: (options: {
    readonly limit: number
    readonly cursor?: string | undefined
    readonly accountId?: AccountId | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<AuditEntry>; readonly nextCursor: string | null }, InvalidCursor>
  /** The entries as they were hashed, oldest first, and what the oldest of all follows. */
  readonly chain: (options: {
    readonly limit: number
    readonly cursor?: string | undefined
  }) => Effect.Effect<AuditPage, InvalidCursor>
  /** Removes entries older than some days from the beginning of the chain, and keeps the hash that the rest of it follows. */
  readonly prune: (days: number) => Effect.Effect<void>
}>()("mailfleet/storage/Audit") {
  static readonly layer: Layer.Layer<Audit, never, Database> = Layer.effect(
    Audit,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const subjectsOf = makeSubjects(database)

      const write = Effect.fn("Audit.write")(
        function* (entries: ReadonlyArray<NewAuditEntry>) {
          const subjects = yield* subjectsOf(accountsOf(entries))
          yield* sql.withTransaction(appendAudit(database, entries, subjects))
          return entries.map(() => undefined)
        },
        orDie,
        Effect.updateContext((context: Context.Context<never>) => Context.omit(sql.transactionService)(context)),
      )

      // One commit for all that come at the same time. Where it fails each is tried by itself, and says so to who waits for it.
      const record = yield* makeBatches(write, (entry) => Effect.asVoid(write([entry])))

      // Served by audit_account and audit_subject, or by the primary key.
      const list = Effect.fn("Audit.list")(function* (options: {
        readonly limit: number
        readonly cursor?: string | undefined
        readonly accountId?: AccountId | undefined
      }) {
        const { accountId, cursor, limit } = options
        const before = yield* beforeCursor(cursor)
        if (accountId !== undefined && !isId(accountId)) return { items: [], nextCursor: null }
        const rows = yield* orDie(
          sql<EntryRow>`select e.id, e.at, e.actor, e.action, e.account_id, e.grant_id, e.resource,
            e.outcome, e.subject, e.object, e.grant_object, e.detail, e.hash, s.account_id as subject_id, s.key
          from ${t.audit} e left join ${t.audit_subjects} s on s.pseudonym = e.subject where ${
            sql.and([
              sql`true`,
              ...(before === undefined ? [] : [sql`e.id < ${before}`]),
              ...(accountId === undefined ? [] : [
                sql`(e.account_id = ${accountId} or e.subject = (select pseudonym from ${t.audit_subjects}
                where account_id = ${accountId}))`,
              ]),
            ])
          } order by e.id desc limit ${limit + 1}`,
        )
        return pageBefore(rows, limit, toEntry)
      })

      // By the primary key.
      const chain = Effect.fn("Audit.chain")(function* (options: {
        readonly limit: number
        readonly cursor?: string | undefined
      }) {
        const after = options.cursor === undefined ? undefined : yield* positionOf(options.cursor)
        // The anchor and the entries in one statement: they would not fit if the log were pruned between two.
        const rows = yield* orDie(sql<{ anchor: string } & (LinkRow | { readonly id: null })>`
          select m.value as anchor, e.* from ${t.meta} m left join lateral (
            select id, at, actor, action, subject, grant_object, object, resource, detail, outcome, hash from ${t.audit}
            where hash is not null and id > ${after ?? 0n} order by id limit ${options.limit + 1}
          ) e on true where m.name = ${anchorName} order by e.id`)
        const links = rows.flatMap((row) => row.id === null ? [] : [toLink(row)])
        const items = links.slice(0, options.limit)
        return {
          anchor: headOf(rows[0]!.anchor),
          items,
          nextCursor: links.length > options.limit ? encodeCursor([items.at(-1)!.position]) : null,
        }
      })

      /** The oldest entries, up to the first whose time is not past. */
      const pruneSome = Effect.fnUntraced(function* (days: number) {
        yield* lockAudit(database)
        const rows = yield* sql<{ id: bigint; hash: Uint8Array | null; count: number }>`with oldest as (
            select id, hash, at < now() - make_interval(days => ${days}) as is_past
            from ${t.audit} order by id limit ${prunedAtOnce}
          ), doomed as (
            select id, hash from oldest where id < coalesce((select min(id) from oldest where not is_past), 9e18::bigint)
          )
          select id, hash, (select count(*)::int from doomed) as count from doomed order by id desc limit 1`
        const last = rows[0]
        if (last === undefined) return 0
        if (last.hash !== null) {
          yield* sql`update ${t.meta} set value = ${`${last.id}:${hex(last.hash)}`} where name = ${anchorName}`
        }
        yield* sql`delete from ${t.audit} where id <= ${last.id}`
        return last.count
      }, (effect) => sql.withTransaction(effect))

      const prune = Effect.fn("Audit.prune")(function* (days: number) {
        while ((yield* pruneSome(days)) === prunedAtOnce) yield* Effect.sleep("100 millis")
      }, orDie)

      return Audit.of({ record, list, chain, prune })
    }),
  )
}

const positionOf = (cursor: string): Effect.Effect<bigint, InvalidCursor> =>
  Option.match(decodeCursor(cursor, 1), {
    onNone: () => Effect.fail(invalidCursor),
    onSome: ([position]) =>
      typeof position === "string" && /^\d{1,18}$/.test(position)
        ? Effect.succeed(BigInt(position))
        : Effect.fail(invalidCursor),
  })
