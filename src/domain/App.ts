/** OAuth clients, by which users allowed access to their mail. */
import { type DateTime, type Redacted, Schema } from "effect"
import { Channel, Provider } from "./Account.ts"
import { AppId } from "./Ids.ts"

/**
 * How the provider limits the life of the app's refresh tokens.
 *
 * - `standard`: they live as long as they are used
 * - `spa`: 24 hours in all, for the redirect URI is of a single-page app (Microsoft)
 * - `testing`: 7 days, for the consent screen is not published (Google)
 */
export const Registration = Schema.Literals(["standard", "spa", "testing"])
export type Registration = typeof Registration.Type

/** Scopes by channel, separated by blanks. A channel that is not here has those of the settings. */
export const AppScopes = Schema.Struct({
  graph: Schema.optionalKey(Schema.String),
  imap: Schema.optionalKey(Schema.String),
  gmail: Schema.optionalKey(Schema.String),
})
export type AppScopes = typeof AppScopes.Type

/** Unique by (provider, client id, tenant). Its secret and its keys are never shown. */
export const App = Schema.Struct({
  id: AppId,
  provider: Provider,
  clientId: Schema.String,
  /** Empty at Google, whose clients have none. */
  tenant: Schema.String,
  /** Where it signs in, without the tenant; absent = the authority of the settings. */
  authority: Schema.optionalKey(Schema.String),
  /** As registered at the provider; absent = that of this server. */
  redirectUri: Schema.optionalKey(Schema.String),
  scopes: AppScopes,
  registration: Registration,
  /** True for a confidential client with a secret, which is sent with each redemption. */
  hasSecret: Schema.Boolean,
  /** When the provider ends the secret; absent = nobody said. */
  secretExpiresAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
  /** Present where it proves itself by a signed assertion (RFC 7523). `thumbprint`: SHA-256, base64url (`x5t#S256`). */
  certificate: Schema.optionalKey(
    Schema.Struct({ thumbprint: Schema.String, expiresAt: Schema.DateTimeUtcFromString }),
  ),
  /** The address of the Google service account whose key it has. */
  serviceAccount: Schema.optionalKey(Schema.String),
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
})
export type App = typeof App.Type

/** What an app is found by. */
export interface AppName {
  readonly provider: Provider
  readonly clientId: string
  readonly tenant: string
}

/** An app at one tenant, or, without `tenant`, at all of them. */
export interface AppReach {
  readonly provider: string
  readonly clientId: string
  readonly tenant?: string | undefined
}

/**
 * What an app proves itself by, and what it asks for. `tenant` is a tenant id, a domain, or `common`, `organizations`,
 * `consumers`. `secret` only where it is confidential: a public client that sends one is refused (AADSTS700025).
 */
export interface AppCredentials extends AppName {
  readonly authority?: string
  readonly scopes?: AppScopes
  readonly secret?: Redacted.Redacted
  /** `privateKey`: PKCS#8, PEM. */
  readonly certificate?: { readonly thumbprint: string; readonly privateKey: Redacted.Redacted }
  /** `privateKey`: PKCS#8, PEM. */
  readonly serviceAccount?: { readonly email: string; readonly privateKey: Redacted.Redacted }
}

/** What of an app can be changed. Only what is given is; null takes it away. */
export interface AppPatch {
  /** An http or https URL without the tenant, as `https://login.microsoftonline.us`. */
  readonly authority?: string | null | undefined
  /** Where the provider sends browsers after a sign-in; null = the callback of this server. */
  readonly redirectUri?: string | null | undefined
  /** Of each channel. */
  readonly scopes?: { readonly [C in Channel]?: string | null | undefined } | null | undefined
  /** How the app is registered; null = not known. */
  readonly registration?: Registration | null | undefined
  /** Null makes it a public client, unless it has a certificate. */
  readonly secret?: Redacted.Redacted | null | undefined
  /** Forgotten with each new secret that comes without one. */
  readonly secretExpiresAt?: DateTime.Utc | null | undefined
  /** PEM: a certificate and its private key together. */
  readonly certificate?: Redacted.Redacted | null | undefined
  /** The text of the JSON key file that Google gives out for a service account. */
  readonly serviceAccountKey?: Redacted.Redacted | null | undefined
}

/** An app as somebody names it. Without secret and certificate it is a public client. */
export type NewApp =
  & {
    readonly provider: Provider
    readonly clientId: string
    /** Absent: the tenant that accounts have which name none. Of no account at Google. */
    readonly tenant?: string | undefined
  }
  & { readonly [Field in keyof AppPatch]: Exclude<AppPatch[Field], null> }

/** A certificate that has been read. */
export interface AppCertificate {
  /** The public part, PEM. */
  readonly certificate: string
  readonly thumbprint: string
  readonly expiresAt: DateTime.Utc
  /** PKCS#8, PEM. */
  readonly privateKey: Redacted.Redacted
}

/** A key of a Google service account that has been read. */
export interface ServiceAccount {
  readonly email: string
  /** PKCS#8, PEM. */
  readonly privateKey: Redacted.Redacted
}

/** What of an app is to be changed, each value checked by itself. Whether they go together, the app decides. */
export interface AppChange {
  readonly authority?: string | null
  readonly redirectUri?: string | null
  readonly scopes?: { readonly [C in Channel]?: string | null } | null
  readonly registration?: Registration
  readonly secret?: Redacted.Redacted | null
  readonly secretExpiresAt?: DateTime.Utc | null
  readonly certificate?: AppCertificate | null
  readonly serviceAccount?: ServiceAccount | null
}

/** An app whose values have been checked, under the name that it is found by. */
export interface CheckedApp extends AppName, AppChange {}

/** A value of an app cannot be taken. `message` says what was expected, and never what was given. */
export class InvalidApp extends Schema.TaggedError<InvalidApp>()("InvalidApp", {
  field: Schema.Literals([
    "clientId",
    "tenant",
    "authority",
    "redirectUri",
    "scopes",
    ...Channel.literals.map((channel) => `scopes.${channel}` as const),
    "registration",
    "secret",
    "secretExpiresAt",
    "certificate",
    "serviceAccountKey",
  ]),
  message: Schema.String,
}) {}
