/** What the schedules of push have in common: subscriptions are claimed, kept one by one, and tried again where that fails. */
import { Duration, Effect, Random } from "effect"
import type { Provider } from "../domain/Account.ts"
import { codeOf } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { unreachable } from "../mail/graph/GraphSubscriptions.ts"
import { lanes } from "../programs/Lanes.ts"
import { type DueSubscription, Subscriptions } from "../storage/mail/Subscriptions.ts"
import { always } from "./always.ts"
import { Cluster } from "./Cluster.ts"
import { everyDue } from "./everyDue.ts"

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
  message: "the provider takes too long over a subscription; it is tried again",
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

export interface Keeping {
  readonly provider: Provider
  /** Makes, renews or removes one, and says so to `Subscriptions`. */
  readonly keep: (due: DueSubscription) => Effect.Effect<void, ProviderError>
  /** Told of each failure. */
  readonly failed?: (error: ProviderError) => Effect.Effect<void>
  /** False = nothing is claimed for now. */
  readonly isOpen?: Effect.Effect<boolean>
}

/** Keeps the subscriptions of a provider's accounts until the scope ends, and finds those that want one. */
export const keepSubscriptions = Effect.fnUntraced(
  function* ({ failed = () => Effect.void, isOpen = Effect.succeed(true), keep, provider }: Keeping) {
    const cluster = yield* Cluster
    const subscriptions = yield* Subscriptions

    const one = (due: DueSubscription) =>
      keep(due).pipe(
        Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(tooLate) }),
        Effect.catchTag("ProviderError", (error) =>
          Effect.gen(function* () {
            const { code, message } = error
            yield* failed(error)
            const dueInMillis = yield* dueAfter(error, due.failures)
            yield* subscriptions.failed(due.account.id, { code, message, dueInMillis, certain: isCertain(error) })
          })),
        Effect.catchCause((cause) => Effect.logError("a subscription could not be kept; it comes again", cause)),
      )

    const claim = Effect.flatMap(
      isOpen,
      (open) => open ? subscriptions.claim(provider, concurrency, claimSeconds) : Effect.succeed([]),
    )
    const work = lanes({ concurrency, next: everyDue(concurrency, claim), one, done: () => Effect.void })
    const enrol = Effect.forever(Effect.andThen(subscriptions.enroll(provider), Effect.sleep(enrolEvery)))

    yield* Effect.forkScoped(always(`keeping subscriptions at ${provider}`, work))
    yield* cluster.once(
      `new subscriptions at ${provider}`,
      always("looking for accounts without a subscription", enrol),
    )
  },
)
