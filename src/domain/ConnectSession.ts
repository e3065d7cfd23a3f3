/** One sign-in of one person, or one consent of one administrator: from the link that asks for it to what came of it. */
import { Schema } from "effect"
import { type Channel, type Provider, resourceOf } from "./Account.ts"
import { AccountId, AppId, GrantId } from "./Ids.ts"

/**
 * - `sign_in`: a person allows the app to read the own mailbox
 * - `admin_consent`: an administrator allows the app to read the mailboxes of a whole tenant (Microsoft)
 */
export const ConnectKind = Schema.Literals(["sign_in", "admin_consent"])
export type ConnectKind = typeof ConnectKind.Type

/**
 * - `open`: the link has not been used
 * - `started`: a browser is at the provider
 * - `connected`, `refused`: what came of it
 * - `expired`: nothing came of it in time
 */
export const ConnectState = Schema.Literals(["open", "started", "connected", "refused", "expired"])
export type ConnectState = typeof ConnectState.Type

/** Why a sign-in was refused. Stable; each has words of its own on the page that the person sees. */
export const RefusalCode = Schema.Literals([
  "access_denied",
  "wrong_person",
  "permission_missing",
  "consent_required",
  "account_blocked",
  "account_taken",
  "account_gone",
  "app_misconfigured",
  "issuer_mismatch",
  "no_address",
  "no_refresh_token",
  "provider_unavailable",
  "sign_in_failed",
])
export type RefusalCode = typeof RefusalCode.Type

/** One link to sign in or to consent by, and what came of it. */
export const ConnectSession = Schema.Struct({
  id: Schema.String,
  kind: ConnectKind,
  state: ConnectState,
  /** Where the person goes to. In the answer that makes the session only: it is not kept. */
  url: Schema.optionalKey(Schema.String),
  appId: AppId,
  /** The account that is to be revived. */
  accountId: Schema.optionalKey(AccountId),
  expectedEmail: Schema.optionalKey(Schema.String),
  returnUrl: Schema.optionalKey(Schema.String),
  tags: Schema.Array(Schema.String),
  createdAt: Schema.DateTimeUtcFromString,
  /** Until then the link can be opened, and after that the sign-in be finished. */
  expiresAt: Schema.DateTimeUtcFromString,
  /** Why it was refused. Never holds a secret. */
  error: Schema.optionalKey(Schema.Struct({ code: RefusalCode, message: Schema.String })),
  connectedAccountId: Schema.optionalKey(AccountId),
  grantId: Schema.optionalKey(GrantId),
})
export type ConnectSession = typeof ConnectSession.Type

/** A sign-in, or a consent, that was not taken. `message` is for the operator; it never repeats what the provider sent. */
export class SignInRefused extends Schema.TaggedError<SignInRefused>()("SignInRefused", {
  code: RefusalCode,
  message: Schema.String,
  /** Whom the page names: who was expected, and who signed in. */
  expected: Schema.optionalKey(Schema.String),
  actual: Schema.optionalKey(Schema.String),
}) {}

/** What a person is told who signs in elsewhere for a device, and how often the device may ask. */
export const DeviceCode = Schema.Struct({
  userCode: Schema.String,
  /** Where the person enters it. */
  verificationUri: Schema.String,
  /** Seconds between two polls. */
  interval: Schema.Number,
  /** Until then somebody can sign in. */
  expiresAt: Schema.DateTimeUtcFromString,
})
export type DeviceCode = typeof DeviceCode.Type

/** The link has been opened, the device has its code, or the time is over. */
export class ConnectSessionUsed extends Schema.TaggedError<ConnectSessionUsed>()("ConnectSessionUsed", {
  state: ConnectState,
}) {}

/** Nobody can sign in by a code for this session. */
export class DeviceNotAvailable extends Schema.TaggedError<DeviceNotAvailable>()("DeviceNotAvailable", {
  message: Schema.String,
}) {}

/** What is asked for does not go together. `message` says what was expected. */
export class InvalidConnectSession extends Schema.TaggedError<InvalidConnectSession>()("InvalidConnectSession", {
  field: Schema.Literals(["appId", "kind", "accountId", "expectedEmail", "redirectUri", "returnUrl", "channel"]),
  message: Schema.String,
}) {}

const mostOfUrl = 2_000

/**
 * An absolute http or https URL without user, fragment and characters that parsers disagree about. As it is written, since
 * the query of a URL may not bear to be written in another way.
 *
 * @param origins where it may lead; undefined = anywhere
 */
export const isReturnUrl = (text: string, origins: ReadonlyArray<string> | undefined): boolean => {
  if (text.length > mostOfUrl || !/^https?:\/\/(?!\/)[!-"$-[\]-~]+$/i.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  return url.username === "" && url.password === "" && (origins === undefined || origins.includes(url.origin))
}

/** The last part of a scope, without regard to case: providers write the rest in several ways (provider-facts A3). */
export const scopeNames = (scopes: string): ReadonlySet<string> =>
  new Set(
    scopes.split(/\s+/).filter((scope) => scope !== "").map((scope) =>
      scope.replace(/\/+$/, "").split("/").at(-1)!.toLowerCase()
    ),
  )

/** Any of these opens a mailbox for reading. */
const mailScopes = {
  graph: ["mail.read", "mail.readwrite"],
  "outlook-imap": ["imap.accessasuser.all"],
  gmail: ["mail.google.com", "gmail.readonly", "gmail.modify"],
  // Google's IMAP takes no other (Gmail, IMAP, XOAUTH2 mechanism).
  "gmail-imap": ["mail.google.com"],
} as const

/** Whether scopes let the mailbox be read through a channel. */
export const canReadMail = (provider: Provider, channel: Channel, scopes: string): boolean => {
  const names = scopeNames(scopes)
  const wanted = provider === "google" && channel === "imap" ? "gmail-imap" : resourceOf(provider, channel)
  return mailScopes[wanted].some((name) => names.has(name))
}

/**
 * Whether scopes name permissions of Microsoft's, such as `User.Read`, so that one which is missing was not granted. Scopes of
 * OpenID Connect do not, nor does `.default`, which asks for whatever was consented to.
 */
export const namePermissions = (scopes: string): boolean =>
  [...scopeNames(scopes)].some((name) => /^\w+(?:\.\w+)+$/.test(name))
