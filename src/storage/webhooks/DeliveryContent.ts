/** What a delivery tells: read where it was written, in the change log or among the events. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { Account } from "../../domain/Account.ts"
import type { Event } from "../../domain/Event.ts"
import type { Change } from "../../domain/Mail.ts"
import type { Run } from "../../domain/Run.ts"
import type { WebhookEvent } from "../../domain/Webhook.ts"
import { column, type Database } from "../Database.ts"
import { type EventRow, toEvent } from "../Events.ts"
import { changeOf, type ChangeRow } from "../mail/Changes.ts"
import type { Positions } from "../mail/Positions.ts"
import { type RunRow, toRun } from "../runs/RunItems.ts"
import { messageId } from "./WebhookRows.ts"

/** What a delivery tells of. */
export type DeliverySource =
  | { readonly change: Change; readonly account: Pick<Account, "email"> }
  | { readonly event: Event; readonly account?: Pick<Account, "id" | "email">; readonly run?: Run }

export interface LoadedDelivery {
  readonly id: bigint
  readonly messageId: string
  readonly type: WebhookEvent
  readonly attempts: number
  readonly source: DeliverySource
  readonly url: string
  /** Sealed; the current one first. */
  readonly secrets: ReadonlyArray<Uint8Array>
}

interface LoadedRow {
  readonly id: bigint
  readonly type: WebhookEvent
  readonly attempts: number
  readonly account_id: string | null
  readonly email: string | null
  readonly change_id: bigint | null
  readonly event_id: bigint | null
  readonly url: string
  readonly secret: Uint8Array
  readonly previous_secret: Uint8Array | null
  readonly change: Omit<ChangeRow, "id" | "at"> | null
  readonly change_at: Date | null
  readonly event: Omit<EventRow, "id" | "at"> | null
  readonly event_at: Date | null
  readonly run_id: string | null
}

/** Those of the webhook that are still there, as long as the fencing number holds. By the primary keys. */
export const contentOf = (
  { sql, tables: t }: Database["Service"],
  positions: Positions,
  claimed: { readonly id: string; readonly fence: bigint },
  ids: ReadonlyArray<bigint>,
): Effect.Effect<ReadonlyArray<LoadedDelivery>, SqlError.SqlError> =>
  Effect.gen(function* () {
    const rows = yield* sql<LoadedRow>`select d.id, d.type, d.attempts, d.account_id, a.email, d.change_id, d.event_id,
        w.url, w.secret, case when w.previous_secret_until > now() then w.previous_secret end as previous_secret,
        to_jsonb(c) - 'at' as change, c.at as change_at, to_jsonb(e) - 'at' as event, e.at as event_at, r.id as run_id
      from ${t.webhook_deliveries} d join ${t.webhooks} w on w.id = d.webhook_id
      left join ${t.accounts} a on a.id = d.account_id
      left join ${t.changes} c on c.id = d.change_id
      left join ${t.events} e on e.id = d.event_id
      left join ${t.runs} r on r.id = case when e.kind = 'run.finished' then e.subject::uuid end
      where d.id = any (${column("int8", ids)}) and d.delivered_at is null
        and w.id = ${claimed.id} and w.fence = ${claimed.fence} and w.enabled
      order by d.id`
    const runIds = rows.flatMap(({ run_id }) => run_id === null ? [] : [run_id])
    const runs = runIds.length === 0
      ? []
      : yield* sql<RunRow>`select * from ${t.runs} where id = any (${column("uuid", runIds)})`
    const runOf = new Map(runs.map((row) => [row.id, toRun(row)]))
    return rows.map((row): LoadedDelivery => ({
      id: row.id,
      messageId: messageId(positions, row),
      type: row.type,
      attempts: row.attempts,
      url: row.url,
      secrets: row.previous_secret === null ? [row.secret] : [row.secret, row.previous_secret],
      source: sourceOf(row, positions.position, runOf),
    }))
  })

const sourceOf = (
  row: LoadedRow,
  position: (id: bigint) => string,
  runOf: ReadonlyMap<string, Run>,
): DeliverySource => {
  if (row.change !== null) {
    const change = changeOf(position, { ...row.change, id: row.change_id!, at: row.change_at! })
    return { change, account: { email: row.email ?? "" } }
  }
  const run = row.run_id === null ? undefined : runOf.get(row.run_id)
  return {
    event: toEvent({ ...row.event!, id: row.event_id!, at: row.event_at! }),
    ...(row.account_id === null || row.email === null ? {} : { account: { id: row.account_id, email: row.email } }),
    ...(run === undefined ? {} : { run }),
  }
}
