/** Who was given what: written before it is given. */
import { Context, DateTime, Effect, Layer } from "effect"
import type { AuditEntry } from "../domain/AuditEntry.ts"
import { type AccountId, isId } from "../domain/Ids.ts"
import type { InvalidCursor } from "./Cursor.ts"
import { Database, orDie } from "./Database.ts"
import { beforeCursor, pageBefore } from "./NewestFirst.ts"

interface AuditRow {
  readonly id: bigint
  readonly at: Date
  readonly actor: string
  readonly action: AuditEntry["action"]
  readonly account_id: string | null
  readonly grant_id: string | null
  readonly resource: NonNullable<AuditEntry["resource"]> | null
  readonly outcome: string
}

const toEntry = (row: AuditRow): AuditEntry => ({
  id: String(row.id),
  at: DateTime.fromDateUnsafe(row.at),
  actor: row.actor,
  action: row.action,
  ...(row.account_id === null ? {} : { accountId: row.account_id }),
  ...(row.grant_id === null ? {} : { grantId: row.grant_id }),
  ...(row.resource === null ? {} : { resource: row.resource }),
  outcome: row.outcome,
})

export class Audit extends Context.Service<Audit, {
  /** Durable when it returns, whatever becomes of a transaction that the caller is in. */
  readonly record: (entry: Omit<AuditEntry, "id" | "at">) => Effect.Effect<void>
  /** Newest first. Entries outlive their account. */
  readonly list: (options: {
    readonly limit: number
    readonly cursor?: string | undefined
    readonly accountId?: AccountId | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<AuditEntry>; readonly nextCursor: string | null }, InvalidCursor>
}>()("mailfleet/storage/Audit") {
  static readonly layer: Layer.Layer<Audit, never, Database> = Layer.effect(
    Audit,
    Effect.map(Database, ({ sql, tables: t }) =>
      Audit.of({
        record: Effect.fn("Audit.record")(
          function* ({ accountId, action, actor, grantId, outcome, resource }) {
            yield* sql`insert into ${t.audit} (actor, action, account_id, grant_id, resource, outcome)
            values (${actor}, ${action}, ${accountId ?? null}, ${grantId ?? null}, ${resource ?? null}, ${outcome})`
          },
          orDie,
          Effect.updateContext(Context.omit(sql.transactionService)),
        ),
        // Served by audit_account, or by the primary key.
        list: Effect.fn("Audit.list")(function* ({ accountId, cursor, limit }) {
          const before = yield* beforeCursor(cursor)
          if (accountId !== undefined && !isId(accountId)) return { items: [], nextCursor: null }
          const rows = yield* orDie(sql<AuditRow>`select id, at, actor, action, account_id, grant_id, resource, outcome
            from ${t.audit} where ${
            sql.and([
              ...(before === undefined ? [] : [sql`id < ${before}`]),
              ...(accountId === undefined ? [] : [sql`account_id = ${accountId}`]),
            ])
          } order by id desc limit ${limit + 1}`)
          return pageBefore(rows, limit, toEntry)
        }),
      })),
  )
}
