/** What providers tell by themselves. They have no key: each proves itself in its own way. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Boundary } from "./Boundary.ts"
import { NotFound, NotReady, Unauthorized } from "./Problems.ts"

/** Of Microsoft Graph: several, even of different subscriptions, in one request. */
export const GraphNotifications = Schema.Struct({
  value: Schema.Array(Schema.Struct({
    subscriptionId: Schema.String,
    clientState: Schema.optionalKey(Schema.NullOr(Schema.String)),
    changeType: Schema.optionalKey(Schema.NullOr(Schema.String)),
    /** Tells of the subscription itself. One that is not known is taken for a change. */
    lifecycleEvent: Schema.optionalKey(Schema.NullOr(Schema.String)),
  })),
}).annotate({ identifier: "GraphNotifications" })

/** Of Google Pub/Sub. `data` is base64url of `{"emailAddress","historyId"}`. */
export const PubSubMessage = Schema.Struct({
  message: Schema.Struct({ data: Schema.String }),
}).annotate({ identifier: "PubSubMessage" })

export class Notifications extends HttpApiGroup.make("notifications")
  .add(
    HttpApiEndpoint.post("graph", "/v1/notifications/graph", {
      query: { validationToken: Schema.optionalKey(Schema.String) },
      payload: GraphNotifications,
      success: [HttpApiSchema.Empty(202), Schema.String.pipe(HttpApiSchema.asText())],
      error: NotReady,
    }).annotateMerge(OpenApi.annotations({
      summary: "Microsoft Graph tells of changes",
      description:
        "For Microsoft Graph alone. With `validationToken` it is answered 200 with the token as plain text. Notifications are " +
        "answered 202 once they are stored; those of subscriptions that are not ours, and those with a wrong `clientState`, are " +
        "answered alike and left aside. A notification is a hint: the account is synced, and nothing is taken from it.",
    })),
    HttpApiEndpoint.post("gmail", "/v1/notifications/gmail", {
      query: { token: Schema.optionalKey(Schema.String) },
      payload: PubSubMessage,
      success: HttpApiSchema.Empty(202),
      error: [NotFound, NotReady, Unauthorized],
    }).annotateMerge(OpenApi.annotations({
      summary: "Google Pub/Sub tells of changes",
      description:
        "For a push subscription of Google Pub/Sub, with MAILFLEET_GMAIL_PUSH_TOKEN as `token`. 404 where that is not set.",
    })),
  )
  .middleware(Boundary)
  .annotateMerge(OpenApi.annotations({
    title: "Notifications",
    description: "What providers tell by themselves. No key needed: each request proves itself.",
  })) {}
