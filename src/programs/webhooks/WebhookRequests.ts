/** What operators ask of webhooks, where it takes more than the database: a target that is checked, a test. */
import { Context, DateTime, Effect, Layer, Option, type Redacted } from "effect"
import { newId } from "../../domain/Ids.ts"
import {
  type DeliveryOutcome,
  InvalidWebhook,
  type NewWebhook,
  type Webhook,
  type WebhookId,
  type WebhookPatch,
} from "../../domain/Webhook.ts"
import { Vault } from "../../oauth/Vault.ts"
import type { PositionExpired } from "../../storage/mail/Positions.ts"
import { webhookOwner, Webhooks } from "../../storage/webhooks/Webhooks.ts"
import { parseTarget, WebhookAddress } from "./WebhookAddress.ts"
import { testBody } from "./WebhookMessages.ts"
import { WebhookSender } from "./WebhookSender.ts"

export class WebhookRequests extends Context.Service<WebhookRequests, {
  /** The secret is in this answer, and never again. */
  readonly create: (
    webhook: NewWebhook,
  ) => Effect.Effect<{ readonly webhook: Webhook; readonly secret: Redacted.Redacted }, InvalidWebhook>
  readonly update: (
    id: WebhookId,
    patch: WebhookPatch,
  ) => Effect.Effect<Option.Option<Webhook>, InvalidWebhook | PositionExpired>
  /** Sends `webhook.test` at once, whether or not the webhook is enabled. None = there is no such webhook. */
  readonly test: (id: WebhookId) => Effect.Effect<Option.Option<DeliveryOutcome>>
}>()("mailfleet/programs/WebhookRequests") {
  static readonly layer: Layer.Layer<WebhookRequests, never, Vault | WebhookAddress | WebhookSender | Webhooks> = Layer
    .effect(
      WebhookRequests,
      Effect.gen(function* () {
        const webhooks = yield* Webhooks
        const sender = yield* WebhookSender
        const vault = yield* Vault
        const { resolve } = yield* WebhookAddress

        /** The URL as it is stored. A name that does not resolve now may do so later, and is checked with each delivery. */
        const checked = Effect.fnUntraced(function* (text: string) {
          const url = yield* parseTarget(text)
          yield* resolve(url).pipe(
            Effect.catchIf((error) => error.reason === "unresolved", () => Effect.succeed([])),
            Effect.mapError(({ message }) => new InvalidWebhook({ field: "url", message })),
          )
          return url.href
        })

        return WebhookRequests.of({
          create: Effect.fn("WebhookRequests.create")(function* (webhook: NewWebhook) {
            return yield* webhooks.create({ ...webhook, url: yield* checked(webhook.url) })
          }),
          update: Effect.fn("WebhookRequests.update")(function* (id: WebhookId, patch: WebhookPatch) {
            const url = patch.url === undefined ? {} : { url: yield* checked(patch.url) }
            return yield* webhooks.update(id, { ...patch, ...url })
          }),
          test: Effect.fn("WebhookRequests.test")(function* (id: WebhookId) {
            const target = Option.getOrUndefined(yield* webhooks.target(id))
            if (target === undefined) return Option.none()
            const opened = yield* Effect.result(
              Effect.forEach(target.secrets, (sealed) => vault.open(webhookOwner(id), sealed)),
            )
            if (opened._tag === "Failure") {
              return Option.some({ delivered: false, status: null, error: opened.failure.message, milliseconds: 0 })
            }
            const { delivered, error, milliseconds, status } = yield* sender.send(
              { url: target.url, secrets: opened.success },
              { id: `test_${newId()}`, body: testBody(yield* DateTime.now, id) },
            )
            return Option.some({ delivered, status, error, milliseconds })
          }),
        })
      }),
    )
}
