/** The settings of a Mailfleet that lives inside another program: an object instead of the environment. */
import { ConfigProvider, Duration, Effect, Layer, Option, Redacted } from "effect"
import { Settings, SettingsError } from "../domain/Settings.ts"

/** Everything but the keys, or the command in their place, has a default: that of the environment variable that means the same. */
export interface MailfleetOptions {
  /** `id:base64-of-32-bytes,…`: the first encrypts, all decrypt. One: `echo "k1:$(openssl rand -base64 32)"`. */
  readonly encryptionKeys?: string | Redacted.Redacted | undefined
  /** The absolute path of a program that wraps data keys, in place of the first of `encryptionKeys`. Default: none. */
  readonly keyCommand?: string | undefined
  /** The Postgres schema that holds our tables, made where it is missing. Default `mailfleet`. */
  readonly schema?: string | undefined
  /** Default `https://login.microsoftonline.com`. */
  readonly microsoftAuthority?: string | undefined
  /** For accounts that name none: `common` (default), `organizations`, `consumers`, a tenant id or a domain. */
  readonly microsoftTenant?: string | undefined
  /** Default `https://graph.microsoft.com/.default offline_access`. */
  readonly microsoftGraphScope?: string | undefined
  /** Default `https://outlook.office.com/IMAP.AccessAsUser.All offline_access`. */
  readonly microsoftImapScope?: string | undefined
  /** Where browsers reach a `mailfleet serve` on the same database: what links to sign in begin with. */
  readonly publicUrl?: string | undefined
  /** How long a link to sign in can be used. Default 15 minutes, at least 1. */
  readonly connectTtl?: Duration.Input | undefined
  /** Where people sign in to Google. Default `https://accounts.google.com`. */
  readonly googleAuthority?: string | undefined
  /** Scope of an app-only token. Default `https://graph.microsoft.com/.default`. */
  readonly microsoftAppScope?: string | undefined
  /** Default `https://graph.microsoft.com/v1.0`. */
  readonly graphUrl?: string | undefined
  /** Default `https://oauth2.googleapis.com/token`. */
  readonly googleTokenUrl?: string | undefined
  /** Where refresh tokens are handed back. Default: `revoke` beside `googleTokenUrl`. */
  readonly googleRevokeUrl?: string | undefined
  /** Days that entries of the audit log are kept, or `all`. Default 400. */
  readonly auditRetentionDays?: number | "all" | undefined
  /** Default `https://gmail.googleapis.com/gmail/v1`. */
  readonly gmailUrl?: string | undefined
  /** Where many requests to the Gmail API are sent in one. Default: `/batch/gmail/v1` at the host of `gmailUrl`. */
  readonly gmailBatchUrl?: string | undefined
  /** Quota units that one mailbox at Gmail may spend per minute. Default 6000. */
  readonly gmailUnitsPerMinute?: number | undefined
  /** Rows of imports redeemed at once. Default 5; `auto` = as many as the provider bears. */
  readonly importConcurrency?: number | "auto" | undefined
  /** Accounts refreshed at once by runs. Default 5. */
  readonly refreshConcurrency?: number | "auto" | undefined
  /** Grants refreshed at once by the schedule. Default 10. */
  readonly backgroundRefreshConcurrency?: number | "auto" | undefined
  /** Accounts synced at once. Default 5. */
  readonly syncConcurrency?: number | "auto" | undefined
  /** The most that `auto` goes up to. Default 512. */
  readonly concurrencyCeiling?: number | undefined
  /** Token requests per second for each app. Default: no limit. */
  readonly tokenRate?: number | undefined
  /** What each lane of the background sync waits between two accounts. Default 2 seconds; may be 0. */
  readonly syncSpacing?: Duration.Input | undefined
  /** How often the schedule refreshes a grant. Default 1 day, at least 1 second. */
  readonly refreshEvery?: Duration.Input | undefined
  /** How long before its end the access token of a `warm` account is replaced. Default 10 minutes, at least 1 second. */
  readonly warmMargin?: Duration.Input | undefined
  /** How often the schedule syncs an account. Default 5 minutes, at least 1 second. */
  readonly syncEvery?: Duration.Input | undefined
  /** How often the counts of an account's folders are compared with the provider's. Default 1 day, at least 1 second. */
  readonly reconcileEvery?: Duration.Input | undefined
  /** Most IMAP connections that this process keeps open to hear of new mail at once. Default 0 = none. */
  readonly imapIdle?: number | undefined
  /** Whether subscriptions are kept by which Microsoft tells of new mail: `publicUrl` must be an https URL. Default false. */
  readonly push?: boolean | undefined
  /** Whether webhooks may be sent to addresses that are not of the public internet. Default false. */
  readonly webhookAllowPrivate?: boolean | undefined
  /** Deliveries to one webhook at once. Default 10. */
  readonly webhookConcurrency?: number | undefined
  /** How long the receiver of a webhook may take to answer. Default 15 seconds. */
  readonly webhookTimeout?: Duration.Input | undefined
  /** The wait after the first failed attempt of a delivery, doubled with each further one. Default 5 seconds. */
  readonly webhookRetryAfter?: Duration.Input | undefined
  /** For how long a delivery is tried before its webhook is disabled. Default 3 days. */
  readonly webhookRetryFor?: Duration.Input | undefined
}

const variables: { readonly [Name in keyof MailfleetOptions]-?: string } = {
  encryptionKeys: "MAILFLEET_ENCRYPTION_KEYS",
  keyCommand: "MAILFLEET_KEY_COMMAND",
  schema: "MAILFLEET_DATABASE_SCHEMA",
  microsoftAuthority: "MAILFLEET_MICROSOFT_AUTHORITY",
  microsoftTenant: "MAILFLEET_MICROSOFT_TENANT",
  microsoftGraphScope: "MAILFLEET_MICROSOFT_GRAPH_SCOPE",
  microsoftImapScope: "MAILFLEET_MICROSOFT_IMAP_SCOPE",
  publicUrl: "MAILFLEET_PUBLIC_URL",
  connectTtl: "MAILFLEET_CONNECT_TTL",
  googleAuthority: "MAILFLEET_GOOGLE_AUTHORITY",
  microsoftAppScope: "MAILFLEET_MICROSOFT_APP_SCOPE",
  graphUrl: "MAILFLEET_GRAPH_URL",
  googleTokenUrl: "MAILFLEET_GOOGLE_TOKEN_URL",
  googleRevokeUrl: "MAILFLEET_GOOGLE_REVOKE_URL",
  auditRetentionDays: "MAILFLEET_AUDIT_RETENTION_DAYS",
  gmailUrl: "MAILFLEET_GMAIL_URL",
  gmailBatchUrl: "MAILFLEET_GMAIL_BATCH_URL",
  gmailUnitsPerMinute: "MAILFLEET_GMAIL_UNITS_PER_MINUTE",
  importConcurrency: "MAILFLEET_IMPORT_CONCURRENCY",
  refreshConcurrency: "MAILFLEET_REFRESH_CONCURRENCY",
  backgroundRefreshConcurrency: "MAILFLEET_BACKGROUND_REFRESH_CONCURRENCY",
  syncConcurrency: "MAILFLEET_SYNC_CONCURRENCY",
  concurrencyCeiling: "MAILFLEET_CONCURRENCY_CEILING",
  tokenRate: "MAILFLEET_TOKEN_RATE",
  syncSpacing: "MAILFLEET_SYNC_SPACING",
  refreshEvery: "MAILFLEET_REFRESH_EVERY",
  warmMargin: "MAILFLEET_WARM_MARGIN",
  syncEvery: "MAILFLEET_SYNC_EVERY",
  reconcileEvery: "MAILFLEET_RECONCILE_EVERY",
  imapIdle: "MAILFLEET_IMAP_IDLE",
  push: "MAILFLEET_PUSH",
  webhookAllowPrivate: "MAILFLEET_WEBHOOK_ALLOW_PRIVATE",
  webhookConcurrency: "MAILFLEET_WEBHOOK_CONCURRENCY",
  webhookTimeout: "MAILFLEET_WEBHOOK_TIMEOUT",
  webhookRetryAfter: "MAILFLEET_WEBHOOK_RETRY_AFTER",
  webhookRetryFor: "MAILFLEET_WEBHOOK_RETRY_FOR",
}

const durations: ReadonlySet<string> = new Set([
  "connectTtl",
  "syncSpacing",
  "refreshEvery",
  "warmMargin",
  "syncEvery",
  "reconcileEvery",
  "webhookTimeout",
  "webhookRetryAfter",
  "webhookRetryFor",
])

/** As the environment variable would say it, so that one set of checks serves both. */
const written = (name: string, value: string | number | boolean | Redacted.Redacted | Duration.Input): string => {
  if (typeof value === "boolean") return value ? "on" : "off"
  if (Redacted.isRedacted(value)) return String(Redacted.value(value))
  if (!durations.has(name)) return String(value)
  return Option.match(Duration.fromInput(value as Duration.Input), {
    onNone: () => String(value),
    onSome: (duration) => `${Duration.toMillis(duration)} millis`,
  })
}

/** The same error in the words of the options. */
export const inOptions = (error: SettingsError): SettingsError => {
  const [name] = Object.entries(variables).find(([, variable]) => variable === error.variable) ?? [error.variable]
  return new SettingsError({ variable: name, message: error.message.replaceAll(error.variable, name) })
}

/** The settings that the options say. The environment of the program has no part in them. */
export const layerOptions = (options: MailfleetOptions): Layer.Layer<Settings, SettingsError> =>
  Layer.effect(
    Settings,
    Effect.gen(function* () {
      const env: Record<string, string> = {}
      for (const [name, variable] of Object.entries(variables)) {
        const value = options[name as keyof MailfleetOptions]
        if (value === undefined) continue
        env[variable] = written(name, value)
        if (env[variable].trim() === "") {
          return yield* new SettingsError({ variable: name, message: `${name} must not be empty` })
        }
      }
      return yield* Effect.provide(
        Settings,
        // Fresh: layers are shared by identity, and two of us in one program have settings of their own.
        Layer.fresh(Settings.layer).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))),
      )
    }).pipe(Effect.mapError(inOptions)),
  )
