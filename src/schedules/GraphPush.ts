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
import { lanes } from "../programs/Lanes.ts"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { type DueSubscription, Subscriptions } from "../storage/mail/Subscriptions.ts"
import { always } from "./always.ts"
import { Cluster } from "./Cluster.ts"
import { everyDue } from "./everyDue.ts"

/** Where the provider sends notifications, after the public URL. */
export const notificationPath = "/v1/notifications/graph"

/** Less than the longest life by more than clocks differ: a longer one is refused. */
const life = Duration.minutes(longestLife - 80)

/** Renewals of a million accounts come at three a second, each some tenths of a second long. */
const concurrency = 8

/** For how long what is claimed is hidden from other processes, and the time within which it must be done. */
const claimSeconds = 120
const patience = Duration.seconds(100)

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** How often accounts are looked for that have no subscription. */
const enrolEvery = Duration.seconds(2)

const tooLate = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "Microsoft Graph takes too long over a subscription; it is tried again",
})

const existsStill = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "Microsoft Graph has a subscription to this mailbox already that is not ours; it is tried again",
})

/** Milliseconds until the next try. `failures` = failed tries in a row before. */
const dueAfter = Effect.fnUntraced(function* (error: ProviderError, failures: number) {
  const jitter = yield* Random.nextBetween(1, 1.1)
  const growing = (first: number, most: number) => Math.min(most, first * 2 ** Math.min(failures, 20)) * jitter
  switch (error.class) {
    case "throttled":
      return (error.retryAfterMillis ?? minute) * jitter
    case "transient":
      return growing(5 * second, hour)
    case "blocked":
    case "needs_user":
    case "scope":
      return day * jitter
    default:
      return growing(minute, day)
  }
})

/** Whether the refusal says that nothing was made. */
const isCertain = (error: ProviderError): boolean =>
  error.notSent === true || error.code === unreachable || !["transient", "unknown"].includes(error.class)

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
      const cluster = yield* Cluster
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

      const one = (due: DueSubscription) =>
        keep(due).pipe(
          Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(tooLate) }),
          Effect.catchTag("ProviderError", (error) =>
            Effect.gen(function* () {
              const { code, message } = error
              if (code === unreachable) {
                restingUntil = (yield* monotonicMillis) + minute
                yield* Effect.logWarning(message, { notificationUrl: url })
              }
              const dueInMillis = yield* dueAfter(error, due.failures)
              yield* subscriptions.failed(due.account.id, { code, message, dueInMillis, certain: isCertain(error) })
            })),
          Effect.catchCause((cause) => Effect.logError("a subscription could not be kept; it comes again", cause)),
        )

      const claim = Effect.flatMap(
        monotonicMillis,
        (now) => now < restingUntil ? Effect.succeed([]) : subscriptions.claim(concurrency, claimSeconds),
      )

      const work = lanes({
        concurrency,
        next: everyDue(concurrency, claim),
        one,
        done: () => Effect.void,
      })
      const enrol = Effect.forever(Effect.andThen(subscriptions.enroll, Effect.sleep(enrolEvery)))

      yield* Effect.forkScoped(always("keeping subscriptions", work))
      yield* cluster.once("new subscriptions", always("looking for accounts without a subscription", enrol))
    }))
