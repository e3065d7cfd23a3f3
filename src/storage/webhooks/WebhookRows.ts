/** How webhooks and their deliveries are stored, and what is shown of them. */
import { DateTime } from "effect"
import type { ChangeOrigin } from "../../domain/Mail.ts"
import type { DeliveryState, Webhook, WebhookDelivery, WebhookEvent } from "../../domain/Webhook.ts"
import type { Positions } from "../mail/Positions.ts"

/** What the webhook `w` is listed with. */
export const webhookColumns = `w.id, w.url, w.description, w.events, w.origins, w.tags, w.enabled, w.change_cursor,
  w.failures, case when w.paused_until > now() then w.paused_until end as paused_until, w.delivered_at, w.disabled_at,
  w.disabled_reason, case when w.previous_secret_until > now() then w.previous_secret_until end as previous_secret_until,
  w.created_at, w.updated_at`

export interface WebhookRow {
  readonly id: string
  readonly url: string
  readonly description: string
  readonly events: ReadonlyArray<WebhookEvent> | null
  readonly origins: ReadonlyArray<ChangeOrigin>
  readonly tags: ReadonlyArray<string> | null
  readonly enabled: boolean
  readonly change_cursor: bigint
  readonly waiting: number
  readonly failures: number
  readonly paused_until: Date | null
  readonly delivered_at: Date | null
  readonly disabled_at: Date | null
  readonly disabled_reason: string | null
  readonly previous_secret_until: Date | null
  readonly created_at: Date
  readonly updated_at: Date
}

const time = (date: Date | null) => date === null ? null : DateTime.fromDateUnsafe(date)

export const toWebhook = ({ position }: Positions) => (row: WebhookRow): Webhook => ({
  id: row.id,
  url: row.url,
  description: row.description,
  events: row.events,
  origins: row.origins,
  tags: row.tags,
  enabled: row.enabled,
  ...(row.disabled_at === null ? {} : { disabledAt: DateTime.fromDateUnsafe(row.disabled_at) }),
  ...(row.disabled_reason === null ? {} : { disabledReason: row.disabled_reason }),
  position: position(row.change_cursor),
  waiting: row.waiting,
  failures: row.failures,
  pausedUntil: time(row.paused_until),
  deliveredAt: time(row.delivered_at),
  previousSecretUntil: time(row.previous_secret_until),
  createdAt: DateTime.fromDateUnsafe(row.created_at),
  updatedAt: DateTime.fromDateUnsafe(row.updated_at),
})

/** What a delivery is told apart by for ever: its source has one place in the log, or one id among the events. */
export const messageId = (
  { position }: Positions,
  { change_id, event_id }: { readonly change_id: bigint | null; readonly event_id: bigint | null },
): string => change_id === null ? `evt_${position(event_id!)}` : `chg_${position(change_id)}`

export interface DeliveryRow {
  readonly id: bigint
  readonly type: WebhookEvent
  readonly account_id: string | null
  readonly change_id: bigint | null
  readonly event_id: bigint | null
  readonly attempts: number
  readonly queued_at: Date
  readonly attempted_at: Date | null
  readonly next_at: Date | null
  readonly delivered_at: Date | null
  readonly status: number | null
  readonly error: string | null
}

const stateOf = (row: DeliveryRow): DeliveryState =>
  row.delivered_at !== null ? "delivered" : row.attempts > 0 ? "retrying" : "waiting"

export const toDelivery = (positions: Positions) => (row: DeliveryRow): WebhookDelivery => ({
  id: messageId(positions, row),
  type: row.type,
  accountId: row.account_id,
  state: stateOf(row),
  attempts: row.attempts,
  queuedAt: DateTime.fromDateUnsafe(row.queued_at),
  attemptedAt: time(row.attempted_at),
  nextAttemptAt: time(row.next_at),
  deliveredAt: time(row.delivered_at),
  status: row.status,
  error: row.error,
})
