/** Runs and their items. A run belongs to one process at a time, by a lease with a fencing number. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { SqlError } from "effect/sql"
import type { AccountStatus, Channel, Provider, Resource } from "../../domain/Account.ts"
import { resourceOf } from "../../domain/Account.ts"
import { type AccountId, type GrantId, isId, newId, type RunId } from "../../domain/Ids.ts"
import type { Outcome, Run, RunItem, RunKind, RunState } from "../../domain/Run.ts"
import { accountConditions, type AccountFilter, type Selection } from "../Accounts.ts"
import { afterCursor, decodeCursor, encodeCursor, type InvalidCursor, invalidCursor, pageOf } from "../Cursor.ts"
import { column, Database, orDie, relaxed } from "../Database.ts"
import { failUnfinished, type ItemResult, type ItemRow, recordItems, type RunRow, toItem, toRun } from "./RunItems.ts"
import { tellFinished } from "./RunFinished.ts"
import { withTrace } from "./RunTrace.ts"

export { type ItemResult, recordItems } from "./RunItems.ts"

/** Seconds that a silent owner keeps a run. Renewed every second. */
const ownerSeconds = 15

/** The key came before: with another request (`reused`), or its upload is still under way (`uploading`). */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()("IdempotencyConflict", {
  kind: Schema.Literals(["reused", "uploading"]),
}) {}

/** Another process has taken the run over: this one must stop working on it. */
export class RunLost extends Schema.TaggedError<RunLost>()("RunLost", { runId: Schema.String }) {}

export interface NewRun {
  readonly kind: RunKind
  readonly trigger: string
  readonly params?: unknown
  readonly idempotencyKey?: string | undefined
  /** Hash of all that the request says, to tell a repeated request from a reused key. */
  readonly requestHash?: string | undefined
}

/** A run that this process owns. */
export interface OwnedRun {
  readonly id: RunId
  readonly kind: RunKind
  readonly fence: bigint
  readonly params: unknown
  readonly createdAt: Date
}

/** An item whose account is known, with what its work needs. */
export interface WorkItem {
  readonly position: number
  readonly accountId: AccountId
  readonly grantId: GrantId
  readonly app: { readonly provider: Provider; readonly clientId: string; readonly tenant: string }
  readonly resource: Resource
  readonly status: AccountStatus
  readonly refreshedAt: Date | null
  readonly syncedAt: Date | null
  /** Whether its grant is likely to have further accounts. */
  readonly sharesGrant: boolean
}

export class Runs extends Context.Service<Runs, {
  readonly get: (id: RunId) => Effect.Effect<Option.Option<Run>>
  /** Newest first. Imports that are still being uploaded are not runs yet. */
  readonly list: (options: {
    readonly kind?: RunKind | undefined
    readonly state?: RunState | undefined
    readonly limit: number
    readonly cursor?: string | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<Run>; readonly nextCursor: string | null }, InvalidCursor>
  readonly items: (runId: RunId, options: {
    readonly outcome?: Outcome | undefined
    readonly limit: number
    readonly cursor?: string | undefined
  }) => Effect.Effect<{ readonly items: ReadonlyArray<RunItem>; readonly nextCursor: string | null }, InvalidCursor>
  /** A queued run over the selected accounts, as they are now. `skipDisabled` accounts named by id become skipped items. */
  readonly createOver: (run: NewRun, selection: Selection) => Effect.Effect<Run, IdempotencyConflict>
  /** A queued run over the failed items of another that have an account. None = there are none. */
  readonly createRetry: (runId: RunId, run: NewRun) => Effect.Effect<Option.Option<Run>, IdempotencyConflict>
  /** Where the run is: stops it, or asks its owner to. False = it has ended already. */
  readonly cancel: (id: RunId) => Effect.Effect<boolean>

  /** Takes over queued runs and runs whose owner is silent, oldest first. */
  readonly claim: (kind: RunKind, limit: number) => Effect.Effect<ReadonlyArray<OwnedRun>>
  /** Keeps the ownership. `cancelRequested` = stop working. */
  readonly renew: (run: OwnedRun) => Effect.Effect<{ readonly cancelRequested: boolean }, RunLost>
  /** Hands a run back, so that any process can take it up at once. */
  readonly handBack: (run: OwnedRun) => Effect.Effect<void>
  /** Pending items with an account, after `position`, in order. */
  readonly pending: (run: OwnedRun, after: number, limit: number) => Effect.Effect<ReadonlyArray<WorkItem>>
  /** Stores outcomes and counts in one transaction. An item that has an outcome already keeps it and is not counted again. */
  readonly record: (run: OwnedRun, results: ReadonlyArray<ItemResult>) => Effect.Effect<void, RunLost>
  readonly finish: (run: OwnedRun, state: "completed" | "cancelled" | "failed") => Effect.Effect<void, RunLost>
}>()("mailfleet/storage/Runs") {
  static readonly layer: Layer.Layer<Runs, never, Database> = Layer.effect(
    Runs,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database

      const get = Effect.fn("Runs.get")(function* (id: RunId) {
        if (!isId(id)) return Option.none()
        const rows = yield* sql<RunRow>`select * from ${t.runs} where id = ${id} and state <> 'uploading'`
        return Option.map(Option.fromUndefinedOr(rows[0]), toRun)
      }, orDie)

      const list = Effect.fn("Runs.list")(function* (options: {
        readonly kind?: RunKind | undefined
        readonly state?: RunState | undefined
        readonly limit: number
        readonly cursor?: string | undefined
      }) {
        const conditions = [sql`state <> 'uploading'`]
        if (options.kind !== undefined) conditions.push(sql`kind = ${options.kind}`)
        if (options.state !== undefined) conditions.push(sql`state = ${options.state}`)
        const after = yield* afterCursor(options.cursor, isId)
        if (after !== undefined) conditions.push(sql`id < ${after}`)
        const rows = yield* orDie(
          sql<RunRow>`select * from ${t.runs} where ${sql.and(conditions)} order by id desc limit ${options.limit + 1}`,
        )
        return pageOf(rows, options.limit, toRun, ({ id }) => id)
      })

      const items = Effect.fn("Runs.items")(function* (runId: RunId, options: {
        readonly outcome?: Outcome | undefined
        readonly limit: number
        readonly cursor?: string | undefined
      }) {
        const conditions = [sql`run_id = ${runId}`]
        if (options.outcome !== undefined) conditions.push(sql`outcome = ${options.outcome}`)
        if (options.cursor !== undefined) {
          const after = Option.filter(decodeCursor(options.cursor, 1), ([position]) => Number.isInteger(position))
          if (Option.isNone(after)) return yield* invalidCursor
          conditions.push(sql`position > ${after.value[0]!}`)
        }
        const rows = yield* orDie(sql<ItemRow>`select position, line, email, account_id, outcome, error_code,
            error_field, error_message, error_retryable
          from ${t.run_items} where ${sql.and(conditions)} order by position limit ${options.limit + 1}`)
        const page = rows.slice(0, options.limit)
        return {
          items: page.map(toItem),
          nextCursor: rows.length > options.limit ? encodeCursor([page[page.length - 1]!.position]) : null,
        }
      })

      /** Fills a new run with items; where the idempotency key is known, answers with the run that it made. None = no items to retry. */
      const create = (
        run: NewRun,
        retryOf: RunId | null,
        fill: (id: RunId) => Effect.Effect<unknown, SqlError.SqlError>,
      ) =>
        sql.withTransaction(Effect.gen(function* () {
          const id = newId()
          const params = yield* withTrace(run.params)
          const inserted = yield* sql`insert into ${t.runs}
              (id, kind, state, trigger, params, retry_of, idempotency_key, request_hash)
            values (${id}, ${run.kind}, 'queued', ${run.trigger}, ${params}, ${retryOf},
              ${run.idempotencyKey ?? null}, ${run.requestHash ?? null})
            on conflict (idempotency_key) do nothing returning 1`
          if (inserted.length === 0) return yield* repeated(run)
          yield* fill(id)
          const rows = yield* sql<RunRow>`update ${t.runs} r
            set total = counted.total, failed = counted.failed, skipped = counted.skipped
            from (select count(*) as total, count(*) filter (where outcome = 'failed') as failed,
              count(*) filter (where outcome = 'skipped') as skipped from ${t.run_items} where run_id = ${id}) counted
            where r.id = ${id} returning r.*`
          const row = rows[0]!
          if (row.total > 0 || retryOf === null) return Option.some(row)
          yield* sql`delete from ${t.runs} where id = ${id}`
          return Option.none<RunRow>()
        })).pipe(Effect.catchTag("SqlError", Effect.die))

      const repeated = Effect.fnUntraced(function* (run: NewRun) {
        const rows = yield* sql<RunRow & { readonly request_hash: string | null }>`
          select * from ${t.runs} where idempotency_key = ${run.idempotencyKey ?? null}`
        const row = rows[0]
        if (row === undefined || row.request_hash !== (run.requestHash ?? null)) {
          return yield* new IdempotencyConflict({ kind: "reused" })
        }
        return Option.some<RunRow>(row)
      })

      /** Items for ids as they were given, each once: an id of any form that names no account is a failed item. */
      const insertNamed = (runId: RunId, given: ReadonlyArray<AccountId>) => {
        const ids = [...new Set(given.map((id) => id.toLowerCase()))]
        return sql`insert into ${t.run_items}
            (run_id, position, account_id, email, outcome, error_code, error_message, error_retryable)
          select ${runId}::uuid, named.place, a.id, a.email, verdict.outcome, verdict.code, verdict.message,
            case when verdict.code is not null then false end
          from unnest(${column("uuid", ids.map((id) => isId(id) ? id : null))}) with ordinality as named (id, place)
          left join ${t.accounts} a on a.id = named.id
          cross join lateral (select * from (values
            (a.id is null, 'failed', 'account_not_found', 'there is no account with this id'),
            (a.status = 'disabled', 'skipped', 'account_disabled', 'the account is disabled'),
            (true, 'pending', null, null)) v (applies, outcome, code, message) where applies limit 1) verdict`
      }

      const insertSelected = (runId: RunId, filter: AccountFilter) =>
        sql`insert into ${t.run_items} (run_id, position, account_id, email)
          select ${runId}::uuid, row_number() over (order by a.id), a.id, a.email
          from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
          where ${sql.and(accountConditions(database, filter))} and a.status <> 'disabled'`

      const createOver = Effect.fn("Runs.createOver")(function* (run: NewRun, selection: Selection) {
        const row = yield* create(
          run,
          null,
          (id) => selection._tag === "Ids" ? insertNamed(id, selection.ids) : insertSelected(id, selection.filter),
        )
        return toRun(Option.getOrThrow(row))
      })

      const createRetry = Effect.fn("Runs.createRetry")(function* (runId: RunId, run: NewRun) {
        const row = yield* create(
          run,
          runId,
          (id) =>
            sql`insert into ${t.run_items} (run_id, position, line, email, account_id)
            select ${id}::uuid, row_number() over (order by i.position), i.line, i.email, i.account_id
            from ${t.run_items} i join ${t.accounts} a on a.id = i.account_id
            where i.run_id = ${runId} and i.outcome = 'failed'`,
        )
        return Option.map(row, toRun)
      })

      const lost = (run: OwnedRun) => new RunLost({ runId: run.id })

      return Runs.of({
        get,
        list,
        items,
        createOver,
        createRetry,
        cancel: Effect.fn("Runs.cancel")(function* (id: RunId) {
          if (!isId(id)) return false
          return yield* sql.withTransaction(Effect.gen(function* () {
            const rows = yield* sql<{ owned: boolean }>`update ${t.runs} set cancel_requested = true
              where id = ${id} and state in ('queued', 'running')
              returning coalesce(owner_until > now(), false) as owned`
            if (rows[0] === undefined) return false
            if (!rows[0].owned) {
              yield* sql`update ${t.runs} set state = 'cancelled', finished_at = now() where id = ${id}`
              yield* sql`delete from ${t.import_blocks} where run_id = ${id}`
              yield* tellFinished(database, id)
            }
            return true
          }))
        }, orDie),
        // Index: runs_open.
        claim: Effect.fnUntraced(function* (kind: RunKind, limit: number) {
          const rows = yield* sql<{ id: string; owner_fence: bigint; params: unknown; created_at: Date }>`
            update ${t.runs} set owner_fence = owner_fence + 1, owner_until = now() + make_interval(secs => ${ownerSeconds}),
              state = 'running', started_at = coalesce(started_at, now())
            where id in (
              select id from ${t.runs} where state in ('queued', 'running') and kind = ${kind}
              and (owner_until is null or owner_until < now()) order by id limit ${limit} for update skip locked)
            returning id, owner_fence, params, created_at`
          return rows.map((row) => ({
            id: row.id,
            kind,
            fence: row.owner_fence,
            params: row.params,
            createdAt: row.created_at,
          }))
        }, orDie),
        renew: Effect.fnUntraced(function* (run: OwnedRun) {
          const rows = yield* orDie(sql<{ cancel_requested: boolean }>`update ${t.runs}
            set owner_until = now() + make_interval(secs => ${ownerSeconds}) from ${sql.literal(relaxed)}
            where id = ${run.id} and owner_fence = ${run.fence} and state = 'running' returning cancel_requested`)
          if (rows[0] === undefined) return yield* lost(run)
          return { cancelRequested: rows[0].cancel_requested }
        }),
        handBack: (run) =>
          orDie(sql`update ${t.runs} set owner_until = null where id = ${run.id} and owner_fence = ${run.fence}`).pipe(
            Effect.asVoid,
          ),
        pending: Effect.fnUntraced(function* (run: OwnedRun, after: number, limit: number) {
          const rows = yield* sql<{
            position: number
            account_id: string
            grant_id: string
            provider: Provider
            channel: Channel
            client_id: string
            tenant: string
            status: AccountStatus
            refreshed_at: Date | null
            synced_at: Date | null
            shared: boolean
          }>`select i.position, i.account_id, a.grant_id, a.provider, a.channel, p.client_id,
              coalesce(g.tenant, p.tenant) as tenant, a.status, g.refreshed_at, a.synced_at,
              a.by_name or g.kind = 'client_credentials' as shared
            from ${t.run_items} i join ${t.accounts} a on a.id = i.account_id join ${t.grants} g on g.id = a.grant_id
            join ${t.apps} p on p.id = g.app_id
            where i.run_id = ${run.id} and i.position > ${after} and i.outcome = 'pending'
            order by i.position limit ${limit}`
          return rows.map((row) => ({
            position: row.position,
            accountId: row.account_id,
            grantId: row.grant_id,
            app: { provider: row.provider, clientId: row.client_id, tenant: row.tenant },
            resource: resourceOf(row.provider, row.channel),
            status: row.status,
            refreshedAt: row.refreshed_at,
            syncedAt: row.synced_at,
            sharesGrant: row.shared,
          }))
        }, orDie),
        record: Effect.fnUntraced(function* (run: OwnedRun, results: ReadonlyArray<ItemResult>) {
          const owned = yield* orDie(recordItems(database, run.id, results, run.fence))
          if (!owned) return yield* lost(run)
        }),
        finish: Effect.fnUntraced(function* (run: OwnedRun, state: "completed" | "cancelled" | "failed") {
          yield* sql.withTransaction(Effect.gen(function* () {
            if (state !== "cancelled") yield* failUnfinished(database, run.id)
            const rows = yield* sql`update ${t.runs} set state = ${state}, finished_at = now(), owner_until = null
              where id = ${run.id} and owner_fence = ${run.fence} and state = 'running' returning 1`
            if (rows.length === 0) return yield* lost(run)
            yield* sql`delete from ${t.import_blocks} where run_id = ${run.id}`
            yield* tellFinished(database, run.id)
          })).pipe(Effect.catchTag("SqlError", Effect.die))
        }),
      })
    }),
  )
}
