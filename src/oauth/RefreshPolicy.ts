/** What follows from a redemption: which status the accounts take, and when the grant is tried again. */
import type { FailureClass } from "../domain/FailureClass.ts"

const minute = 60
const hour = 60 * minute
const day = 24 * hour
const week = 7 * day

export interface Verdict {
  readonly status: "needs_reauth" | "blocked" | undefined
  /** Seconds from now. */
  readonly attemptInSeconds: number
  /** Whether the due time moves along. It stays where the grant is not at fault: it has been kept waiting. */
  readonly movesDue: boolean
}

/** True for what says nothing of the grant itself. */
export const isPassing = (failureClass: FailureClass): boolean =>
  failureClass === "throttled" || failureClass === "transient" || failureClass === "app"

/** `invalid_grant` without a known code is believed after three further tries over at least this long. */
const confirmations = 3
const confirmationSeconds = 3 * hour

/** While many grants are refused at once, a refusal is believed after two further tries over at least this long. */
const spikeConfirmations = 2
const spikeConfirmationSeconds = hour

/** From 0 to 1. */
type Jitter = number

const spread = (seconds: number, jitter: Jitter) => seconds * (1 + jitter / 10)

/** Doubles with each failure in a row. */
const backoff = (first: number, most: number, failures: number, jitter: Jitter) =>
  spread(Math.min(most, first * 2 ** Math.min(failures - 1, 20)), jitter)

/**
 * @param failures failures of this class in a row, this one included
 * @param failingSeconds since the first of them
 */
export const verdict = (
  failure: {
    readonly class: FailureClass
    readonly retryAfterMillis?: number | undefined
    readonly providerCode?: string | undefined
  },
  failures: number,
  failingSeconds: number,
  jitter: Jitter,
): Verdict => {
  const waits = (attemptInSeconds: number): Verdict => ({ status: undefined, attemptInSeconds, movesDue: false })
  const doubtful = (attemptInSeconds: number): Verdict => ({ status: undefined, attemptInSeconds, movesDue: true })
  // What has ended it may pass without a sign (a policy is lifted, consent is given): looked at again, ever more rarely.
  const dead: Verdict = {
    status: "needs_reauth",
    attemptInSeconds: backoff(day, week, failures, jitter),
    movesDue: true,
  }
  switch (failure.class) {
    case "throttled":
      return waits(Math.max((failure.retryAfterMillis ?? 0) / 1_000, backoff(minute, hour, failures, jitter)))
    case "transient":
      return waits(backoff(minute, hour, failures, jitter))
    case "app":
      return waits(spread(15 * minute, jitter))
    case "unknown":
      return doubtful(backoff(hour, day, failures, jitter))
    case "blocked":
      // 50053, smart lockout, is temporary in kind.
      return {
        status: "blocked",
        attemptInSeconds: spread(failure.providerCode === "AADSTS50053" ? hour : day, jitter),
        movesDue: true,
      }
    case "scope":
      return { ...dead, attemptInSeconds: spread(day, jitter) }
    case "needs_user":
      return dead
    case "ambiguous":
      return failures > confirmations && failingSeconds >= confirmationSeconds
        ? { ...dead, attemptInSeconds: backoff(day, week, failures - confirmations, jitter) }
        : doubtful(backoff(hour, 4 * hour, failures, jitter))
  }
}

/** True where a refusal has stood the test of time, however many others are refused. */
export const isConfirmed = (failures: number, failingSeconds: number): boolean =>
  failures > spikeConfirmations && failingSeconds >= spikeConfirmationSeconds

/** True where the refusal of a grant out of a backup is believed: like one without a known code. */
export const isConfirmedOfRestored = (failures: number, failingSeconds: number): boolean =>
  failures > confirmations && failingSeconds >= confirmationSeconds

/** A refusal that is not believed yet: asked again soon, and then more rarely. */
export const held = (failures: number, jitter: Jitter): Verdict => ({
  status: undefined,
  attemptInSeconds: backoff(15 * minute, hour, failures, jitter),
  movesDue: true,
})

/**
 * When a redeemed grant is due again by the policy `keep-alive`: within the last tenth of the period. What was redeemed
 * together before its time goes apart again: a fleet that was imported in a minute over the whole period, one that somebody
 * had refreshed over the last half of it.
 *
 * @param dueInSeconds when it would have been due; negative = it was late, undefined = it was not planned
 */
export const keepAliveSeconds = (
  everySeconds: number,
  { dueInSeconds = 0, redeemedBefore }: {
    readonly redeemedBefore: boolean
    readonly dueInSeconds?: number | undefined
  },
  jitter: Jitter,
): number => {
  const spreadOver = !redeemedBefore ? 0.9 : dueInSeconds > everySeconds / 10 ? 0.5 : 0.1
  return everySeconds * (1 - jitter * spreadOver)
}

/** However short the life of an access token, no grant is redeemed in a circle. */
const shortestWarm = minute

/** By the policy `warm`: the margin before the access token ends, a little earlier by chance; at half of a short life. */
export const warmSeconds = (lifeSeconds: number, marginSeconds: number, jitter: Jitter): number =>
  Math.max(shortestWarm, Math.max(lifeSeconds / 2, lifeSeconds - marginSeconds) * (1 - jitter / 10))
