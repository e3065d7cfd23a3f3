/**
 * Keeps a subscription at Microsoft Graph for every account that can have one, for ever.
 *
 * Each step is durable before the next, so that a process may die between any two: a creation is noted before the provider is
 * asked for it, and one that nobody knows of is removed before another is made.
 */
import { Clock, DateTime, Duration, Effect, Layer, Random, Redacted } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { randomBytes } from "node:crypto"
import { ProviderError } from "../domain/ProviderError.ts"
import { codeOf } from "../domain/FailureClass.ts"
import { isReachable, Settings } from "../domain/Settings.ts"
import { GraphSubscriptions, longestLife, resourceOf, unreachable } from "../mail/graph/GraphSubscriptions.ts"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { type DueSubscription, Subscriptions } from "../storage/mail/Subscriptions.ts"
import type { Cluster } from "./Cluster.ts"
import { keepSubscriptions } from "./keepSubscriptions.ts"

/** Where the provider sends notifications, after the public URL. */
export const notificationPath = "/v1/notifications/graph"

/** Less than the longest life by more than clocks differ: a longer one is refused. */
const life = Duration.minutes(longestLife - 80)

const minute = 60_000
const hour = 60 * minute

const existsStill = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "Microsoft Graph has a subscription to this mailbox already that is not ours; it is tried again",
})

/** Well before the end, so that hours of failures do no harm; spread, so that a fleet is not renewed at once. */
const renewalAfter = Effect.fnUntraced(function* (expiresAt: DateTime.Utc) {
  const left = expiresAt.epochMilliseconds - (yield* Clock.currentTimeMillis)
  return Math.max(minute, left * (yield* Random.nextBetween(0.5, 0.7)))
})

export const layer: Layer.Layer<never, never, Cluster | GraphSubscriptions | PublicUrl | Settings | Subscriptions> =
  Layer
    .effectDiscard(Effect.gen(function* () {
      const { push } = yield* Settings
      const publicUrl = yield* PublicUrl
      const remote = yield* GraphSubscriptions
      const subscriptions = yield* Subscriptions
      if (!push) return
      const base = yield* publicUrl.get
      if (!isReachable(base)) {
        return yield* Effect.logWarning(
          "no subscriptions are made, mail is polled only: MAILFLEET_PUBLIC_URL must be an https URL that leads here",
          { publicUrl: base },
        )
      }
      const url = `${base}${notificationPath}`
      // An address that the provider does not reach is tried for one account a minute, not for all of them.
      let restingUntil = 0

      const expiry = Effect.map(DateTime.now, (now) => DateTime.addDuration(now, life))

      const create = Effect.fn("GraphPush.create")(function* ({ account, begun, notificationUrl }: DueSubscription) {
        // Made by a process that died before it could say so. Nobody knows its secret: it is of no use.
        if (begun && notificationUrl !== null) yield* remote.clear(account, notificationUrl)
        const clientState = Redacted.make(randomBytes(32).toString("base64url"))
        yield* subscriptions.begin(account.id, { clientState, resource: resourceOf(account), notificationUrl: url })
        const asked = remote.create(account, { notificationUrl: url, clientState, expiresAt: yield* expiry })
        const { expiresAt, id } = yield* asked.pipe(
          Effect.catchTag("SubscriptionExists", () => Effect.andThen(remote.clear(account, url), asked)),
          Effect.catchTag("SubscriptionExists", () => Effect.fail(existsStill)),
        )
        yield* subscriptions.made(account.id, { id, expiresAt, dueInMillis: yield* renewalAfter(expiresAt) })
      })

      /** False = the provider has it no more. */
      const renew = Effect.fn("GraphPush.renew")(function* ({ account }: DueSubscription, id: string) {
        const renewed = yield* remote.renew(account, id, yield* expiry).pipe(
          Effect.catchTag("SubscriptionGone", () => Effect.succeed(undefined)),
        )
        if (renewed === undefined) {
          yield* subscriptions.lost(account.id)
          return false
        }
        const { expiresAt } = renewed
        yield* subscriptions.renewed(account.id, { id, expiresAt, dueInMillis: yield* renewalAfter(expiresAt) })
        return true
      })

      const keep = Effect.fnUntraced(function* (due: DueSubscription) {
        const { account, remoteId } = due
        if (!due.active) return yield* subscriptions.postpone(account.id, hour)
        if (!due.wanted) {
          // Left at the provider it ends by itself.
          if (remoteId !== null) yield* Effect.ignore(remote.remove(account, remoteId))
          return yield* subscriptions.remove(account.id)
        }
        if (remoteId !== null && due.resource === resourceOf(account) && due.notificationUrl === url) {
          if (yield* renew(due, remoteId)) return
        } else if (remoteId !== null) {
          yield* remote.remove(account, remoteId)
        }
        yield* create(due)
      })

      yield* keepSubscriptions({
        provider: "microsoft",
        keep,
        isOpen: Effect.map(monotonicMillis, (now) => now >= restingUntil),
        failed: Effect.fnUntraced(function* ({ code, message }: ProviderError) {
          if (code !== unreachable) return
          restingUntil = (yield* monotonicMillis) + minute
          yield* Effect.logWarning(message, { notificationUrl: url })
        }),
      })
    }))
