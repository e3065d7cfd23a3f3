/** What follows from a redemption: which status the accounts take, and when the grant is tried again. */
import type { FailureClass } from "../domain/FailureClass.ts"

const minute = 60
const hour = 60 * minute
const day = 24 * hour

export interface Verdict {
  readonly status: "needs_reauth" | "blocked" | undefined
  /** Seconds from now; undefined = no further attempt by itself. */
  readonly dueInSeconds: number | undefined
}

/** `invalid_grant` without a known code is believed after three further tries over at least this long. */
const confirmations = 3
const confirmationSeconds = 3 * hour

/**
 * @param failures failures of this class in a row, this one included
 * @param failingSeconds since the first of them
 * @param jitter from 0 to 1
 */
export const verdict = (
  failure: {
    readonly class: FailureClass
    readonly retryAfterMillis?: number | undefined
    readonly providerCode?: string | undefined
  },
  failures: number,
  failingSeconds: number,
  jitter: number,
): Verdict => {
  const spread = (seconds: number) => seconds * (1 + jitter / 10)
  const backoff = (first: number, most: number) => spread(Math.min(most, first * 2 ** Math.min(failures - 1, 20)))
  switch (failure.class) {
    case "throttled":
      return {
        status: undefined,
        dueInSeconds: Math.max((failure.retryAfterMillis ?? 0) / 1_000, backoff(minute, hour)),
      }
    case "transient":
      return { status: undefined, dueInSeconds: backoff(minute, hour) }
    case "app":
      return { status: undefined, dueInSeconds: spread(15 * minute) }
    case "unknown":
      return { status: undefined, dueInSeconds: backoff(hour, day) }
    case "scope":
      // A new consent may come without any other sign of it, so it is looked for once a day.
      return { status: "needs_reauth", dueInSeconds: spread(day) }
    case "blocked":
      // 50053, smart lockout, is temporary in kind.
      return { status: "blocked", dueInSeconds: spread(failure.providerCode === "AADSTS50053" ? hour : day) }
    case "needs_user":
      return { status: "needs_reauth", dueInSeconds: undefined }
    case "ambiguous":
      return failures > confirmations && failingSeconds >= confirmationSeconds
        ? { status: "needs_reauth", dueInSeconds: undefined }
        : { status: undefined, dueInSeconds: backoff(hour, 4 * hour) }
  }
}

/**
 * When a redeemed grant is due again: within the last tenth of the period; after its first redemption anywhere in the
 * period, so that a fleet imported in a minute is spread over the whole period from then on.
 */
export const nextDueSeconds = (everySeconds: number, redeemedBefore: boolean, jitter: number): number =>
  redeemedBefore ? everySeconds * (1 - jitter / 10) : everySeconds * (1 - jitter * 0.9)
