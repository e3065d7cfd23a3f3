/** Makes webhooks, shows and changes them. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { InvalidBody, NotFound } from "../api/Problems.ts"
import type { InvalidWebhook } from "../domain/Webhook.ts"
import { WebhookRequests } from "../programs/webhooks/WebhookRequests.ts"
import { Webhooks } from "../storage/webhooks/Webhooks.ts"
import { cursorProblem, expiredProblem, limited, orNotFound } from "./Answers.ts"

const invalid = (field: string, message: string) =>
  new InvalidBody({ detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })

const invalidWebhook = ({ field, message }: InvalidWebhook) => invalid(field, message)

export const layerWebhooks = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fnUntraced(function* (handlers) {
    const webhooks = yield* Webhooks
    const requests = yield* WebhookRequests
    const orNoWebhook = orNotFound("webhook")

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(webhooks.list(limited(query)), cursorProblem),
      create: Effect.fn("webhooks.create")(function* ({ payload }) {
        const { secret, webhook } = yield* Effect.mapError(requests.create(payload), invalidWebhook)
        return HttpApiSchema.withHeaders({
          body: { ...webhook, secret },
          headers: { location: `/v1/webhooks/${webhook.id}` },
        })
      }),
      get: ({ params }) => orNoWebhook(webhooks.get(params.id)),
      update: ({ params, payload }) =>
        requests.update(params.id, payload).pipe(
          Effect.mapError((error) => error._tag === "PositionExpired" ? expiredProblem(error) : invalidWebhook(error)),
          orNoWebhook,
        ),
      remove: Effect.fn("webhooks.remove")(function* ({ params }) {
        if (!(yield* webhooks.remove(params.id))) {
          return yield* new NotFound({ detail: "there is no webhook with this id" })
        }
      }),
      rotateSecret: Effect.fn("webhooks.rotateSecret")(function* ({ params }) {
        const { secret, webhook } = yield* orNoWebhook(webhooks.rotateSecret(params.id))
        return { ...webhook, secret }
      }),
      test: ({ params }) => orNoWebhook(requests.test(params.id)),
      replay: ({ params, payload }) =>
        webhooks.replay(params.id, payload.after).pipe(
          Effect.mapError((error) =>
            error._tag === "InvalidCursor"
              ? invalid("after", "a position of the change log is expected")
              : expiredProblem(error)
          ),
          orNoWebhook,
        ),
      deliveries: Effect.fn("webhooks.deliveries")(function* ({ params, query }) {
        yield* orNoWebhook(webhooks.get(params.id))
        return yield* Effect.mapError(webhooks.deliveries(params.id, limited(query)), cursorProblem)
      }),
    })
  }),
)
