/** Takes in what providers tell by themselves: stores it, answers, and leaves all work for later. */
import { Effect, Metric, Option, Redacted, Schema } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { createHash, timingSafeEqual } from "node:crypto"
import { Api } from "../api/Api.ts"
import { GraphNotifications, PubSubMessage } from "../api/Notifications.ts"
import { InvalidRequest, NotFound, NotReady, Unauthorized } from "../api/Problems.ts"
import { Settings } from "../domain/Settings.ts"
import { readPush } from "../mail/gmail/GmailWatch.ts"
import { type NotificationKind, Notifications, type Taken } from "../storage/mail/Notifications.ts"

/** Microsoft Graph counts an answer after 3 seconds as late, and holds that against us (change notifications, webhooks). */
const patience = "2500 millis"

const received = Metric.counter("mailfleet_notifications_total", {
  description: "Notifications of providers, and what became of them",
  incremental: true,
})

const count = (provider: string, outcome: string, notifications: number) =>
  notifications === 0
    ? Effect.void
    : Metric.update(Metric.withAttributes(received, { provider, outcome }), notifications)

const countAll = (provider: string, { accepted, forged, unknown }: Taken) =>
  Effect.all([
    count(provider, "accepted", accepted),
    count(provider, "unknown", unknown),
    count(provider, "forged", forged),
  ], { discard: true })

const broken = (provider: string) =>
  Effect.andThen(
    count(provider, "broken", 1),
    Effect.fail(
      new InvalidRequest({
        detail: "the body is no notification",
        issues: [{ in: "body", field: "", message: "a notification was expected" }],
      }),
    ),
  )

/** Text that is too long, or cannot be read to its end, is the boundary's matter. */
const bodyOf = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  request: HttpServerRequest.HttpServerRequest,
): Effect.Effect<Option.Option<S["Type"]>> =>
  Effect.map(Effect.orDie(request.text), Schema.decodeUnknownOption(Schema.fromJsonString(schema)))

const inTime = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | NotReady> =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () => Effect.fail(new NotReady({ detail: "the database is busy: send it again" })),
  })

/** Whatever else it may say, there is something to look for. */
const kindOf = (event: string | null | undefined): NotificationKind =>
  event === "reauthorizationRequired" || event === "subscriptionRemoved" || event === "missed" ? event : "change"

const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest()

/** In a time that does not tell how much of it is right. */
const isSame = (one: string, other: string): boolean => timingSafeEqual(digest(one), digest(other))

const accepted = HttpServerResponse.empty({ status: 202 })

export const layerNotifications = HttpApiBuilder.group(
  Api,
  "notifications",
  Effect.fnUntraced(function* (handlers) {
    const notifications = yield* Notifications
    const { gmailPushToken } = yield* Settings

    return handlers
      .handleRaw(
        "graph",
        Effect.fn("POST /v1/notifications/graph")(function* ({ query, request }) {
          // The handshake: it comes while the subscription is being made, so nothing can be known of it.
          if (query.validationToken !== undefined) {
            return HttpServerResponse.text(query.validationToken, { contentType: "text/plain" })
          }
          const body = yield* bodyOf(GraphNotifications, request)
          if (Option.isNone(body)) return yield* broken("microsoft")
          const taken = yield* inTime(notifications.takeGraph(
            body.value.value.map(({ clientState, lifecycleEvent, subscriptionId }) => ({
              subscriptionId,
              clientState: clientState ?? undefined,
              kind: kindOf(lifecycleEvent),
            })),
          ))
          yield* countAll("microsoft", taken)
          return accepted
        }),
      )
      .handleRaw(
        "gmail",
        Effect.fn("POST /v1/notifications/gmail")(function* ({ query, request }) {
          if (Option.isNone(gmailPushToken)) {
            return yield* new NotFound({ detail: "MAILFLEET_GMAIL_PUSH_TOKEN is not set" })
          }
          if (!isSame(query.token ?? "", Redacted.value(gmailPushToken.value))) {
            yield* count("google", "forged", 1)
            return yield* new Unauthorized({ detail: "token must be that of MAILFLEET_GMAIL_PUSH_TOKEN" })
          }
          const body = yield* bodyOf(PubSubMessage, request)
          const notice = Option.flatMap(body, readPush)
          if (Option.isNone(notice)) return yield* broken("google")
          yield* countAll("google", yield* inTime(notifications.takeGmail(notice.value.email)))
          return accepted
        }),
      )
  }),
)
