import { assert, describe, it } from "@effect/vitest"
import { isInvalid, isNotFound, refusalOf } from "../../../src/mail/gmail/GmailErrors.ts"

const body = (reason?: string, status?: string, detail?: string) =>
  JSON.stringify({
    error: {
      code: 400,
      message: "secret",
      ...(reason === undefined ? {} : { errors: [{ domain: "x", reason }] }),
      ...(status === undefined ? {} : { status }),
      ...(detail === undefined
        ? {}
        : { details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: detail }] }),
    },
  })

const now = Date.UTC(2026, 10, 25, 12)

describe("GmailErrors", () => {
  it("knows each reason, whatever form it is told in", () => {
    const cases = [
      [403, body("rateLimitExceeded"), "throttled"],
      [403, body("userRateLimitExceeded", "PERMISSION_DENIED"), "throttled"],
      [403, body("dailyLimitExceeded"), "throttled"],
      [429, "Too many requests", "throttled"],
      [429, body(undefined, "RESOURCE_EXHAUSTED"), "throttled"],
      [403, body("domainPolicy"), "blocked"],
      [400, body("failedPrecondition", "FAILED_PRECONDITION"), "blocked"],
      [400, body(undefined, "FAILED_PRECONDITION"), "blocked"],
      [403, body("insufficientPermissions", "PERMISSION_DENIED"), "scope"],
      [403, body(undefined, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), "scope"],
      [403, body("forbidden", "PERMISSION_DENIED", "SERVICE_DISABLED"), "app"],
      [403, body("forbidden"), "unknown"],
      [403, "", "unknown"],
      [401, body("authError"), "unknown"],
      [404, body("notFound"), "unknown"],
      [400, body("invalidArgument"), "unknown"],
      [500, body("backendError"), "transient"],
      [503, "<html>", "transient"],
      [408, "", "transient"],
    ] as const
    for (const [status, text, expected] of cases) {
      const refusal = refusalOf({ status, body: text, retryAfter: undefined }, now)
      assert.strictEqual(refusal.error.class, expected, `${status} ${text}`)
      assert.notInclude(JSON.stringify(refusal), "secret")
      assert.strictEqual(isNotFound(refusal), status === 404)
      assert.strictEqual(isInvalid(refusal), text === body("invalidArgument"))
    }
  })

  it("waits as long as it is told, and for a day's quota until the next day begins in California", () => {
    const after = (text: string, retryAfter?: string) =>
      refusalOf({ status: 403, body: text, retryAfter }, now).error.retryAfterMillis
    assert.isUndefined(after(body("rateLimitExceeded")))
    assert.strictEqual(after(body("rateLimitExceeded"), "7"), 7_000)
    assert.strictEqual(after(body("dailyLimitExceeded"), "7"), 20 * 3_600_000)
    assert.isUndefined(after(body("domainPolicy"), "7"))
  })
})
