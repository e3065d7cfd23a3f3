/** What a refusal of Microsoft Graph means. Status first, then code (Microsoft Graph, error responses and resource types). */
import { Schema } from "effect"
import { codeOf, type FailureClass } from "../../domain/FailureClass.ts"
import { parseRetryAfter, ProviderError } from "../../domain/ProviderError.ts"

/** An answer other than 2xx, or none at all (`status` 0). */
export class GraphRefusal extends Schema.TaggedError<GraphRefusal>()("GraphRefusal", {
  status: Schema.Number,
  /** Graph's own code in lower case; empty where there is none. */
  code: Schema.String,
  error: ProviderError,
}) {}

/** `code` may be missing or empty, and the body of a throttled answer may be plain text. */
const ErrorBody = Schema.fromJsonString(
  Schema.Struct({ error: Schema.Struct({ code: Schema.optionalKey(Schema.NullOr(Schema.String)) }) }),
)

const decode = Schema.decodeUnknownOption(ErrorBody)

const codeIn = (body: string): string => {
  const decoded = decode(body)
  const code = decoded._tag === "Some" ? decoded.value.error.code ?? "" : ""
  return /^[\w.:-]{1,80}$/.test(code) ? code : ""
}

const messages: Readonly<Record<FailureClass, string>> = {
  throttled: "Microsoft Graph asks to slow down for this mailbox; it is tried again after the pause",
  transient: "Microsoft Graph does not answer properly just now; it is tried again",
  app: "Microsoft Graph refuses the app: check its registration",
  scope: "the grant does not allow reading this mailbox: consent to Mail.Read (or Mail.ReadWrite) is missing",
  blocked:
    "the mailbox cannot be read through Microsoft Graph: it is inactive, unlicensed, on premises or in another tenant",
  needs_user: "the user must sign in again: Microsoft Graph asks for a fresh sign-in",
  ambiguous: "Microsoft Graph refuses the access token",
  unknown: "Microsoft Graph gave an answer that is not known here",
}

export const graphError = (
  failureClass: FailureClass,
  details: { readonly providerCode?: string; readonly retryAfterMillis?: number; readonly notSent?: boolean } = {},
): ProviderError =>
  new ProviderError({ class: failureClass, code: codeOf[failureClass], message: messages[failureClass], ...details })

/** No answer: the network failed, or the time was up. */
export const noAnswer = new GraphRefusal({ status: 0, code: "", error: graphError("transient") })

/** An answer of a form that Graph is not known to give. Wherever it came from, it is not acted upon. */
export const strangeAnswer = (status: number): GraphRefusal =>
  new GraphRefusal({ status, code: "", error: graphError("unknown") })

const transientCodes = new Set([
  // Hours, at times: the mailbox is being moved between servers.
  "errormailboxmoveinprogress",
  "mailboxinfostale",
  "errormailboxstoreunavailable",
  "servicenotavailable",
  "generalexception",
  "errorserverbusy",
  "errorinternalservererror",
  "errortimeoutexpired",
  "resourcemodified",
])

const deniedCodes = new Set(["", "erroraccessdenied", "accessdenied", "authorization_requestdenied"])

const throttledCodes = new Set(["toomanyrequests", "activitylimitreached", "applicationthrottled"])

export const refusalOf = (
  answer: {
    readonly status: number
    readonly body: string
    readonly retryAfter: string | undefined
    readonly date?: string | undefined
    readonly authenticate: string | undefined
  },
  nowMillis: number,
): GraphRefusal => {
  const { status } = answer
  const providerCode = codeIn(answer.body)
  const code = providerCode.toLowerCase()
  const retryAfterMillis = parseRetryAfter(answer.retryAfter, answer.date, nowMillis)
  const failureClass = classOf(status, code, answer.authenticate ?? "", retryAfterMillis !== undefined)
  return new GraphRefusal({
    status,
    code,
    error: graphError(failureClass, {
      ...(providerCode === "" ? {} : { providerCode }),
      ...(failureClass === "throttled" && retryAfterMillis !== undefined ? { retryAfterMillis } : {}),
    }),
  })
}

const classOf = (status: number, code: string, authenticate: string, saysWhen: boolean): FailureClass => {
  if (status === 429 || status === 509 || throttledCodes.has(code)) return "throttled"
  if ((status === 503 || status === 504) && saysWhen) return "throttled"
  // Reported with 404, 401 and 403.
  if (code === "mailboxnotenabledforrestapi" || code === "errorinvaliduser") return "blocked"
  if (status >= 500 || status === 408 || transientCodes.has(code)) return "transient"
  // A claims challenge of continuous access evaluation: no refresh token can answer it.
  if ((status === 401 || status === 403) && /\bclaims=|insufficient_claims/i.test(authenticate)) return "needs_user"
  if (status === 403 && deniedCodes.has(code)) return "scope"
  return "unknown"
}

/** What a refusal means of a mailbox that is read under its address: the grant may well open others. */
export const ofNamedMailbox = (refusal: GraphRefusal): GraphRefusal => {
  const { code, error, status } = refusal
  const message = error.class === "scope"
    ? "the grant does not open this mailbox: it takes the permission Mail.Read.Shared, and full access to the mailbox for whoever " +
      "signed in; or, where an app reads a whole tenant, Mail.Read and no application access policy against it"
    : status === 404 && unknownUsers.has(code)
    ? "the grant finds no mailbox of this address: it was deleted or renamed, has no licence, or is not shared with whoever " +
      "signed in"
    : undefined
  if (message === undefined) return refusal
  const failureClass = error.class === "scope" ? "scope" : "blocked"
  return new GraphRefusal({
    status,
    code,
    error: new ProviderError({ ...error, class: failureClass, code: codeOf[failureClass], message }),
  })
}

const unknownUsers = new Set([
  "request_resourcenotfound",
  "resourcenotfound",
  "errorinvaliduser",
  "erroritemnotfound",
  "",
])

/** The provider forgot a delta or skip token (Microsoft Graph, delta query overview; the spellings vary in practice). */
const lostCodes = new Set(["resyncrequired", "syncstatenotfound", "syncstateinvalid", "invalidsyncstatedata"])

export const isCursorLost = ({ code, status }: GraphRefusal): boolean => status === 410 || lostCodes.has(code)

/** A request that Graph cannot read, for a reason that has no class of its own. */
export const isInvalid = ({ error, status }: GraphRefusal): boolean => status === 400 && error.class === "unknown"

const goneCodes = new Set(["erroritemnotfound", "itemnotfound", "errorfoldernotfound", "resourcenotfound"])

export const isNotFound = ({ code, status }: GraphRefusal): boolean => status === 404 && goneCodes.has(code)
