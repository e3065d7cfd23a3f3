import { Schema } from "effect"
import { FailureClass, isRetryable } from "./FailureClass.ts"

/**
 * A provider did not do what was asked of it, or was not asked because it must not be just now.
 *
 * `code` is stable and for machines, `message` says what an operator can do; neither ever holds a secret or text that
 * the provider sent. `providerCode` is the provider's own code (`AADSTS700082`, `ErrorItemNotFound`).
 */
export class ProviderError extends Schema.TaggedError<ProviderError>()("ProviderError", {
  class: FailureClass,
  code: Schema.String,
  message: Schema.String,
  providerCode: Schema.optionalKey(Schema.String),
  /** Milliseconds to wait before the next try, where the provider or our own pacing says so. */
  retryAfterMillis: Schema.optionalKey(Schema.Number),
  /** True where nothing was sent: a pause or an open breaker forbade it. */
  notSent: Schema.optionalKey(Schema.Boolean),
  /** The provider's own ids of the exchange, for its support. */
  traceId: Schema.optionalKey(Schema.String),
  correlationId: Schema.optionalKey(Schema.String),
}) {
  /** The same error with the time to wait. */
  retryAfter(millis: number): ProviderError {
    // The message of an error is no property that can be spread.
    return new ProviderError({ ...this, message: this.message, retryAfterMillis: millis })
  }

  /** Whether another try may end otherwise. */
  get retryable(): boolean {
    return isRetryable(this.class)
  }
}

/** A longer `Retry-After` is taken for a fault of whoever sent it: nobody is to be silenced for years by one header. */
const longestRetryAfter = 86_400_000

/**
 * `Retry-After` as milliseconds, a day at most: whole or fractional seconds, or an HTTP date. Undefined where it is missing or
 * senseless.
 *
 * @param dateHeader `Date` of the same answer: an HTTP date is by the server's clock, which may be hours off ours
 */
export const parseRetryAfter = (
  header: string | null | undefined,
  dateHeader: string | null | undefined,
  nowMillis: number,
): number | undefined => {
  if (header === null || header === undefined) return undefined
  const seconds = Number(header.trim())
  if (header.trim() !== "" && Number.isFinite(seconds)) {
    return seconds >= 0 ? Math.min(Math.ceil(seconds * 1_000), longestRetryAfter) : undefined
  }
  const date = Date.parse(header)
  const serverMillis = Date.parse(dateHeader ?? "")
  if (Number.isNaN(date)) return undefined
  return Math.min(Math.max(0, date - (Number.isNaN(serverMillis) ? nowMillis : serverMillis)), longestRetryAfter)
}
