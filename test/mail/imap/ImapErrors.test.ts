import { assert, describe, it } from "@effect/vitest"
import { refusalOf } from "../../../src/mail/imap/ImapErrors.ts"

const error = (fields: Record<string, unknown>) => Object.assign(new Error("secret"), fields)
const no = (responseText: string, more: Record<string, unknown> = {}) =>
  error({ responseStatus: "NO", responseText, ...more })

/** What each comes to: reason, class. */
const cases: ReadonlyArray<readonly [name: string, cause: unknown, reason: string, failureClass: string]> = [
  ["a closed connection", error({ code: "NoConnection" }), "lost", "transient"],
  ["a connection closed in a stream", error({ code: "EConnectionClosed" }), "lost", "transient"],
  ["silence", error({ code: "ETIMEOUT" }), "other", "transient"],
  ["a refused connection", error({ code: "ECONNREFUSED" }), "other", "transient"],
  ["a certificate that is not trusted", new Error("invalid peer certificate"), "other", "transient"],
  ["something that is no error", "x", "other", "transient"],
  [
    "a refused token",
    error({ authenticationFailed: true, serverResponseCode: "AUTHENTICATIONFAILED", responseStatus: "NO" }),
    "authentication",
    "unknown",
  ],
  [
    "Outlook's refusal",
    error({ authenticationFailed: true, responseStatus: "NO", response: "AUTHENTICATE failed." }),
    "authentication",
    "unknown",
  ],
  [
    "a token that could not be checked",
    error({ authenticationFailed: true, serverResponseCode: "UNAVAILABLE", responseStatus: "NO" }),
    "other",
    "transient",
  ],
  [
    "a mailbox that is not connected",
    error({ authenticationFailed: true, response: "User is authenticated but not connected." }),
    "other",
    "unknown",
  ],
  [
    "too many connections at Gmail",
    error({ authenticationFailed: true, response: "Too many simultaneous connections. (Failure)" }),
    "other",
    "throttled",
  ],
  [
    "too many connections at Dovecot",
    no("Maximum number of connections from user+IP exceeded", { serverResponseCode: "UNAVAILABLE" }),
    "other",
    "throttled",
  ],
  [
    "Gmail's bandwidth",
    no("Account exceeded command or bandwidth limits.", { serverResponseCode: "OVERQUOTA" }),
    "other",
    "throttled",
  ],
  [
    "Exchange's throttling",
    error({ code: "ETHROTTLE", throttleReset: 1_500, responseStatus: "BAD" }),
    "other",
    "throttled",
  ],
  ["IMAP that is off", no("[ALERT] Your account is not enabled for IMAP use."), "other", "blocked"],
  ["a missing folder", no("Mailbox doesn't exist: x", { serverResponseCode: "NONEXISTENT" }), "missing", "unknown"],
  ["a folder that is missing by the listing", error({ code: "NotFound" }), "missing", "unknown"],
  ["a server in trouble", no("Server Unavailable. 15"), "other", "transient"],
  ["a server fault", no("Internal error occurred", { serverResponseCode: "SERVERBUG" }), "other", "transient"],
  ["something else", no("No way"), "other", "unknown"],
]

describe("A refusal over IMAP", () => {
  for (const [name, cause, reason, failureClass] of cases) {
    it(`is understood: ${name}`, () => {
      const refusal = refusalOf(cause)
      assert.deepStrictEqual([refusal.reason, refusal.error.class], [reason, failureClass])
      assert.notInclude(refusal.error.message, "secret")
    })
  }

  it("tells how long to wait, and the server's code where it is one", () => {
    assert.strictEqual(refusalOf(error({ throttleReset: 1_500 })).error.retryAfterMillis, 1_500)
    assert.strictEqual(refusalOf(error({ code: "NoConnection" }), 92_415).error.retryAfterMillis, 92_415)
    assert.strictEqual(refusalOf(no("x", { serverResponseCode: "CANNOT" })).error.providerCode, "CANNOT")
    assert.isUndefined(refusalOf(no("x", { serverResponseCode: "token=abc" })).error.providerCode)
  })
})
