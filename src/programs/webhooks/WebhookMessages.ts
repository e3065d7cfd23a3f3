/** What is sent: `{type, timestamp, data}`, as the Standard Webhooks convention has it. */
import { DateTime, Effect, Schema } from "effect"
import { Event } from "../../domain/Event.ts"
import { AccountId } from "../../domain/Ids.ts"
import { Change } from "../../domain/Mail.ts"
import { Run } from "../../domain/Run.ts"
import type { LoadedDelivery } from "../../storage/webhooks/DeliveryContent.ts"

/** `data` of `message.*`: the entry of the change log, and the address of its account. */
export const ChangeData = Schema.Struct({ ...Change.fields, email: Schema.String })

/** `data` of the others: the event, the account that it is of, and the run that has ended. */
export const EventData = Schema.Struct({
  ...Event.fields,
  accountId: Schema.optionalKey(AccountId),
  email: Schema.optionalKey(Schema.String),
  run: Schema.optionalKey(Run),
})

const encodeChange = Schema.encodeSync(Schema.toCodecJson(ChangeData))
const encodeEvent = Schema.encodeSync(Schema.toCodecJson(EventData))

const message = (type: string, at: DateTime.Utc, data: unknown): string =>
  JSON.stringify({ type, timestamp: DateTime.formatIso(at), data })

/** @param withLink adds to an event the link where somebody signs in again */
export const bodyOf = Effect.fnUntraced(function* <R>(
  { source, type }: LoadedDelivery,
  withLink: (event: Event) => Effect.Effect<Event, never, R>,
) {
  if ("change" in source) {
    return message(type, source.change.at, encodeChange({ ...source.change, email: source.account.email }))
  }
  const { account, event, run } = source
  return message(
    type,
    event.at,
    encodeEvent({
      ...(yield* withLink(event)),
      ...(account === undefined ? {} : { accountId: account.id, email: account.email }),
      ...(run === undefined ? {} : { run }),
    }),
  )
})

/** What `test` sends. */
export const testBody = (at: DateTime.Utc, webhookId: string): string =>
  message("webhook.test", at, { webhookId, message: "this is a test: nothing has happened" })
