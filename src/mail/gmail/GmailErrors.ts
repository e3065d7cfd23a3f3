/** What a refusal of the Gmail API means. Reason first, then status (Gmail API, resolve errors). */
import { DateTime, Schema } from "effect"
import { codeOf, type FailureClass } from "../../domain/FailureClass.ts"
import { parseRetryAfter, ProviderError } from "../../domain/ProviderError.ts"

/** An answer other than 2xx, or none at all (`status` 0). */
export class GmailRefusal extends Schema.TaggedError<GmailRefusal>()("GmailRefusal", {
  status: Schema.Number,
  /** Google's own word for it; empty where there is none. */
  reason: Schema.String,
  error: ProviderError,
}) {}

const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Reasons = maybe(Schema.Array(Schema.Struct({ reason: maybe(Schema.String) })))

/** `errors` is the older form and `details` the newer one; an answer may have either, both or none. */
const ErrorBody = Schema.fromJsonString(
  Schema.Struct({ error: Schema.Struct({ status: maybe(Schema.String), errors: Reasons, details: Reasons }) }),
)

const decode = Schema.decodeUnknownOption(ErrorBody)

const wordsIn = (body: string): ReadonlyArray<string> => {
  const decoded = decode(body)
  if (decoded._tag === "None") return []
  const { details, errors, status } = decoded.value.error
  return [...(errors ?? []).map(({ reason }) => reason), ...(details ?? []).map(({ reason }) => reason), status]
    .filter((word): word is string => typeof word === "string" && /^[\w.-]{1,80}$/.test(word))
}

const messages: Readonly<Record<FailureClass, string>> = {
  throttled: "Gmail asks to slow down for this mailbox; it is tried again after the pause",
  transient: "Gmail does not answer properly just now; it is tried again",
  app: "Gmail refuses the app: check that the Gmail API is enabled for its project in the Google Cloud console",
  scope:
    "the grant does not allow reading this mailbox: consent to gmail.readonly, gmail.modify or mail.google.com is missing",
  blocked: "the mailbox cannot be read: it has no Gmail, or an administrator of the Workspace keeps apps from it",
  needs_user: "the user must sign in again: Gmail asks for a fresh sign-in",
  ambiguous: "Gmail refuses the access token",
  unknown: "Gmail gave an answer that is not known here",
}

export const gmailError = (
  failureClass: FailureClass,
  details: { readonly providerCode?: string; readonly retryAfterMillis?: number; readonly notSent?: boolean } = {},
): ProviderError =>
  new ProviderError({ class: failureClass, code: codeOf[failureClass], message: messages[failureClass], ...details })

/** No answer: the network failed, or the time was up. */
export const noAnswer = new GmailRefusal({ status: 0, reason: "", error: gmailError("transient") })

/** An answer of a form that Gmail is not known to give. Wherever it came from, it is not acted upon. */
export const strangeAnswer = (status: number): GmailRefusal =>
  new GmailRefusal({ status, reason: "", error: gmailError("unknown") })

/** For the whole project, and over when its day is. */
const dailyLimit = "dailyLimitExceeded"

const classes = new Map<string, FailureClass>([
  ["rateLimitExceeded", "throttled"],
  ["userRateLimitExceeded", "throttled"],
  ["quotaExceeded", "throttled"],
  ["RATE_LIMIT_EXCEEDED", "throttled"],
  ["RESOURCE_EXHAUSTED", "throttled"],
  [dailyLimit, "throttled"],
  ["domainPolicy", "blocked"],
  // No mail service for this account.
  ["failedPrecondition", "blocked"],
  ["FAILED_PRECONDITION", "blocked"],
  ["insufficientPermissions", "scope"],
  ["ACCESS_TOKEN_SCOPE_INSUFFICIENT", "scope"],
  ["accessNotConfigured", "app"],
  ["SERVICE_DISABLED", "app"],
  ["backendError", "transient"],
])

export const refusalOf = (
  answer: {
    readonly status: number
    readonly body: string
    readonly retryAfter: string | undefined
    readonly date?: string | undefined
  },
  nowMillis: number,
): GmailRefusal => {
  const { status } = answer
  const words = wordsIn(answer.body)
  const reason = words[0] ?? ""
  const known = words.flatMap((word) => classes.get(word) ?? [])[0]
  const failureClass = status === 429
    ? "throttled"
    : status === 401
    ? "unknown"
    : known ?? (status >= 500 || status === 408 ? "transient" : "unknown")
  const retryAfterMillis = words.includes(dailyLimit)
    ? untilNextDay(nowMillis)
    : parseRetryAfter(answer.retryAfter, answer.date, nowMillis)
  return new GmailRefusal({
    status,
    reason,
    error: gmailError(failureClass, {
      ...(reason === "" ? {} : { providerCode: reason }),
      ...(failureClass === "throttled" && retryAfterMillis !== undefined ? { retryAfterMillis } : {}),
    }),
  })
}

/** Daily quotas are counted anew at midnight, Pacific time. */
const untilNextDay = (nowMillis: number): number => {
  const today = DateTime.startOf(DateTime.makeZonedUnsafe(nowMillis, { timeZone: "America/Los_Angeles" }), "day")
  return DateTime.toEpochMillis(DateTime.add(today, { days: 1 })) - nowMillis
}

/** Of `history.list`: the history does not reach back so far. Of anything else: there is no such thing (any more). */
export const isNotFound = ({ status }: GmailRefusal): boolean => status === 404

/** The request itself is at fault: a page token, history id or label that is none. */
export const isInvalid = ({ error, status }: GmailRefusal): boolean => status === 400 && error.class === "unknown"
