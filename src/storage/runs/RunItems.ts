/** Outcomes of items: how they are stored, and how the rows of runs and items read. */
import { DateTime, Effect } from "effect"
import type { AccountId, RunId } from "../../domain/Ids.ts"
import type { ItemError, Outcome, Run, RunItem, RunKind, RunState } from "../../domain/Run.ts"
import { column, type Database, relaxed } from "../Database.ts"

export interface ItemResult {
  readonly position: number
  readonly outcome: Exclude<Outcome, "pending">
  readonly error?: ItemError | undefined
}

/** An outcome, or just the account that a pending item has got. */
type RecordedItem = Omit<ItemResult, "outcome"> & {
  readonly outcome: Outcome
  readonly accountId?: AccountId | undefined
}

/** A row of `runs`. */
export interface RunRow {
  readonly id: string
  readonly kind: RunKind
  readonly state: RunState
  readonly trigger: string
  readonly params: { readonly dryRun?: boolean }
  readonly total: number
  readonly succeeded: number
  readonly failed: number
  readonly skipped: number
  readonly retry_of: string | null
  readonly created_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
}

const time = (date: Date | null) => date === null ? null : DateTime.fromDateUnsafe(date)

export const toRun = (row: RunRow): Run => ({
  id: row.id,
  kind: row.kind,
  state: row.state,
  trigger: row.trigger,
  total: row.total,
  processed: row.succeeded + row.failed + row.skipped,
  succeeded: row.succeeded,
  failed: row.failed,
  skipped: row.skipped,
  createdAt: DateTime.fromDateUnsafe(row.created_at),
  startedAt: time(row.started_at),
  finishedAt: time(row.finished_at),
  ...(row.retry_of === null ? {} : { retryOf: row.retry_of }),
  ...(row.params.dryRun === true ? { dryRun: true } : {}),
})

/** A row of `run_items`, as lists show it. */
export interface ItemRow {
  readonly position: number
  readonly line: number | null
  readonly email: string | null
  readonly account_id: string | null
  readonly outcome: Outcome
  readonly error_code: string | null
  readonly error_field: string | null
  readonly error_message: string | null
  readonly error_retryable: boolean | null
}

export const toItem = (row: ItemRow): RunItem => ({
  position: row.position,
  ...(row.line === null ? {} : { line: row.line }),
  ...(row.email === null ? {} : { email: row.email }),
  ...(row.account_id === null ? {} : { accountId: row.account_id }),
  outcome: row.outcome,
  ...(row.error_code === null ? {} : {
    error: {
      code: row.error_code,
      ...(row.error_field === null ? {} : { field: row.error_field }),
      message: row.error_message ?? "",
      retryable: row.error_retryable ?? false,
    },
  }),
})

/** Items whose account was deleted while they waited end with the run. */
export const failUnfinished = ({ sql, tables: t }: Database["Service"], runId: RunId) =>
  Effect.gen(function* () {
    const rows = yield* sql`update ${t.run_items} set outcome = 'failed', error_code = 'account_deleted',
        error_message = 'the account was deleted before its turn came', error_retryable = false
      where run_id = ${runId} and outcome = 'pending' returning 1`
    if (rows.length > 0) yield* sql`update ${t.runs} set failed = failed + ${rows.length} where id = ${runId}`
  })

/**
 * Outcomes of items that were pending, and the run's counts, in one statement. With a `fence`, only for the owner of the run:
 * false where another process has it.
 */
export const recordItems = (
  { sql, tables: t }: Database["Service"],
  runId: RunId,
  results: ReadonlyArray<RecordedItem>,
  fence?: bigint,
) => {
  const positions = results.map(({ position }) => position)
  return Effect.map(
    sql`with owned as (
        select id from ${t.runs} where id = ${runId} and (${fence ?? null}::bigint is null
          or (owner_fence = ${fence ?? null} and state = 'running')) for update
      ), settled as (
        -- The rows are there; "on conflict" finds each by the primary key, where a join is planned anew, and badly while
        -- the table has just grown.
        insert into ${t.run_items} as i
          (run_id, position, outcome, account_id, error_code, error_message, error_retryable)
        select owned.id, new.* from owned, unnest(
          ${column("int4", positions)}, ${column("text", results.map(({ outcome }) => outcome))},
          ${column("uuid", results.map(({ accountId }) => accountId ?? null))},
          ${column("text", results.map(({ error }) => error?.code ?? null))},
          ${column("text", results.map(({ error }) => error?.message ?? null))},
          ${column("bool", results.map(({ error }) => error?.retryable ?? null))}) as new
        on conflict (run_id, position) do update set outcome = excluded.outcome,
          account_id = coalesce(excluded.account_id, i.account_id), error_code = excluded.error_code,
          error_message = excluded.error_message, error_retryable = excluded.error_retryable
        where i.outcome = 'pending'
        returning outcome
      ), counts as (
        select count(*) filter (where outcome = 'succeeded') as succeeded, count(*) filter (where outcome = 'failed') as failed,
          count(*) filter (where outcome = 'skipped') as skipped from settled
      )
      update ${t.runs} r set succeeded = r.succeeded + counts.succeeded, failed = r.failed + counts.failed,
        skipped = r.skipped + counts.skipped
      from owned, counts, ${sql.literal(relaxed)} where r.id = owned.id returning 1`,
    (rows) => rows.length > 0,
  )
}
