/** What a refusal of an IMAP server, or the loss of the connection to it, means. */
import { Schema } from "effect"
import type { ImapFlowError } from "imapflow"
import { codeOf, type FailureClass } from "../../domain/FailureClass.ts"
import { ProviderError } from "../../domain/ProviderError.ts"

/**
 * - `authentication`: the access token was refused
 * - `missing`: there is no such mailbox folder
 * - `lost`: the connection ended; whatever was asked may be asked again over a new one
 * - `other`: all else, and connections on which the server went silent
 */
export class ImapRefusal extends Schema.TaggedError<ImapRefusal>()("ImapRefusal", {
  reason: Schema.Literals(["authentication", "missing", "lost", "other"]),
  error: ProviderError,
}) {}

export const isRefusal = Schema.is(ImapRefusal)

const messages: Readonly<Record<FailureClass, string>> = {
  throttled: "the IMAP server asks to slow down for this mailbox; it is tried again after the pause",
  transient: "the IMAP server does not answer properly just now; it is tried again",
  app: "the IMAP server refuses the app",
  scope: "the grant does not allow reading this mailbox over IMAP",
  blocked: "IMAP is switched off for this mailbox: its owner or an administrator must switch it on",
  needs_user: "the user must sign in again",
  ambiguous: "the IMAP server refuses the access token",
  unknown: "the IMAP server gave an answer that is not known here",
}

const refusedToken =
  "the IMAP server refuses an access token that is fresh: check that IMAP is on for this mailbox, and that the address is that of " +
  "whoever signed in, or of a mailbox that they may open; tried again, since this may pass"

const notConnected =
  "the IMAP server takes the access token but does not open the mailbox: IMAP may be off for it, or its address is not that of " +
  "whoever signed in, or too many clients are connected; tried again"

export const imapError = (
  failureClass: FailureClass,
  details: {
    readonly message?: string
    readonly providerCode?: string
    readonly retryAfterMillis?: number
    readonly notSent?: boolean
  } = {},
): ProviderError =>
  new ProviderError({ class: failureClass, code: codeOf[failureClass], message: messages[failureClass], ...details })

/** An answer that cannot be made use of. */
export const strangeAnswer = new ImapRefusal({ reason: "other", error: imapError("unknown") })

/** The connection is gone. */
export const lost = new ImapRefusal({ reason: "lost", error: imapError("transient") })

const lostCodes = new Set([
  "NoConnection",
  "EConnectionClosed",
  "StateLogout",
  "ClosedAfterConnectText",
  "ClosedAfterConnectTLS",
])

/** RFC 5530, and what Dovecot, Gmail and Exchange are seen to send. */
const transientCodes = new Set(["UNAVAILABLE", "INUSE", "SERVERBUG", "EXPIRED", "INTERNALERROR"])
const throttledCodes = new Set(["LIMIT", "OVERQUOTA", "THROTTLED"])

const tooMany = /too many simultaneous connections|maximum number of connections|exceeded command or bandwidth limits/i
const switchedOff = /not enabled for IMAP|IMAP access is disabled/i
const passing =
  /server (?:is )?(?:un|not )available|temporar|try again|server busy|internal (?:server )?error|timed? ?out/i

const textOf = (error: ImapFlowError): string =>
  [error.responseText, typeof error.response === "string" ? error.response : "", error.reason]
    .filter((text) => typeof text === "string").join(" ")

/**
 * @param cause what ImapFlow rejected with
 * @param backoffMillis the pause that the server had asked for when the connection was given up
 */
export const refusalOf = (cause: unknown, backoffMillis?: number): ImapRefusal => {
  const error = (cause instanceof Error ? cause : {}) as ImapFlowError
  const text = textOf(error)
  const code = error.serverResponseCode?.toUpperCase() ?? ""
  const providerCode = /^[A-Z-]{1,40}$/.test(code) ? { providerCode: code } : {}
  const other = (failureClass: FailureClass, message?: string) =>
    new ImapRefusal({
      reason: "other",
      error: imapError(failureClass, { ...providerCode, ...(message === undefined ? {} : { message }) }),
    })

  const retryAfterMillis = backoffMillis ?? error.throttleReset
  if (retryAfterMillis !== undefined) {
    return new ImapRefusal({ reason: "other", error: imapError("throttled", { ...providerCode, retryAfterMillis }) })
  }
  if (throttledCodes.has(code) || tooMany.test(text)) return other("throttled")
  if (/authenticated but not connected/i.test(text)) return other("unknown", notConnected)
  if (switchedOff.test(text)) return other("blocked")
  // Of a failed sign-in too: the server could not check the token.
  if (transientCodes.has(code)) return other("transient")
  if (error.authenticationFailed === true) {
    return new ImapRefusal({
      reason: "authentication",
      error: imapError("unknown", { ...providerCode, message: refusedToken }),
    })
  }
  if (code === "NONEXISTENT" || error.mailboxMissing === true || error.code === "NotFound") {
    return new ImapRefusal({ reason: "missing", error: imapError("unknown", providerCode) })
  }
  if (lostCodes.has(error.code ?? "")) return lost
  if (error.responseStatus === undefined) return other("transient")
  return other(passing.test(text) ? "transient" : "unknown")
}
