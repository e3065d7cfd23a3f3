/** Grants as operators see them: listed, shown and deleted. Their secrets are another matter (`Grants.ts`). */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { Provider, RefreshPolicy } from "../../domain/Account.ts"
import { type Grant, GrantInUse, type GrantKind } from "../../domain/Grant.ts"
import { type AppId, type GrantId, isId } from "../../domain/Ids.ts"
import { type TokenFailureRow, toTokenFailure } from "../Accounts.ts"
import { afterCursor, type InvalidCursor, pageOf } from "../Cursor.ts"
import { Database, orDie } from "../Database.ts"

interface GrantRow extends TokenFailureRow {
  readonly id: string
  readonly kind: GrantKind
  readonly app_id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly subject: string | null
  readonly accounts: number
  readonly refreshed_at: Date | null
  readonly policy: RefreshPolicy
  readonly attempt_at: Date | null
  readonly created_at: Date
}

const timeOrNull = (date: Date | null) => date === null ? null : DateTime.fromDateUnsafe(date)

const toGrant = (row: GrantRow): Grant => ({
  id: row.id,
  kind: row.kind,
  appId: row.app_id,
  provider: row.provider,
  clientId: row.client_id,
  tenant: row.tenant,
  ...(row.subject === null ? {} : { subject: row.subject }),
  accounts: row.accounts,
  refreshedAt: timeOrNull(row.refreshed_at),
  policy: row.policy,
  nextRefreshAt: timeOrNull(row.attempt_at),
  ...toTokenFailure(row),
  createdAt: DateTime.fromDateUnsafe(row.created_at),
})

export interface GrantListOptions {
  readonly kind?: GrantKind | undefined
  readonly appId?: AppId | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export class GrantCatalog extends Context.Service<GrantCatalog, {
  readonly get: (id: GrantId) => Effect.Effect<Option.Option<Grant>>
  /** Oldest first. */
  readonly list: (
    options: GrantListOptions,
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Grant>; readonly nextCursor: string | null }, InvalidCursor>
  /** Deletes a grant that has no accounts. False = there was none. */
  readonly remove: (id: GrantId) => Effect.Effect<boolean, GrantInUse>
}>()("mailfleet/storage/GrantCatalog") {
  static readonly layer: Layer.Layer<GrantCatalog, never, Database> = Layer.effect(
    GrantCatalog,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      const columns =
        sql`g.id, g.kind, g.app_id, p.provider, p.client_id, coalesce(g.tenant, p.tenant) as tenant, g.subject,
        (select count(*)::int from ${t.accounts} a where a.grant_id = g.id) as accounts, g.refreshed_at, g.policy,
        g.attempt_at, g.failures, g.failing_since, g.failure_class, g.failure_code, g.failure_message, g.failure_trace_id,
        g.failure_correlation_id, g.failed_at, g.created_at`
      const from = sql`${t.grants} g join ${t.apps} p on p.id = g.app_id`

      return GrantCatalog.of({
        get: Effect.fn("GrantCatalog.get")(function* (id: GrantId) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<GrantRow>`select ${columns} from ${from} where g.id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), toGrant)
        }, orDie),
        // Served by the primary key; those of whole tenants by grants_of_tenant.
        list: Effect.fn("GrantCatalog.list")(function* ({ appId, cursor, kind, limit }: GrantListOptions) {
          const after = yield* afterCursor(cursor, isId)
          if (appId !== undefined && !isId(appId)) return { items: [], nextCursor: null }
          const conditions = [
            sql`true`,
            ...(kind === undefined ? [] : [sql`g.kind = ${kind}`]),
            ...(appId === undefined ? [] : [sql`g.app_id = ${appId}`]),
            ...(after === undefined ? [] : [sql`g.id > ${after}`]),
          ]
          const rows = yield* orDie(
            sql<GrantRow>`select ${columns} from ${from} where ${sql.and(conditions)} order by g.id limit ${limit + 1}`,
          )
          return pageOf(rows, limit, toGrant, ({ id }) => id)
        }),
        remove: Effect.fn("GrantCatalog.remove")(function* (id: GrantId) {
          if (!isId(id)) return false
          const rows = yield* orDie(
            sql<{ accounts: number }>`with found as (
                select g.id, (select count(*)::int from ${t.accounts} a where a.grant_id = g.id) as accounts
                from ${t.grants} g where g.id = ${id} for update of g
              ), gone as (
                delete from ${t.grants} g using found where g.id = found.id and found.accounts = 0
              )
              select accounts from found`,
          )
          if (rows[0] === undefined) return false
          return rows[0].accounts === 0 ? true : yield* new GrantInUse({ accounts: rows[0].accounts })
        }),
      })
    }),
  )
}
