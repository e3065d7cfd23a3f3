/** Subscriptions by which Microsoft Graph tells of changes in a mailbox (Microsoft Graph, subscription resource type). */
import { Context, DateTime, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { HttpClient } from "effect/http"
import { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { MailboxLimiter } from "../../pacing/MailboxLimiter.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { mailboxPath } from "./Graph.ts"
import { type GraphClient, graphServices, makeGraphClient } from "./GraphClient.ts"
import { type GraphRefusal, strangeAnswer } from "./GraphErrors.ts"
import type { MailAccount } from "../Mailbox.ts"

/** The provider has no such subscription (any more). */
export class SubscriptionGone extends Schema.TaggedError<SubscriptionGone>()("SubscriptionGone", {}) {}

/** There is one like it already, whose id and secret we do not know: a creation before ended half-way. */
export class SubscriptionExists extends Schema.TaggedError<SubscriptionExists>()("SubscriptionExists", {}) {}

export interface NewSubscription {
  /** Gets notifications and lifecycle notifications; it must answer the handshake while the creation is under way. */
  readonly notificationUrl: string
  /** At most 128 characters. */
  readonly clientState: Redacted.Redacted
  /** At most {@link longestLife} minutes from now. */
  readonly expiresAt: DateTime.Utc
}

export interface RemoteSubscription {
  readonly id: string
  /** As the provider sees it, which may be other than what was asked for. */
  readonly expiresAt: DateTime.Utc
}

/** Minutes that a subscription to mail lives at most (Microsoft Graph, maximum length of a subscription). */
export const longestLife = 10_080

const Subscription = Schema.Struct({ id: Schema.String, expirationDateTime: Schema.String })

const ListedSubscriptions = Schema.Struct({
  value: Schema.Array(Schema.Struct({
    id: Schema.String,
    resource: Schema.optionalKey(Schema.NullOr(Schema.String)),
    notificationUrl: Schema.optionalKey(Schema.NullOr(Schema.String)),
  })),
  "@odata.nextLink": Schema.optionalKey(Schema.String),
})

type WatchedAccount = Pick<MailAccount, "id" | "grantId" | "clientId" | "byName" | "email">

/** All messages of a mailbox, whatever folder they are in. Addresses stand there as in the documents, with their `@`. */
export const resourceOf = (account: Pick<MailAccount, "byName" | "email">): string =>
  `${mailboxPath(account).replaceAll("%40", "@")}/messages`

const plain = (resource: string): string => decodeURIComponent(resource).replace(/^\/+/, "").toLowerCase()

export class GraphSubscriptions extends Context.Service<GraphSubscriptions, {
  readonly create: (
    account: WatchedAccount,
    subscription: NewSubscription,
  ) => Effect.Effect<RemoteSubscription, ProviderError | SubscriptionExists>
  /** Prolongs it, and reauthorizes it by the same stroke. */
  readonly renew: (
    account: WatchedAccount,
    id: string,
    expiresAt: DateTime.Utc,
  ) => Effect.Effect<RemoteSubscription, ProviderError | SubscriptionGone>
  /** Goes on delivering after `reauthorizationRequired`; its end stays what it was. */
  readonly reauthorize: (account: WatchedAccount, id: string) => Effect.Effect<void, ProviderError | SubscriptionGone>
  /** One that is gone already is removed as well. */
  readonly remove: (account: WatchedAccount, id: string) => Effect.Effect<void, ProviderError>
  /** Removes all that were made for this mailbox and address, whether or not anybody knows of them. */
  readonly clear: (account: WatchedAccount, notificationUrl: string) => Effect.Effect<void, ProviderError>
}>()("mailfleet/mail/GraphSubscriptions") {
  static readonly layer: Layer.Layer<
    GraphSubscriptions,
    never,
    HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter
  > = Layer.effect(
    GraphSubscriptions,
    Effect.map(graphServices, (services) => {
      const all = `${services.graphUrl}/subscriptions`
      const one = (id: string) => `${all}/${encodeURIComponent(id)}`
      const clientOf = (account: WatchedAccount) => makeGraphClient(services, account)

      const remove = (client: GraphClient, id: string) =>
        client.call({ url: one(id), method: "DELETE" }).pipe(
          Effect.asVoid,
          Effect.catchIf((error) => isGone(error), () => Effect.void),
        )

      return GraphSubscriptions.of({
        create: Effect.fn("GraphSubscriptions.create")(
          function* (account, { clientState, expiresAt, notificationUrl }) {
            const { body } = yield* clientOf(account).call({
              url: all,
              method: "POST",
              body: {
                changeType: "created,updated,deleted",
                notificationUrl,
                lifecycleNotificationUrl: notificationUrl,
                resource: resourceOf(account),
                expirationDateTime: DateTime.formatIso(expiresAt),
                clientState: Redacted.value(clientState),
              },
              // Where its end is not known there may be one by now.
              repeatable: false,
            })
            return yield* subscriptionIn(body)
          },
          Effect.mapError((error) =>
            error._tag === "GraphRefusal" && error.status === 409 ? new SubscriptionExists() : toProviderError(error)
          ),
        ),
        renew: Effect.fn("GraphSubscriptions.renew")(
          function* (account, id, expiresAt) {
            const { body } = yield* clientOf(account).call({
              url: one(id),
              method: "PATCH",
              body: { expirationDateTime: DateTime.formatIso(expiresAt) },
            })
            return yield* subscriptionIn(body)
          },
          Effect.mapError((error) => isGone(error) ? new SubscriptionGone() : toProviderError(error)),
        ),
        reauthorize: Effect.fn("GraphSubscriptions.reauthorize")(
          (account, id) => Effect.asVoid(clientOf(account).call({ url: `${one(id)}/reauthorize`, method: "POST" })),
          Effect.mapError((error) => isGone(error) ? new SubscriptionGone() : toProviderError(error)),
        ),
        remove: Effect.fn("GraphSubscriptions.remove")(
          (account, id) => remove(clientOf(account), id),
          Effect.mapError(toProviderError),
        ),
        clear: Effect.fn("GraphSubscriptions.clear")(function* (account, notificationUrl) {
          const client = clientOf(account)
          const resource = plain(resourceOf(account))
          // Of a user's token these are the user's own; of an app's, those of all mailboxes of the tenant.
          const isOurs = (listed: typeof ListedSubscriptions.Type["value"][number]) =>
            listed.notificationUrl === notificationUrl && (!account.byName || plain(listed.resource ?? "") === resource)
          for (let next: string | undefined = all; next !== undefined;) {
            const page: typeof ListedSubscriptions.Type = yield* client.get(next, ListedSubscriptions)
            yield* Effect.forEach(page.value.filter(isOurs), ({ id }) => remove(client, id), { discard: true })
            next = page["@odata.nextLink"]
          }
        }, Effect.mapError(toProviderError)),
      })
    }),
  )
}

const subscriptionIn = Effect.fnUntraced(function* (body: string) {
  const answer = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(Subscription))(body),
    () => strangeAnswer(200),
  )
  const expiresAt = Option.getOrUndefined(DateTime.make(answer.expirationDateTime))
  if (expiresAt === undefined) return yield* strangeAnswer(200)
  return { id: answer.id, expiresAt: DateTime.toUtc(expiresAt) }
})

const isGone = (error: GraphRefusal | ProviderError): boolean =>
  error._tag === "GraphRefusal" && (error.status === 404 || error.status === 410) && error.error.class === "unknown"

/** The refusal of an address that did not answer the handshake (Microsoft Graph, notification URL validation). */
export const unreachable = "notification_url_unreachable"

const toProviderError = (error: GraphRefusal | ProviderError): ProviderError => {
  if (error._tag === "ProviderError") return error
  const { error: plain, status } = error
  if (status === 400) {
    return new ProviderError({
      ...plain,
      code: unreachable,
      message:
        "Microsoft Graph takes no subscription: MAILFLEET_PUBLIC_URL must lead to this server from the internet, by https",
    })
  }
  return plain.class === "scope"
    ? new ProviderError({
      ...plain,
      message:
        "the grant does not allow subscribing to this mailbox: it takes Mail.Read, of the mailbox's own user or of an app",
    })
    : plain
}
