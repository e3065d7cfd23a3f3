/** Error answers of the Gmail API (Gmail API, resolve errors). */
import type { Answer } from "./Answer.ts"

export const gmailHeaders: Readonly<Record<string, string>> = { "content-type": "application/json; charset=UTF-8" }

const statuses: Readonly<Record<number, string>> = {
  400: "INVALID_ARGUMENT",
  401: "UNAUTHENTICATED",
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  409: "ALREADY_EXISTS",
  429: "RESOURCE_EXHAUSTED",
  500: "INTERNAL",
  503: "UNAVAILABLE",
}

const usageLimits = new Set(["rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "accessNotConfigured"])

export const gmailError = (
  status: number,
  reason: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): Answer => ({
  status,
  headers: { ...gmailHeaders, ...headers },
  body: JSON.stringify({
    error: {
      code: status,
      message,
      errors: [{ message, domain: usageLimits.has(reason) ? "usageLimits" : "global", reason }],
      status: reason === "failedPrecondition" ? "FAILED_PRECONDITION" : statuses[status] ?? "UNKNOWN",
    },
  }),
})

export const notFound = (): Answer => gmailError(404, "notFound", "Requested entity was not found.")

export const invalidArgument = (message: string): Answer => gmailError(400, "invalidArgument", message)

export const unauthorized = (): Answer =>
  gmailError(
    401,
    "authError",
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid " +
      "authentication credential.",
    { "www-authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"' },
  )

export const insufficientScope = (): Answer =>
  gmailError(403, "insufficientPermissions", "Request had insufficient authentication scopes.")

/** Two spellings of one thing, and one that is told of requests at once. */
export const overQuota = (form: 403 | 429): Answer =>
  form === 403 ? gmailError(403, "userRateLimitExceeded", "User-rate limit exceeded.") : gmailError(
    429,
    "rateLimitExceeded",
    "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user'.",
  )

export const tooManyAtOnce = (): Answer =>
  gmailError(429, "rateLimitExceeded", "Too many concurrent requests for user.")
