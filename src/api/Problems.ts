/**
 * Every error that the API answers with, as RFC 9457 problems.
 *
 * `code` is stable and what clients branch on; `type` is its URN and tells problems of one status apart on the wire;
 * `detail` is for people. No member ever repeats what the request held.
 */
import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"
import { Scope } from "../domain/ApiKey.ts"
import { ConnectState, RefusalCode } from "../domain/ConnectSession.ts"
import { GrantRefused as GrantRefusedError } from "../domain/Grant.ts"

const problem = <const Code extends string, const Status extends number>(
  code: Code,
  status: Status,
  title: string,
) => ({
  type: `urn:mailfleet:problem:${code}` as const,
  status,
  title,
})

/** One value of the request that cannot be taken. */
export const Issue = Schema.Struct({
  /** Where it stands: `query`, `headers`, `body` or `path`. */
  in: Schema.Literals(["query", "headers", "body", "path"]),
  /** The name of the parameter, or the path into the body such as `filter.status`; empty = the whole body. */
  field: Schema.String,
  /** What was expected. */
  message: Schema.String,
}).annotate({ identifier: "Issue" })
export type Issue = typeof Issue.Type

/** The request is not what the call takes; `issues` says where. */
export class InvalidRequest
  extends HttpApiError.Problem<InvalidRequest>()("InvalidRequest", problem("invalid_request", 400, "Invalid request"), {
    code: Schema.tag("invalid_request"),
    issues: Schema.Array(Issue),
  }) {}

/** The cursor was not handed out by this list. */
export class InvalidCursor
  extends HttpApiError.Problem<InvalidCursor>()("InvalidCursor", problem("invalid_cursor", 400, "Invalid cursor"), {
    code: Schema.tag("invalid_cursor"),
  }) {}

/** The upload broke off, or its length was not what it announced. */
export class UploadBroken
  extends HttpApiError.Problem<UploadBroken>()("UploadBroken", problem("upload_broken", 400, "Upload broke off"), {
    code: Schema.tag("upload_broken"),
  }) {}

/** The key is missing, wrong, revoked or at its end. */
export class Unauthorized
  extends HttpApiError.Problem<Unauthorized>()("Unauthorized", problem("unauthorized", 401, "Unauthorized"), {
    code: Schema.tag("unauthorized"),
  }) {}

/** The key is valid, and does not reach this far. */
export class Forbidden
  extends HttpApiError.Problem<Forbidden>()("Forbidden", problem("insufficient_scope", 403, "Insufficient scope"), {
    code: Schema.tag("insufficient_scope"),
    /** What the call needs. */
    scope: Scope,
  }) {}

/** A browser bears the cookie of the dashboard, but the page that sends it is not ours. */
export class ForeignOrigin
  extends HttpApiError.Problem<ForeignOrigin>()("ForeignOrigin", problem("foreign_origin", 403, "Foreign origin"), {
    code: Schema.tag("foreign_origin"),
  }) {}

/** No such route, or nothing has this id. */
export class NotFound extends HttpApiError.Problem<NotFound>()("NotFound", problem("not_found", 404, "Not found"), {
  code: Schema.tag("not_found"),
}) {}

/** The path is there, and takes other methods. */
export class MethodNotAllowed extends HttpApiError.Problem<MethodNotAllowed>()(
  "MethodNotAllowed",
  problem("method_not_allowed", 405, "Method not allowed"),
  { code: Schema.tag("method_not_allowed"), allowed: Schema.Array(Schema.String) },
) {}

/** An account with this address is there already. */
export class DuplicateAccount extends HttpApiError.Problem<DuplicateAccount>()(
  "DuplicateAccount",
  problem("duplicate_account", 409, "Account exists already"),
  { code: Schema.tag("duplicate_account"), accountId: Schema.String },
) {}

/** An app of this provider, client id and tenant is there already. */
export class DuplicateApp extends HttpApiError.Problem<DuplicateApp>()(
  "DuplicateApp",
  problem("duplicate_app", 409, "App exists already"),
  { code: Schema.tag("duplicate_app"), appId: Schema.String },
) {}

/** The link of a sign-in can be used once, and in time. */
export class ConnectSessionUsed extends HttpApiError.Problem<ConnectSessionUsed>()(
  "ConnectSessionUsed",
  problem("connect_session_used", 409, "Sign-in was begun already"),
  { code: Schema.tag("connect_session_used"), state: ConnectState },
) {}

/** A grant goes after its accounts. */
export class GrantInUse extends HttpApiError.Problem<GrantInUse>()(
  "GrantInUse",
  problem("grant_in_use", 409, "Grant has accounts"),
  { code: Schema.tag("grant_in_use"), accounts: Schema.Int },
) {}

/** The first request with this key is still uploading. */
export class IdempotencyKeyInUse extends HttpApiError.Problem<IdempotencyKeyInUse>()(
  "IdempotencyKeyInUse",
  problem("idempotency_key_in_use", 409, "Idempotency key in use"),
  { code: Schema.tag("idempotency_key_in_use") },
) {}

/** What has ended cannot be cancelled. */
export class RunEnded extends HttpApiError.Problem<RunEnded>()("RunEnded", problem("run_ended", 409, "Run has ended"), {
  code: Schema.tag("run_ended"),
}) {}

/** What is still going cannot be retried. */
export class RunActive
  extends HttpApiError.Problem<RunActive>()("RunActive", problem("run_active", 409, "Run is still going"), {
    code: Schema.tag("run_active"),
  }) {}

/** No item of the run has failed, or none that has an account. */
export class NothingToRetry extends HttpApiError.Problem<NothingToRetry>()(
  "NothingToRetry",
  problem("nothing_to_retry", 409, "Nothing to retry"),
  { code: Schema.tag("nothing_to_retry") },
) {}

/** The account cannot give an access token until somebody acts. */
export class AccountUnusable extends HttpApiError.Problem<AccountUnusable>()(
  "AccountUnusable",
  problem("account_unusable", 409, "Account needs attention"),
  {
    code: Schema.Literals(["needs_reauth", "account_blocked", "consent_required", "account_disabled"]),
    /** The provider's own code, such as `AADSTS700082`. */
    providerCode: Schema.optionalKey(Schema.String),
    /** The provider's own id of the exchange, for its support. */
    traceId: Schema.optionalKey(Schema.String),
  },
) {}

/** The provider has the message, or the attachment, no more. */
export class AttachmentGone extends HttpApiError.Problem<AttachmentGone>()(
  "AttachmentGone",
  problem("attachment_gone", 410, "Attachment is gone"),
  {
    code: Schema.tag("attachment_gone"),
  },
) {}

/** Larger than what the settings let through. */
export class AttachmentTooLarge extends HttpApiError.Problem<AttachmentTooLarge>()(
  "AttachmentTooLarge",
  problem("attachment_too_large", 413, "Attachment too large"),
  { code: Schema.tag("attachment_too_large"), maxBytes: Schema.Int },
) {}

/** The body is larger than the call takes. */
export class BodyTooLarge
  extends HttpApiError.Problem<BodyTooLarge>()("BodyTooLarge", problem("body_too_large", 413, "Body too large"), {
    code: Schema.tag("body_too_large"),
    maxBytes: Schema.Int,
  }) {}

/** The body is of a type that the call does not take. */
export class UnsupportedMediaType extends HttpApiError.Problem<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  problem("unsupported_media_type", 415, "Unsupported media type"),
  { code: Schema.tag("unsupported_media_type"), accepted: Schema.Array(Schema.String) },
) {}

/** The key came too often, or too many wrong keys or logins came from one address. `Retry-After` says when to come back. */
export class TooManyRequests extends HttpApiError.Problem<TooManyRequests>()(
  "TooManyRequests",
  problem("too_many_requests", 429, "Too many requests"),
  { code: Schema.tag("too_many_requests") },
) {}

/** Well-formed JSON that is not what the call takes. */
export class InvalidBody
  extends HttpApiError.Problem<InvalidBody>()("InvalidBody", problem("invalid_body", 422, "Invalid body"), {
    code: Schema.tag("invalid_body"),
    issues: Schema.Array(Issue),
  }) {}

/** This key came before with another request. */
export class IdempotencyKeyReused extends HttpApiError.Problem<IdempotencyKeyReused>()(
  "IdempotencyKeyReused",
  problem("idempotency_key_reused", 422, "Idempotency key reused"),
  { code: Schema.tag("idempotency_key_reused") },
) {}

/** The file as a whole, or the one account, cannot be taken; nothing was stored. `code` names the reason. */
export class ImportRefused
  extends HttpApiError.Problem<ImportRefused>()("ImportRefused", problem("import_refused", 422, "Import refused"), {
    code: Schema.String,
    /** Physical line in the file, from 1. */
    line: Schema.optionalKey(Schema.Int),
    /** Of one account: the value that is to be mended. */
    field: Schema.optionalKey(Schema.String),
  }) {}

/** Nobody can sign in by a code for this session: it is no person's, or Google's. */
export class DeviceNotAvailable extends HttpApiError.Problem<DeviceNotAvailable>()(
  "DeviceNotAvailable",
  problem("device_not_available", 422, "No sign-in by a code"),
  { code: Schema.tag("device_not_available") },
) {}

/** A sign-in that the provider refused, or that cannot be. `code` names the reason. */
export class SignInRefused
  extends HttpApiError.Problem<SignInRefused>()("SignInRefused", problem("sign_in_refused", 422, "Sign-in refused"), {
    code: RefusalCode,
  }) {}

/** A grant cannot be made, or not be used so. `code` names the reason. */
export class GrantRefused
  extends HttpApiError.Problem<GrantRefused>()("GrantRefused", problem("grant_refused", 422, "Grant refused"), {
    code: GrantRefusedError.fields.code,
    /** The value that cannot be taken; absent = it is the grant itself. */
    issues: Schema.optionalKey(Schema.Array(Issue)),
  }) {}

/** A fault of ours: the log of the server has it. */
export class InternalError
  extends HttpApiError.Problem<InternalError>()("InternalError", problem("internal_error", 500, "Internal error"), {
    code: Schema.tag("internal_error"),
  }) {}

/** The provider, the app or the pace stands in the way. Comes with `Retry-After` where the wait is known. */
export class ProviderUnavailable extends HttpApiError.Problem<ProviderUnavailable>()(
  "ProviderUnavailable",
  problem("provider_unavailable", 503, "Provider unavailable"),
  {
    code: Schema.Literals([
      "throttled",
      "provider_unavailable",
      "app_misconfigured",
      "grant_doubtful",
      "provider_answer_unknown",
    ]),
    /** The provider's own code, such as `AADSTS7000215`. */
    providerCode: Schema.optionalKey(Schema.String),
    /** The provider's own id of the exchange, for its support. */
    traceId: Schema.optionalKey(Schema.String),
  },
) {}

/** The command that wraps data keys has failed: `detail` says how. */
export class KeyProviderUnavailable extends HttpApiError.Problem<KeyProviderUnavailable>()(
  "KeyProviderUnavailable",
  problem("key_provider_unavailable", 503, "Key command failed"),
  { code: Schema.tag("key_provider_unavailable") },
) {}

/**
 * The change log cannot be read on from this position: changes after it are older than retention keeps, or a backup was restored
 * since. `position` is where the log stands now.
 */
export class PositionExpired extends HttpApiError.Problem<PositionExpired>()(
  "PositionExpired",
  problem("position_expired", 410, "Position expired"),
  {
    code: Schema.tag("position_expired"),
    /** Where to go on from, once all messages have been listed anew. */
    position: Schema.String,
  },
) {}

/** The database does not answer, or this process is shutting down. */
export class NotReady extends HttpApiError.Problem<NotReady>()("NotReady", problem("not_ready", 503, "Not ready"), {
  code: Schema.tag("not_ready"),
}) {}
