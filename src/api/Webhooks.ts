/** Webhooks: what happens, sent to the operator's own endpoints. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ChangeOrigin } from "../domain/Mail.ts"
import { DeliveryState, WebhookEvent } from "../domain/Webhook.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { DeliveryOutcome, Webhook, WebhookDelivery } from "./Models.ts"
import { Id, page, pageOf, Tags } from "./Parameters.ts"
import { InvalidBody, InvalidCursor, NotFound, PositionExpired } from "./Problems.ts"

const fields = {
  /** http or https, at a host of the public internet unless the settings allow others. */
  url: Schema.String,
  description: Schema.String.check(
    Schema.isPattern(/^[^\p{Cc}\p{Cs}]{0,200}$/u, { expected: "at most 200 characters without control characters" }),
  ),
  /** What it is sent; null or absent = everything. */
  events: Schema.NullOr(
    Schema.Array(WebhookEvent).check(Schema.isMinLength(1, { expected: "at least one event, or null for all" })),
  ),
  /** Of changes of messages. Absent = `live` only, so that a first sync floods nobody. */
  origins: Schema.Array(ChangeOrigin).check(Schema.isMinLength(1, { expected: "at least one origin" })),
  /** Of accounts with one of these tags; null or absent = of all. What concerns no single account is sent all the same. */
  tags: Schema.NullOr(Tags.check(Schema.isMinLength(1, { expected: "at least one tag, or null for all accounts" }))),
  enabled: Schema.Boolean,
}

/** A webhook that is made. */
export const NewWebhook = Schema.Struct({
  url: fields.url,
  description: Schema.optionalKey(fields.description),
  events: Schema.optionalKey(fields.events),
  origins: Schema.optionalKey(fields.origins),
  tags: Schema.optionalKey(fields.tags),
  enabled: Schema.optionalKey(fields.enabled),
}).annotate({ identifier: "NewWebhook" })

/** Only what is given is changed. */
export const WebhookPatch = Schema.Struct({ ...NewWebhook.fields, url: Schema.optionalKey(fields.url) })
  .check(Schema.isMinProperties(1)).annotate({ identifier: "WebhookPatch" })

/** The only answers that hold the secret. */
export const WebhookWithSecret = Schema.Struct({
  ...Webhook.fields,
  /** `whsec_…`: what signatures are verified with. */
  secret: Schema.RedactedFromValue(Schema.String),
}).annotate({ identifier: "WebhookWithSecret" })

const params = { id: Id }

export class Webhooks extends HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.get("list", "/v1/webhooks", { query: page, success: pageOf(Webhook), error: InvalidCursor })
      .annotateMerge(OpenApi.annotations({
        summary: "List webhooks",
        description: "Oldest first, disabled ones included. Secrets are never shown again.",
      })),
    HttpApiEndpoint.post("create", "/v1/webhooks", {
      payload: NewWebhook,
      success: HttpApiSchema.WithHeaders(WebhookWithSecret.pipe(HttpApiSchema.status(201)), {
        location: Schema.String,
      }),
      error: InvalidBody,
    }).annotateMerge(OpenApi.annotations({
      summary: "Make a webhook",
      description: [
        "It is sent what happens from now on, as `{type, timestamp, data}`, signed by the Standard Webhooks convention",
        "(`webhook-id`, `webhook-timestamp`, `webhook-signature`). Any 2xx within 15 seconds is success; what failed is tried",
        "again for three days. `secret` is in this answer and nowhere else.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/webhooks/:id", { params, success: Webhook, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get a webhook", description: "Its secret is never shown again." }),
    ),
    HttpApiEndpoint.patch("update", "/v1/webhooks/:id", {
      params,
      payload: WebhookPatch,
      success: Webhook,
      error: [NotFound, InvalidBody, PositionExpired],
    }).annotateMerge(OpenApi.annotations({
      summary: "Change a webhook",
      description: [
        "Only what is given is changed. `enabled: true` goes on where it stood, at once; where changes after that are deleted by",
        "now (`MAILFLEET_CHANGE_RETENTION_DAYS`) it is answered with 410: a replay says where to go on. What was chosen by events,",
        "origins and tags before is sent as it was chosen.",
      ].join(" "),
    })),
    HttpApiEndpoint.delete("remove", "/v1/webhooks/:id", { params, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Delete a webhook", description: "What waits is sent no more." }),
    ),
    HttpApiEndpoint.post("rotateSecret", "/v1/webhooks/:id/rotate-secret", {
      params,
      success: WebhookWithSecret,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Replace the secret",
      description: [
        "`secret` is in this answer and nowhere else. Until `previousSecretUntil`, 24 hours from now, each delivery is signed",
        "with both. A second rotation within that time ends the first secret at once.",
      ].join(" "),
    })),
    HttpApiEndpoint.post("test", "/v1/webhooks/:id/test", {
      params,
      success: DeliveryOutcome,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Send a test",
      description: [
        "Sends one `webhook.test` and answers with what came of it. It works while the webhook is disabled, changes nothing and",
        "is not tried again.",
      ].join(" "),
    })),
    HttpApiEndpoint.post("replay", "/v1/webhooks/:id/replay", {
      params,
      payload: Schema.Struct({
        /** A `position` of the change log, or `latest`: what comes after it is sent. */
        after: Schema.String,
      }),
      success: Webhook,
      error: [NotFound, InvalidBody, PositionExpired],
    }).annotateMerge(OpenApi.annotations({
      summary: "Send from a position",
      description: [
        "Sends what comes after a position of the change log, whatever was sent of it already, with the `webhook-id` that it",
        "had; events likewise, from the time of that position. `nextCursor` of `GET /v1/changes` is such a position, and so is",
        "`position` of every `message.*`; `latest` is that of now. A later position than the webhook's own leaves out what lies",
        "between. A position that `GET /v1/changes` answers with 410 is so here.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("deliveries", "/v1/webhooks/:id/deliveries", {
      params,
      query: { ...page, state: Schema.optionalKey(DeliveryState) },
      success: pageOf(WebhookDelivery),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List deliveries",
      description: [
        "Newest first: all that wait, and the last thousand or so that arrived, with what came of the last attempt and when the",
        "next one is.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Webhooks",
    description: "What happens, sent to your own endpoints: at least once, in order for each account.",
  })) {}
