/** One account of an import file, and the rules its values keep whatever the format of the file. */
import { Redacted, Result } from "effect"
import type { Channel, Provider } from "../Account.ts"

/** An account to import. */
export interface ImportRow {
  readonly _tag: "ImportRow"
  /** Physical line in the file, from 1, where the row starts. */
  readonly line: number
  /** As written: compare without regard to case. */
  readonly email: string
  /** For Microsoft a UUID in lower case, for Google as written. */
  readonly clientId: string
  readonly refreshToken: Redacted.Redacted<string>
  /** Absent: the app's own tenant applies. */
  readonly tenant?: string
  readonly provider: Provider
  readonly channel: Channel
  /** Nobody named the channel, and there is more than one: what the provider grants decides. */
  readonly channelOpen?: true
  /** The default tags, then the row's own, each once. */
  readonly tags: ReadonlyArray<string>
}

/** Why a row cannot be imported. Stable. */
export type BadRowCode =
  | "row_too_long"
  | "invalid_encoding"
  | "invalid_json"
  | "not_an_object"
  | "invalid_type"
  | "invalid_quoting"
  | "unclosed_quote"
  | "invalid_field_count"
  | "missing_field"
  | "invalid_email"
  | "invalid_provider"
  | "invalid_client_id"
  | "invalid_refresh_token"
  | "invalid_tenant"
  | "invalid_channel"
  | "invalid_tags"

/** The name of a value, as the import formats document it. */
export type RowField = "email" | "clientId" | "refreshToken" | "tenant" | "provider" | "channel" | "tags"

/** A row that cannot be imported. The rows after it go on. */
export interface BadRow {
  readonly _tag: "BadRow"
  /** Physical line in the file, from 1, where the row starts. */
  readonly line: number
  /** Only where it is a valid address: anything else might be a misplaced secret. */
  readonly email?: string
  readonly code: BadRowCode
  readonly field?: RowField
  /** What was expected. Never holds anything that the file holds. */
  readonly message: string
}

export type ParsedRow = ImportRow | BadRow

/** What applies to rows that do not say it themselves. `tags` are added to those of every row. */
export interface RowDefaults {
  readonly provider?: Provider
  readonly channel?: Channel
  readonly tags?: ReadonlyArray<string>
}

/** The values of a row before they are checked. Empty means absent. `tags` as text are separated by `;`, `|`, `,` or spaces. */
export interface RowValues {
  readonly email: string
  readonly clientId: string
  readonly refreshToken: string
  readonly tenant?: string
  readonly provider?: string
  readonly channel?: string
  readonly tags?: string | ReadonlyArray<string>
}

export const badRow = (
  line: number,
  code: BadRowCode,
  message: string,
  more: { readonly field?: RowField; readonly email?: string } = {},
): BadRow => ({ _tag: "BadRow", line, code, message, ...more })

export const invalidEncoding = (line: number): BadRow =>
  badRow(line, "invalid_encoding", "expected UTF-8: the row holds bytes that are not, or the character U+FFFD")

export const rowTooLong = (line: number, maxRowLength: number): BadRow =>
  badRow(line, "row_too_long", `expected a row of at most ${maxRowLength} characters`)

/** The form of a Microsoft client id. */
export const isUuid = (text: string): boolean =>
  text.length === 36 && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)

/** A token of RFC 6749 appendix A.17 without its space: what providers send, and what survives a header and a log. */
const visibleAscii = /^[!-~]+$/

const asciiAddress = /^[\w.!#$%&'*+/=?^`{|}~-]+@(?:[a-z\d_-]+\.)*[a-z\d_-]+$/i
/** Internationalised addresses (RFC 6531): letters, marks and digits of any script join the ASCII ones. */
const unicodeAddress = /^[\p{L}\p{M}\p{N}_.!#$%&'*+/=?^`{|}~-]+@(?:[\p{L}\p{M}\p{N}_-]+\.)*[\p{L}\p{M}\p{N}_-]+$/u

const maxEmail = 320 // RFC 3696 erratum 1690: 64 + "@" + 255
const maxGoogleClientId = 512
const maxRefreshToken = 16_384
const maxTags = 32
const maxTag = 64

/** Names a directory: a UUID, a domain, or `common`, `organizations`, `consumers`. */
const tenantName = /^[a-z\d](?:[a-z\d.-]{0,251}[a-z\d])?$/i
const googleClientId = /\.apps\.googleusercontent\.com$/i
// deno-lint-ignore no-control-regex -- control characters are what is looked for
const unfitForTag = /[\u0000-\u001f\u007f-\u009f\ud800-\udfff]/u

const channels: Record<Provider, ReadonlyArray<Channel>> = { microsoft: ["graph", "imap"], google: ["gmail", "imap"] }

/**
 * True for what is stored as an address: one `@`, no white space, a domain, at most 320 characters. A domain with `----` in it is
 * a line of another format, whose password or token would be shown as a part of the address.
 */
export const isEmail = (text: string): boolean =>
  text.length <= maxEmail && !text.includes("----", text.indexOf("@")) &&
  (asciiAddress.test(text) || unicodeAddress.test(text))

/**
 * A copy with memory of its own. A slice keeps the text it was cut from alive: a kept address would hold a whole block of
 * the file, with its tokens and passwords.
 */
const own = (text: string): string => (" " + text).slice(1)

/** Without surrounding white space and double quotes: Microsoft does not trim values, and no value may hold either. */
const bare = (text: string): string => {
  const trimmed = text.trim()
  const quotedStart = trimmed.startsWith('"')
  if (!quotedStart && !trimmed.endsWith('"')) return trimmed
  return trimmed.slice(quotedStart ? 1 : 0, trimmed.endsWith('"') && trimmed.length > 1 ? -1 : undefined).trim()
}

/** The address in `text`, if it is one: what a bad row may say of itself. */
export const addressOf = (text: string): { readonly email?: string } => {
  const email = own(bare(text))
  return isEmail(email) ? { email } : {}
}

const readProvider = (text: string | undefined, clientId: string, defaults: RowDefaults): Provider | undefined => {
  const named = text?.trim().toLowerCase()
  if (named) return named === "microsoft" || named === "google" ? named : undefined
  return defaults.provider ?? (googleClientId.test(clientId) ? "google" : "microsoft")
}

const isNamed = (text: string | undefined): boolean => (text?.trim() ?? "") !== ""

const readChannel = (text: string | undefined, provider: Provider, defaults: RowDefaults): Channel | undefined => {
  const named = text?.trim().toLowerCase() || defaults.channel || channels[provider][0]
  return channels[provider].find((channel) => channel === named)
}

const noTags: ReadonlyArray<string> = []

const isTag = (tag: string): boolean => tag.length <= maxTag && !unfitForTag.test(tag)

const readTags = (tags: RowValues["tags"], defaults: RowDefaults): ReadonlyArray<string> | undefined => {
  const common = defaults.tags ?? noTags
  if (!tags || tags.length === 0) return common
  const merged = [...common]
  for (const word of typeof tags === "string" ? tags.split(/[;|,\s]/) : tags) {
    const tag = word.trim()
    if (!isTag(tag)) return undefined
    if (tag !== "" && !merged.includes(tag)) merged.push(own(tag))
    if (merged.length > common.length + maxTags) return undefined
  }
  return merged
}

/** The client id as it is stored, or what was expected instead. */
export const readClientId = (provider: Provider, text: string): Result.Result<string, string> => {
  const clientId = bare(text)
  if (provider === "microsoft") {
    return isUuid(clientId)
      ? Result.succeed(clientId.toLowerCase())
      : Result.fail("expected a UUID: the application (client) id of a Microsoft app")
  }
  return clientId.length <= maxGoogleClientId && visibleAscii.test(clientId)
    ? Result.succeed(own(clientId))
    : Result.fail(`expected at most ${maxGoogleClientId} visible ASCII characters`)
}

/** The tenant as it is stored, or what was expected instead. Empty where none is named, and at Google, which has none. */
export const readTenant = (provider: Provider, text: string): Result.Result<string, string> => {
  const tenant = provider === "microsoft" ? bare(text) : ""
  return tenant === "" || tenantName.test(tenant)
    ? Result.succeed(tenant === "" ? "" : own(tenant))
    : Result.fail("expected a UUID, a domain, common, organizations or consumers")
}

/**
 * Checks the values of the row that starts at `line`. The provider is the row's, else the default, else `google` for a
 * client id that ends in `.apps.googleusercontent.com`, else `microsoft`; the channel likewise, in the end `graph` or
 * `gmail`.
 */
export const checkRow = (values: RowValues, line: number, defaults: RowDefaults): ParsedRow => {
  const email = own(bare(values.email))
  if (email === "") return badRow(line, "missing_field", "expected an email", { field: "email" })
  if (!isEmail(email)) {
    return badRow(
      line,
      "invalid_email",
      `expected an address such as name@example.com, of at most ${maxEmail} characters`,
      { field: "email" },
    )
  }
  const bad = (code: BadRowCode, field: RowField, message: string): BadRow =>
    badRow(line, code, message, { field, email })

  const givenId = bare(values.clientId)
  const provider = readProvider(values.provider, givenId, defaults)
  if (provider === undefined) return bad("invalid_provider", "provider", "expected microsoft or google")
  if (givenId === "") return bad("missing_field", "clientId", "expected a client id")
  const clientId = readClientId(provider, givenId)
  if (Result.isFailure(clientId)) return bad("invalid_client_id", "clientId", clientId.failure)
  const refreshToken = own(bare(values.refreshToken))
  if (refreshToken === "") return bad("missing_field", "refreshToken", "expected a refresh token")
  if (refreshToken.length > maxRefreshToken || !visibleAscii.test(refreshToken)) {
    const message = `expected at most ${maxRefreshToken} visible ASCII characters without spaces`
    return bad("invalid_refresh_token", "refreshToken", message)
  }
  const tenant = readTenant(provider, values.tenant ?? "")
  if (Result.isFailure(tenant)) return bad("invalid_tenant", "tenant", tenant.failure)
  const channel = readChannel(values.channel, provider, defaults)
  if (channel === undefined) {
    return bad("invalid_channel", "channel", `expected ${channels[provider].join(" or ")} for ${provider}`)
  }
  const tags = readTags(values.tags, defaults)
  if (tags === undefined) {
    return bad("invalid_tags", "tags", `expected at most ${maxTags} tags of at most ${maxTag} printable characters`)
  }
  const row = {
    _tag: "ImportRow" as const,
    line,
    email,
    clientId: clientId.success,
    refreshToken: Redacted.make(refreshToken),
    provider,
    channel,
    tags,
    ...(provider === "microsoft" && !isNamed(values.channel) && defaults.channel === undefined
      ? { channelOpen: true as const }
      : {}),
  }
  return tenant.success === "" ? row : { ...row, tenant: tenant.success }
}
