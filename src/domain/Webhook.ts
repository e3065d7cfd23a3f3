/** Webhooks: where we send what happens, by the Standard Webhooks convention (standardwebhooks.com). */
import { Schema } from "effect"
import { EventKind } from "./Event.ts"
import { AccountId } from "./Ids.ts"
import { ChangeKind, ChangeOrigin } from "./Mail.ts"

/** What a webhook can be sent: entries of the change log about messages, and the events that operators are told. */
export const WebhookEvent = Schema.Literals([
  ...ChangeKind.literals.filter((kind) => kind !== "account.status"),
  ...EventKind.literals,
])
export type WebhookEvent = typeof WebhookEvent.Type

/** A UUID, of version 7: sorts by age. */
export const WebhookId = Schema.String
export type WebhookId = typeof WebhookId.Type

/** An endpoint that is sent what happens, and how far that has come. */
export const Webhook = Schema.Struct({
  id: WebhookId,
  url: Schema.String,
  /** For people; may be empty. */
  description: Schema.String,
  /** What it is sent; null = everything. */
  events: Schema.NullOr(Schema.Array(WebhookEvent)),
  /** Changes of messages are sent if they have one of these origins. */
  origins: Schema.Array(ChangeOrigin),
  /** Of accounts with one of these tags; null = of all accounts. What concerns no single account is sent all the same. */
  tags: Schema.NullOr(Schema.Array(Schema.String)),
  enabled: Schema.Boolean,
  /** Present where we have disabled it ourselves: when, and why. */
  disabledAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
  disabledReason: Schema.optionalKey(Schema.String),
  /** The change log was taken in up to here; of that, `waiting` deliveries are still to arrive. */
  position: Schema.String,
  waiting: Schema.Int,
  /** Attempts in a row that failed; 0 = the last one arrived. */
  failures: Schema.Int,
  /** Nothing is sent before: the receiver asked for it, or takes nothing at all. */
  pausedUntil: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** When the last delivery arrived. */
  deliveredAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** The secret of before the last rotation signs as well until then. */
  previousSecretUntil: Schema.NullOr(Schema.DateTimeUtcFromString),
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
})
export type Webhook = typeof Webhook.Type

/** What a webhook is made from. */
export interface NewWebhook {
  /** `https:` or `http:`; a host of the public internet, unless private ones are allowed. */
  readonly url: string
  /** For people. */
  readonly description?: string | undefined
  /** Default: everything. */
  readonly events?: ReadonlyArray<WebhookEvent> | null | undefined
  /** Default: `live` only, so that a first sync floods nobody. */
  readonly origins?: ReadonlyArray<ChangeOrigin> | undefined
  /** Default: of all accounts. */
  readonly tags?: ReadonlyArray<string> | null | undefined
  /** Default: true. */
  readonly enabled?: boolean | undefined
}

/** Only what is given is changed. Enabling goes on where it stood, at once. */
export type WebhookPatch = Partial<NewWebhook>

/** `waiting`: not tried yet. `retrying`: tried in vain so far. `delivered`: the receiver has taken it. */
export const DeliveryState = Schema.Literals(["waiting", "retrying", "delivered"])
export type DeliveryState = typeof DeliveryState.Type

/** One thing that happened, on its way to one webhook. */
export const WebhookDelivery = Schema.Struct({
  /** The `webhook-id` that it is sent with, the same in each attempt. */
  id: Schema.String,
  type: WebhookEvent,
  accountId: Schema.NullOr(AccountId),
  state: DeliveryState,
  /** How often it was tried since the receiver was last found to answer. */
  attempts: Schema.Int,
  queuedAt: Schema.DateTimeUtcFromString,
  attemptedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** When it is tried again at the earliest. */
  nextAttemptAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  deliveredAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** HTTP status of the last attempt; null = there was no answer, or no attempt. */
  status: Schema.NullOr(Schema.Int),
  /** Why the last attempt failed. */
  error: Schema.NullOr(Schema.String),
})
export type WebhookDelivery = typeof WebhookDelivery.Type

/** What came of one attempt to deliver. */
export const DeliveryOutcome = Schema.Struct({
  delivered: Schema.Boolean,
  /** HTTP status; null = there was no answer. */
  status: Schema.NullOr(Schema.Int),
  /** One line; null where it was delivered. */
  error: Schema.NullOr(Schema.String),
  milliseconds: Schema.Int,
})
export type DeliveryOutcome = typeof DeliveryOutcome.Type

/** A URL that is no target for a webhook. `message` says what was expected. */
export class InvalidWebhook extends Schema.TaggedError<InvalidWebhook>()("InvalidWebhook", {
  field: Schema.String,
  message: Schema.String,
}) {}
