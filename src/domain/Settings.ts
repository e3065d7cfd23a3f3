/** All settings, read from the environment (or any ConfigProvider) once, at start. */
import { Config, Context, Duration, Effect, Layer, Option, Redacted, Schema } from "effect"
import { longestChoice, type MailChoice } from "./MailChoice.ts"

/** A setting has a wrong value. `message` is one line that names the variable and what it takes. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  variable: Schema.String,
  message: Schema.String,
}) {}

/** How many at once: a number, or `auto` = found by trying what the provider bears. */
export type Concurrency = number | "auto"

export interface SettingsValues {
  /** Postgres; none = the embedded database in `dataDir`. */
  readonly databaseUrl: Option.Option<Redacted.Redacted>
  /** The Postgres schema that holds our tables. */
  readonly databaseSchema: string
  readonly databaseMaxConnections: number
  /** Off for poolers that cannot keep prepared statements (PgBouncer in transaction mode). */
  readonly databasePrepare: boolean
  readonly dataDir: string
  readonly logFormat: "logfmt" | "json"
  /** Where spans are sent; none = none are made. */
  readonly otlpEndpoint: Option.Option<string>
  /** What this process is called in traces. */
  readonly serviceName: string
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
  /** Where browsers reach this server; none = where it listens. */
  readonly publicUrl: Option.Option<string>
  /** How long a link to sign in can be opened, and then the time to sign in. */
  readonly connectTtl: Duration.Duration
  /** Where browsers may be sent after a sign-in; none = to any http or https URL that the caller of the API names. */
  readonly returnOrigins: Option.Option<ReadonlyArray<string>>
  /** `id:base64-of-32-bytes,…`; the first encrypts, all decrypt. */
  readonly encryptionKeys: Option.Option<Redacted.Redacted>
  /** The program that wraps data keys, unless a key stands before `command` among `encryptionKeys`; none = the first of them does. */
  readonly keyCommand: Option.Option<string>
  readonly adminKey: Option.Option<Redacted.Redacted>
  /** May read `/metrics`, and nothing else. */
  readonly metricsKey: Option.Option<Redacted.Redacted>
  /** What backups are encrypted by: a passphrase, or an age key. */
  readonly backupKey: Option.Option<Redacted.Redacted>
  /** Over how long what is due after a restore is spread. */
  readonly restoreSpread: Duration.Duration
  readonly microsoftAuthority: string
  readonly microsoftTenant: string
  readonly microsoftGraphScope: string
  readonly microsoftImapScope: string
  /** What an app asks for by its own right, for a whole tenant. */
  readonly microsoftAppScope: string
  readonly graphUrl: string
  readonly outlookImap: string
  readonly googleAuthority: string
  readonly googleTokenUrl: string
  /** Where refresh tokens are handed back; none = `revoke` beside `googleTokenUrl`. */
  readonly googleRevokeUrl: Option.Option<string>
  readonly gmailUrl: string
  /** Where many requests to the Gmail API are sent in one; none = beside `gmailUrl`. */
  readonly gmailBatchUrl: Option.Option<string>
  /** Quota units that one mailbox may spend per minute. */
  readonly gmailUnitsPerMinute: number
  readonly gmailImap: string
  readonly importConcurrency: Concurrency
  readonly refreshConcurrency: Concurrency
  readonly backgroundRefreshConcurrency: Concurrency
  readonly syncConcurrency: Concurrency
  /** Most at once where a concurrency is `auto`, whatever the provider bears. */
  readonly concurrencyCeiling: number
  /** Token requests per second under one app, in this process; none = no limit of ours. */
  readonly tokenRate: Option.Option<number>
  /** Days that ended runs are kept with their items; null = for ever. */
  readonly runDays: number | null
  /** Days that entries of the change log are kept; null = for ever. */
  readonly changeDays: number | null
  /** Of a process that was told to end: how long it goes on answering while `/health/ready` says that it ends. */
  readonly shutdownDelay: Duration.Duration
  readonly syncSpacing: Duration.Duration
  readonly refreshEvery: Duration.Duration
  /** How long before its end the access token of a `warm` account is replaced. */
  readonly warmMargin: Duration.Duration
  readonly syncEvery: Duration.Duration
  /** How often the counts of an account's folders are compared with the provider's. */
  readonly reconcileEvery: Duration.Duration
  /** Most IMAP connections that this process keeps open to hear of new mail at once; 0 = none. */
  readonly imapIdle: number
  readonly schedules: boolean
  /** This process shares the fleet with others that know of each other. */
  readonly cluster: boolean
  /** Where the other processes of the cluster reach this one. */
  readonly clusterHost: string
  readonly clusterPort: number
  /** Requests per second that each API key may make at this process; none = any number. */
  readonly apiRate: Option.Option<number>
  /** What is kept of the mail of accounts that do not choose for themselves. */
  readonly mail: MailChoice
  /** Days that entries of the audit log are kept; null = for ever. */
  readonly auditRetentionDays: number | null
  /** Bytes of the largest attachment that is handed out. */
  readonly attachmentLimit: number
  /** Subscriptions to mailboxes are kept, by which Microsoft tells of new mail. */
  readonly push: boolean
  /** The Pub/Sub topic that Google is to tell of new mail, `projects/p/topics/t`; none = it is not asked to. */
  readonly gmailTopic: Option.Option<string>
  /** What Pub/Sub proves itself by when it hands over Gmail's notifications; none = they are not taken. */
  readonly gmailPushToken: Option.Option<Redacted.Redacted>
  /** Webhooks may be sent to private, loopback and other addresses that are not of the public internet. */
  readonly webhookAllowPrivate: boolean
  /** Deliveries to one webhook at once. */
  readonly webhookConcurrency: number
  /** How long the receiver of a webhook may take to answer. */
  readonly webhookTimeout: Duration.Duration
  /** The wait after the first failed attempt of a delivery; each further one is twice as long, up to an hour. */
  readonly webhookRetryAfter: Duration.Duration
  /** For how long a delivery is tried before its webhook is disabled. */
  readonly webhookRetryFor: Duration.Duration
}

const text = (variable: string, fallback: string, check: (value: string) => boolean, expected: string) =>
  Effect.gen(function* () {
    const value = (yield* optional(variable)) ?? fallback
    if (!check(value)) return yield* wrong(variable, expected)
    return value
  })

const optional = (variable: string) =>
  Config.String(variable).pipe(
    Config.option,
    Effect.map(
      Option.match({ onNone: () => undefined, onSome: (value) => value.trim() === "" ? undefined : value.trim() }),
    ),
    Effect.mapError(() => new SettingsError({ variable, message: `${variable} cannot be read` })),
  )

const wrong = (variable: string, expected: string) =>
  new SettingsError({ variable, message: `${variable} must be ${expected}` })

const secret = (variable: string) =>
  Effect.map(optional(variable), (value) => Option.map(Option.fromUndefinedOr(value), (plain) => Redacted.make(plain)))

const integer = (variable: string, fallback: number, minimum: number, maximum: number) =>
  text(
    variable,
    String(fallback),
    (value) => /^\d{1,9}$/.test(value) && Number(value) >= minimum && Number(value) <= maximum,
    `a whole number from ${minimum} to ${maximum}`,
  ).pipe(Effect.map(Number))

const optionalText = (variable: string, check: (value: string) => boolean, expected: string) =>
  Effect.flatMap(
    optional(variable),
    (value) => value === undefined ? Effect.succeedNone : Effect.asSome(text(variable, value, check, expected)),
  )

const concurrency = (variable: string, fallback: number) =>
  text(
    variable,
    String(fallback),
    (value) => value === "auto" || (/^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 10_000),
    "auto or a whole number from 1 to 10000",
  ).pipe(Effect.map((value): Concurrency => value === "auto" ? value : Number(value)))

const optionalInteger = (variable: string, minimum: number, maximum: number) =>
  Effect.flatMap(
    optional(variable),
    (value) => value === undefined ? Effect.succeedNone : Effect.asSome(integer(variable, minimum, minimum, maximum)),
  )

/** A number of days, or `all`. */
const days = (variable: string, fallback: string, minimum: number) =>
  text(
    variable,
    fallback,
    (value) =>
      value === "all" || (/^\d{1,5}$/.test(value) && Number(value) >= minimum && Number(value) <= longestChoice),
    `all or a whole number of days from ${minimum} to ${longestChoice}`,
  ).pipe(Effect.map((value) => value === "all" ? null : Number(value)))

const duration = (variable: string, fallback: string, minimum: Duration.Duration) =>
  Effect.gen(function* () {
    const expected = `a duration of at least ${
      Duration.format(minimum)
    }, written like "2 seconds", "5 minutes" or "1 day"`
    const value = (yield* optional(variable)) ?? fallback
    const parsed = parseDuration(value)
    if (Option.isNone(parsed) || Duration.isLessThan(parsed.value, minimum)) return yield* wrong(variable, expected)
    return parsed.value
  })

/** `2 seconds`, `500 millis`, `1 day`. Bare numbers and signs are refused: their unit would be a guess. */
export const parseDuration = (value: string): Option.Option<Duration.Duration> => {
  const match = /^(\d+(?:\.\d+)?)\s*(milli(?:second)?s?|seconds?|minutes?|hours?|days?|weeks?)$/i.exec(value.trim())
  if (match === null) return Option.none()
  const amount = Number(match[1])
  const unit = match[2]!.toLowerCase()
  const millis = unit.startsWith("milli")
    ? 1
    : { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }[unit[0] as "s" | "m" | "h" | "d" | "w"]
  const total = amount * millis
  // 100 years: beyond it due times leave what the database can hold.
  return total <= 36_500 * 86_400_000 ? Option.some(Duration.millis(total)) : Option.none()
}

const isUrl = (...protocols: ReadonlyArray<string>) => (value: string) =>
  URL.canParse(value) && protocols.includes(new URL(value).protocol)

const url = (variable: string, fallback: string) =>
  text(variable, fallback, isUrl("http:", "https:"), "an http or https URL").pipe(
    Effect.map((value) => value.replace(/\/+$/, "")),
  )

const optionalUrl = (variable: string) =>
  Effect.flatMap(
    optional(variable),
    (value) => value === undefined ? Effect.succeedNone : Effect.asSome(url(variable, value)),
  )

/** Whether a provider may be given it as an address for notifications: https, or for a simulator on this machine http. */
export const isReachable = (value: string): boolean => {
  const { hostname, protocol } = new URL(value)
  return protocol === "https:" || /^(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(hostname)
}

/** Origins separated by commas, in the form that browsers write them. */
const optionalOrigins = (variable: string) =>
  Effect.gen(function* () {
    const value = yield* optional(variable)
    if (value === undefined) return Option.none<ReadonlyArray<string>>()
    const origins = value.split(",").map((origin) => origin.trim()).filter((origin) => origin !== "")
    if (
      origins.length === 0 ||
      !origins.every((origin) => /^https?:\/\/[^/?#@\\]+\/?$/i.test(origin) && URL.canParse(origin))
    ) {
      return yield* wrong(variable, 'origins such as "https://app.example.com", separated by commas')
    }
    return Option.some(origins.map((origin) => new URL(origin).origin))
  })

const imap = (variable: string, fallback: string) =>
  text(variable, fallback, isUrl("imap:", "imaps:"), "an imaps://host:port URL")

const onOff = (variable: string, fallback: "on" | "off") =>
  text(variable, fallback, (value) => value === "on" || value === "off", "on or off").pipe(
    Effect.map((value) => value === "on"),
  )

const alone = "off without DATABASE_URL: the embedded database bears one process"

const withToken = "unset without MAILFLEET_GMAIL_PUSH_TOKEN: what the topic's subscription posts would not be taken"

const httpsForPush = "an https URL where MAILFLEET_PUSH is on: Microsoft Graph notifies no other"

const fromEnvironment = Effect.gen(function* () {
  const databaseUrl = yield* secret("DATABASE_URL")
  if (Option.isSome(databaseUrl) && !isUrl("postgres:", "postgresql:")(Redacted.value(databaseUrl.value))) {
    return yield* wrong("DATABASE_URL", "a postgres://user:password@host:port/database URL")
  }
  const values: SettingsValues = {
    databaseUrl,
    databaseSchema: yield* text(
      "MAILFLEET_DATABASE_SCHEMA",
      "mailfleet",
      (value) => /^[a-z_][a-z0-9_]{0,62}$/.test(value),
      "a Postgres schema name of lower-case letters, digits and _",
    ),
    databaseMaxConnections: yield* integer("MAILFLEET_DATABASE_CONNECTIONS", 10, 2, 1_000),
    databasePrepare: yield* onOff("MAILFLEET_DATABASE_PREPARE", "on"),
    dataDir: yield* text("MAILFLEET_DATA_DIR", ".mailfleet", (value) => !value.includes("\0"), "a folder"),
    logFormat: (yield* text(
        "MAILFLEET_LOG_FORMAT",
        "logfmt",
        (value) => value === "logfmt" || value === "json",
        "logfmt or json",
      )) === "json"
      ? "json"
      : "logfmt",
    otlpEndpoint: yield* optionalUrl("OTEL_EXPORTER_OTLP_ENDPOINT"),
    serviceName: yield* text("OTEL_SERVICE_NAME", "mailfleet", (value) => value.length <= 255, "a short name"),
    host: yield* text("MAILFLEET_HOST", "127.0.0.1", (value) => /^[\w.:-]+$/.test(value), "a host name or address"),
    port: yield* integer("MAILFLEET_PORT", 8080, 0, 65_535),
    publicUrl: yield* optionalUrl("MAILFLEET_PUBLIC_URL"),
    connectTtl: yield* duration("MAILFLEET_CONNECT_TTL", "15 minutes", Duration.minutes(1)),
    returnOrigins: yield* optionalOrigins("MAILFLEET_RETURN_ORIGINS"),
    encryptionKeys: yield* secret("MAILFLEET_ENCRYPTION_KEYS"),
    keyCommand: yield* optionalText(
      "MAILFLEET_KEY_COMMAND",
      (value) => /^(?:\/|[A-Za-z]:\\)[^\0]*$/.test(value),
      "the absolute path of a program, without arguments",
    ),
    adminKey: yield* secret("MAILFLEET_ADMIN_KEY"),
    metricsKey: yield* secret("MAILFLEET_METRICS_KEY"),
    backupKey: yield* secret("MAILFLEET_BACKUP_KEY"),
    restoreSpread: yield* duration("MAILFLEET_RESTORE_SPREAD", "1 hour", Duration.zero),
    microsoftAuthority: yield* url("MAILFLEET_MICROSOFT_AUTHORITY", "https://login.microsoftonline.com"),
    microsoftTenant: yield* text(
      "MAILFLEET_MICROSOFT_TENANT",
      "common",
      (value) => /^[\w.-]{1,255}$/.test(value),
      "common, organizations, consumers, a tenant id or a domain",
    ),
    microsoftGraphScope: yield* text(
      "MAILFLEET_MICROSOFT_GRAPH_SCOPE",
      "https://graph.microsoft.com/.default offline_access",
      (value) => value.length <= 2_000,
      "scopes of Microsoft Graph, separated by blanks",
    ),
    microsoftImapScope: yield* text(
      "MAILFLEET_MICROSOFT_IMAP_SCOPE",
      "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
      (value) => value.length <= 2_000,
      "scopes of Outlook, separated by blanks",
    ),
    microsoftAppScope: yield* text(
      "MAILFLEET_MICROSOFT_APP_SCOPE",
      "https://graph.microsoft.com/.default",
      (value) => value.length <= 2_000,
      "the .default scope of Microsoft Graph",
    ),
    graphUrl: yield* url("MAILFLEET_GRAPH_URL", "https://graph.microsoft.com/v1.0"),
    outlookImap: yield* imap("MAILFLEET_OUTLOOK_IMAP", "imaps://outlook.office365.com:993"),
    googleAuthority: yield* url("MAILFLEET_GOOGLE_AUTHORITY", "https://accounts.google.com"),
    googleTokenUrl: yield* url("MAILFLEET_GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token"),
    googleRevokeUrl: yield* optionalUrl("MAILFLEET_GOOGLE_REVOKE_URL"),
    gmailUrl: yield* url("MAILFLEET_GMAIL_URL", "https://gmail.googleapis.com/gmail/v1"),
    gmailBatchUrl: yield* optionalUrl("MAILFLEET_GMAIL_BATCH_URL"),
    gmailUnitsPerMinute: yield* integer("MAILFLEET_GMAIL_UNITS_PER_MINUTE", 6_000, 300, 1_000_000),
    gmailImap: yield* imap("MAILFLEET_GMAIL_IMAP", "imaps://imap.gmail.com:993"),
    importConcurrency: yield* concurrency("MAILFLEET_IMPORT_CONCURRENCY", 5),
    refreshConcurrency: yield* concurrency("MAILFLEET_REFRESH_CONCURRENCY", 5),
    backgroundRefreshConcurrency: yield* concurrency("MAILFLEET_BACKGROUND_REFRESH_CONCURRENCY", 10),
    syncConcurrency: yield* concurrency("MAILFLEET_SYNC_CONCURRENCY", 5),
    concurrencyCeiling: yield* integer("MAILFLEET_CONCURRENCY_CEILING", 512, 1, 10_000),
    tokenRate: yield* optionalInteger("MAILFLEET_TOKEN_RATE", 1, 1_000),
    shutdownDelay: yield* duration("MAILFLEET_SHUTDOWN_DELAY", "0 seconds", Duration.zero),
    syncSpacing: yield* duration("MAILFLEET_SYNC_SPACING", "2 seconds", Duration.zero),
    refreshEvery: yield* duration("MAILFLEET_REFRESH_EVERY", "1 day", Duration.seconds(1)),
    warmMargin: yield* duration("MAILFLEET_WARM_MARGIN", "10 minutes", Duration.seconds(1)),
    syncEvery: yield* duration("MAILFLEET_SYNC_EVERY", "5 minutes", Duration.seconds(1)),
    reconcileEvery: yield* duration("MAILFLEET_RECONCILE_EVERY", "1 day", Duration.seconds(1)),
    imapIdle: yield* integer("MAILFLEET_IMAP_IDLE", 0, 0, 10_000),
    schedules: yield* onOff("MAILFLEET_SCHEDULES", "on"),
    cluster: yield* onOff("MAILFLEET_CLUSTER", "off"),
    clusterHost: yield* text(
      "MAILFLEET_CLUSTER_HOST",
      "127.0.0.1",
      (value) => /^[\w.:-]{1,200}$/.test(value),
      "the host name or address at which the other processes reach this one",
    ),
    clusterPort: yield* integer("MAILFLEET_CLUSTER_PORT", 34_431, 1, 65_535),
    apiRate: yield* text(
      "MAILFLEET_API_RATE",
      "5000",
      (value) => value === "off" || (/^\d{1,6}$/.test(value) && Number(value) >= 1),
      "off or a whole number of requests per second from 1 to 999999",
    ).pipe(Effect.map((value) => value === "off" ? Option.none() : Option.some(Number(value)))),
    mail: {
      windowDays: yield* days("MAILFLEET_MAIL_WINDOW_DAYS", "all", 1),
      bodyDays: yield* days("MAILFLEET_MAIL_BODY_DAYS", "90", 0),
      folders: null,
      retentionDays: yield* days("MAILFLEET_MAIL_RETENTION_DAYS", "all", 1),
    },
    runDays: yield* days("MAILFLEET_RUN_RETENTION_DAYS", "400", 1),
    changeDays: yield* days("MAILFLEET_CHANGE_RETENTION_DAYS", "all", 1),
    auditRetentionDays: yield* days("MAILFLEET_AUDIT_RETENTION_DAYS", "400", 1),
    attachmentLimit: yield* integer("MAILFLEET_ATTACHMENT_LIMIT", 50_000_000, 1, 999_999_999),
    push: yield* onOff("MAILFLEET_PUSH", "off"),
    gmailTopic: yield* optionalText(
      "MAILFLEET_GMAIL_TOPIC",
      (value) => /^projects\/[\w.:-]{1,100}\/topics\/[\w.~+%-]{1,255}$/.test(value),
      "a Pub/Sub topic, projects/…/topics/…",
    ),
    gmailPushToken: yield* secret("MAILFLEET_GMAIL_PUSH_TOKEN"),
    webhookAllowPrivate: yield* onOff("MAILFLEET_WEBHOOK_ALLOW_PRIVATE", "off"),
    webhookConcurrency: yield* integer("MAILFLEET_WEBHOOK_CONCURRENCY", 10, 1, 1_000),
    webhookTimeout: yield* duration("MAILFLEET_WEBHOOK_TIMEOUT", "15 seconds", Duration.millis(100)),
    webhookRetryAfter: yield* duration("MAILFLEET_WEBHOOK_RETRY_AFTER", "5 seconds", Duration.millis(10)),
    webhookRetryFor: yield* duration("MAILFLEET_WEBHOOK_RETRY_FOR", "3 days", Duration.seconds(1)),
  }
  if (values.push && Option.isSome(values.publicUrl) && !isReachable(values.publicUrl.value)) {
    return yield* wrong("MAILFLEET_PUBLIC_URL", httpsForPush)
  }
  if (Option.isSome(values.gmailTopic) && Option.isNone(values.gmailPushToken)) {
    return yield* wrong("MAILFLEET_GMAIL_TOPIC", withToken)
  }
  if (values.cluster && Option.isNone(databaseUrl)) {
    return yield* wrong("MAILFLEET_CLUSTER", alone)
  }
  return values
})

export class Settings extends Context.Service<Settings, SettingsValues>()("mailfleet/domain/Settings") {
  /** From the environment; `overrides` win. */
  static readonly layerWith = (overrides: Partial<SettingsValues>): Layer.Layer<Settings, SettingsError> =>
    Layer.effect(Settings, Effect.map(fromEnvironment, (values) => Settings.of({ ...values, ...overrides })))

  static readonly layer: Layer.Layer<Settings, SettingsError> = Settings.layerWith({})
}
