import { assert, describe, it } from "@effect/vitest"
import { isCursorLost, isNotFound, refusalOf } from "../../../src/mail/graph/GraphErrors.ts"

const refusal = (status: number, code?: string, headers: { retryAfter?: string; authenticate?: string } = {}) =>
  refusalOf(
    {
      status,
      body: code === undefined
        ? "secret words of the provider"
        : JSON.stringify({ error: { code, message: "secret words" } }),
      retryAfter: headers.retryAfter,
      authenticate: headers.authenticate,
    },
    0,
  )

describe("GraphErrors", () => {
  it.each(
    [
      [429, undefined, {}, "throttled"],
      [429, "UnknownError", {}, "throttled"],
      [503, "ApplicationThrottled", {}, "throttled"],
      [503, "serviceNotAvailable", { retryAfter: "2.128" }, "throttled"],
      [504, undefined, { retryAfter: "1" }, "throttled"],
      [509, undefined, {}, "throttled"],
      [503, "MailboxInfoStale", {}, "transient"],
      [500, "ErrorInternalServerError", {}, "transient"],
      [502, undefined, {}, "transient"],
      [400, "ErrorMailboxMoveInProgress", {}, "transient"],
      [409, "resourceModified", {}, "transient"],
      [404, "MailboxNotEnabledForRESTAPI", {}, "blocked"],
      [403, "MailboxNotEnabledForRESTAPI", {}, "blocked"],
      [401, "mailboxnotenabledforrestapi", {}, "blocked"],
      [404, "ErrorInvalidUser", {}, "blocked"],
      [403, "ErrorAccessDenied", {}, "scope"],
      [403, "accessDenied", {}, "scope"],
      [403, undefined, {}, "scope"],
      [403, "ErrorQuotaExceeded", {}, "unknown"],
      [403, "accessDenied", { authenticate: 'Bearer error="insufficient_claims", claims="eyJ"' }, "needs_user"],
      [401, "InvalidAuthenticationToken", { authenticate: 'Bearer claims="eyJ"' }, "needs_user"],
      [401, "InvalidAuthenticationToken", { authenticate: 'Bearer realm=""' }, "unknown"],
      [400, "ErrorInvalidIdMalformed", {}, "unknown"],
      [301, undefined, {}, "unknown"],
    ] as const,
  )("takes %i %s %j as %s", (status, code, headers, expected) => {
    assert.strictEqual(refusal(status, code, headers).error.class, expected)
  })

  it("tells the pause, and no word of the provider's", () => {
    const { error } = refusal(429, "TooManyRequests", { retryAfter: "2.128" })
    assert.strictEqual(error.retryAfterMillis, 2_128)
    assert.strictEqual(error.providerCode, "TooManyRequests")
    assert.notInclude(JSON.stringify(error) + error.message, "secret")
    assert.notInclude(JSON.stringify(refusal(400, "secret <words>\n")), "secret")
  })

  it("knows a lost cursor in all its spellings", () => {
    for (
      const code of [
        "syncStateNotFound",
        "SyncStateNotFound",
        "resyncRequired",
        "SyncStateInvalid",
        "InvalidSyncStateData",
      ]
    ) {
      assert.isTrue(isCursorLost(refusal(400, code)))
    }
    assert.isTrue(isCursorLost(refusal(410)))
    assert.isFalse(isCursorLost(refusal(404, "ErrorItemNotFound")))
  })

  it("believes that something is gone only where Graph says it", () => {
    assert.isTrue(isNotFound(refusal(404, "ErrorItemNotFound")))
    assert.isTrue(isNotFound(refusal(404, "itemNotFound")))
    // A gateway's 404 must not cost a folder of mail.
    assert.isFalse(isNotFound(refusal(404)))
    assert.isFalse(isNotFound(refusal(404, "MailboxNotEnabledForRESTAPI")))
  })
})
