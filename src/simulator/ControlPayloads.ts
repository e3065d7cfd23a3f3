/** What the control calls take, over HTTP and as methods alike. */
import { Schema } from "effect"
import { googleErrors } from "./GoogleErrors.ts"

const optional = Schema.optionalKey

/** Milliseconds, or a text such as `2 seconds`. */
const Wait = Schema.Union([Schema.Number, Schema.DurationFromString])

export const FaultKinds = Schema.Literals([
  "throttled",
  "throttled-bare",
  "unavailable",
  "error",
  "error-200",
  "gateway",
  "html",
  "plain",
  "timeout",
  "reset",
  "lost",
  "truncated",
  "slow",
  "drip",
])

/** Options that may change while the simulator runs. */
export const Configuration = Schema.Struct({
  latency: optional(Wait),
  mode: optional(Schema.Literals(["microsoft", "strict"])),
  watchDelivery: optional(Schema.Boolean),
  /** `random` for 60–90 minutes. */
  accessTokenLifetime: optional(Schema.Union([Schema.Literal("random"), Wait])),
  expiresIn: optional(Schema.Literals(["number", "string", "absent"])),
  limits: optional(Schema.Literals(["documented", "none"])),
  /** `null` for no limit. */
  tokenConcurrencyLimit: optional(Schema.NullOr(Schema.Number)),
  /** `null` for no limit. */
  tokenRateLimit: optional(Schema.NullOr(Schema.Number)),
  throttleDelay: optional(Schema.Union([Schema.Literal("latency"), Wait])),
  retryAfter: optional(Wait),
  retryAfterForm: optional(Schema.Literals(["seconds", "date"])),
  /** Negative: behind. */
  clockSkew: optional(Wait),
  faultRate: optional(Schema.Number),
  faultKinds: optional(Schema.Array(FaultKinds)),
  hangLimit: optional(Wait),
  /** `null` for ever. */
  deltaLifetime: optional(Schema.NullOr(Wait)),
  oddPages: optional(Schema.Number),
  notifications: optional(Schema.Literals(["once", "twice", "lost"])),
  consented: optional(Schema.Array(Schema.String)),
  gmailUnits: optional(Schema.Number),
})
export type Configuration = typeof Configuration.Type

/** Answers that the next requests get, whatever they ask. */
export const Script = Schema.Struct({
  /** `token` is Microsoft's token endpoint. */
  endpoint: Schema.Literals(["token", "google-token", "graph", "gmail"]),
  /** Whose requests; anybody's if left out. */
  email: optional(Schema.String),
  answers: Schema.Array(Schema.Struct({
    fault: optional(FaultKinds),
    /** AADSTS code; Microsoft's token endpoint only. */
    code: optional(Schema.Number),
    /** Google's token endpoint only. */
    error: optional(Schema.Literals(googleErrors)),
    suberror: optional(Schema.String),
    status: optional(Schema.Number),
    headers: optional(Schema.Record(Schema.String, Schema.String)),
    body: optional(Schema.Unknown),
    times: optional(Schema.Number),
  })),
})
export type Script = typeof Script.Type

/** An AADSTS code, or the name of a Google error. */
const Reason = Schema.Union([Schema.Number, Schema.Literals(googleErrors)])
/** The provider's usual one if left out. */
export const Code = Schema.Struct({ code: optional(Reason) })
/** `null` to end it. */
export const CodeOrNull = Schema.Struct({ code: Schema.NullOr(Reason) })
/** An app; what is left out keeps its value. */
export const NewApp = Schema.Struct({
  /** Of a new one; Microsoft if left out. */
  provider: optional(Schema.Literals(["microsoft", "google"])),
  clientId: optional(Schema.String),
  secret: optional(Schema.String),
  /** In PEM form. */
  certificates: optional(Schema.Array(Schema.String)),
  redirectUris: optional(Schema.Array(Schema.String)),
  tenant: optional(Schema.String),
  /** Empty for an app that no administrator has consented to yet. */
  consentedTenants: optional(Schema.Array(Schema.String)),
  /** At Microsoft: redirect URIs of type `spa`, so that refresh tokens end 24 hours after the sign-in. */
  spa: optional(Schema.Boolean),
  /** At Google: in testing, so that refresh tokens end after 7 days. */
  testing: optional(Schema.Boolean),
  /** Addresses that an app in testing lets in; all if left out. */
  testUsers: optional(Schema.Array(Schema.String)),
})
export type NewApp = typeof NewApp.Type

/** A Google service account that may act for all users of the Workspace. */
export const NewServiceAccount = Schema.Struct({
  email: Schema.String,
  /** In PEM form; if left out, a pair is made and its key file answered. */
  publicKey: optional(Schema.String),
  /** Scopes that an administrator delegated to it, in full form. */
  scopes: Schema.Array(Schema.String),
})
export type NewServiceAccount = typeof NewServiceAccount.Type

/** A new client secret; made up if left out. */
export const Secret = Schema.Struct({ secret: optional(Schema.String) })
/** Whose answers to count; Microsoft's token endpoint if left out. */
export const CountedEndpoint = Schema.Literals(["token", "googleToken", "graph", "gmail"])
/** Scopes in full form, or `null` for those of the simulator's options. */
export const Consent = Schema.Struct({ scopes: Schema.NullOr(Schema.Array(Schema.String)) })

/** The error that every Graph request for a mailbox meets; `null` to end it. */
export const Refusal = Schema.Struct({
  refusal: Schema.NullOr(Schema.Struct({ status: Schema.Number, code: Schema.String })),
})

/** A small text file unless said otherwise. */
const NewAttachment = Schema.Struct({
  kind: optional(Schema.Literals(["file", "item", "reference"])),
  name: optional(Schema.String),
  contentType: optional(Schema.NullOr(Schema.String)),
  inline: optional(Schema.Boolean),
  contentId: optional(Schema.NullOr(Schema.String)),
  content: optional(Schema.String),
})

export const NewMessages = Schema.Struct({
  /** How many alike; default 1. */
  count: optional(Schema.Number),
  /** Folder id or well-known name; default the inbox. */
  folder: optional(Schema.String),
  subject: optional(Schema.String),
  from: optional(Schema.Struct({ name: Schema.String, address: Schema.String })),
  text: optional(Schema.String),
  html: optional(Schema.Boolean),
  isRead: optional(Schema.Boolean),
  hasAttachments: optional(Schema.Boolean),
  attachments: optional(Schema.Array(NewAttachment)),
})
export type NewMessages = typeof NewMessages.Type

export const MessageEdit = Schema.Struct({
  isRead: optional(Schema.Boolean),
  flagStatus: optional(Schema.Literals(["notFlagged", "flagged", "complete"])),
  subject: optional(Schema.String),
  categories: optional(Schema.Array(Schema.String)),
  importance: optional(Schema.Literals(["low", "normal", "high"])),
})

/** Folder id or well-known name. */
export const Move = Schema.Struct({ folder: Schema.String })

export const NewFolder = Schema.Struct({
  displayName: Schema.String,
  /** Folder id or well-known name; default the root. */
  parent: optional(Schema.String),
  hidden: optional(Schema.Boolean),
})
export type NewFolder = typeof NewFolder.Type

/** A new name of a folder, within the folder around it. */
export const NewName = Schema.Struct({ displayName: Schema.String })

/** Labels by id or well-known name. */
export const Labels = Schema.Struct({
  add: optional(Schema.Array(Schema.String)),
  remove: optional(Schema.Array(Schema.String)),
})
export type Labels = typeof Labels.Type

/**
 * How lost delta state is told: `410` with a `Location`, or `code` for 400 with `syncStateNotFound`. If left out, it
 * differs from folder to folder.
 */
export const Expiry = Schema.Struct({ form: optional(Schema.Literals(["410", "code"])) })

/** Graph requests to count as if they had been made in this window. */
export const Spent = Schema.Struct({ requests: Schema.Number })

/** What Graph tells about the subscriptions of a mailbox themselves. */
export const Lifecycle = Schema.Struct({
  event: Schema.Literals(["reauthorizationRequired", "subscriptionRemoved", "missed"]),
})
export type LifecycleEvent = typeof Lifecycle.Type["event"]
