/** What can be chosen about a simulated provider, and what is taken when nothing is said. */
import { Duration } from "effect"

/**
 * How an injected fault shows itself.
 *
 * The request is not carried out:
 * - `throttled`: 429 with `Retry-After`; at Microsoft's token endpoint with a plain-text body
 * - `throttled-bare`: 429 without `Retry-After`
 * - `unavailable`: 503 (`temporarily_unavailable`, Microsoft's with AADSTS90033; Graph `serviceNotAvailable`)
 * - `error`: 500 with a JSON error
 * - `error-200`: the same with status 200
 * - `gateway`: 502 with an HTML body
 * - `html`: 200 with an HTML page, as captive portals do
 * - `plain`: 400 with a plain-text body
 * - `timeout`: no answer until the client gives up, at most `hangLimit`
 * - `reset`: the connection breaks before the answer is whole
 *
 * The request is carried out, and its answer
 * - `lost`: breaks off with the connection
 * - `truncated`: is cut in the middle, with a proper end
 * - `slow`: comes in small pieces over 2 s
 * - `drip`: comes byte by byte, over `hangLimit`
 */
export type FaultKind =
  | "throttled"
  | "throttled-bare"
  | "unavailable"
  | "error"
  | "error-200"
  | "gateway"
  | "html"
  | "plain"
  | "timeout"
  | "reset"
  | "lost"
  | "truncated"
  | "slow"
  | "drip"

/** Options of a simulator; every one has a default. */
export interface SimulatorOptions {
  /** Number of accounts: `sim00001@sim.example` and on. Default 100. */
  readonly accounts: number
  /** How many of them (the last ones) are Google's, at `gmail.` and the domain; at most all. Default 0. */
  readonly googleAccounts: number
  /** Everything invented is a function of it. Two simulators of one seed honour each other's tokens. Default 1. */
  readonly seed: number
  /** Domain of the addresses. Default `sim.example`. */
  readonly domain: string
  /** Delay of every answer of token endpoints and Graph, from the arrival of the request. Default 0. */
  readonly latency: Duration.Input
  /**
   * `microsoft`: each redemption returns a new refresh token, the old one stays valid (Microsoft identity platform,
   * refresh tokens). `strict`: the old one is spent, and presenting it again revokes the grant (RFC 9700 §4.14.2).
   * Default `microsoft`.
   */
  readonly mode: "microsoft" | "strict"
  /** Messages that a mailbox holds at the start, spread over its folders. Default 20. */
  readonly messages: number
  /** Life of an access token. Default: random in 60–90 minutes, as Entra does; Google's then live 3,599 s. */
  readonly accessTokenLifetime: Duration.Input | "random"
  /**
   * Whether `expires_in` is a JSON number, a string as the v1 endpoint has it, or left out as RFC 6749 §5.1 allows.
   * Default `number`.
   */
  readonly expiresIn: "number" | "string" | "absent"
  /**
   * `documented`: per app and mailbox 4 concurrent requests and 10,000 per 10 minutes; at the token endpoint the 15th
   * identical request within 5 minutes is refused with AADSTS50196. `none`: all are let through; violations are
   * recorded all the same. Default `documented`.
   */
  readonly limits: "documented" | "none"
  /** Redemptions that each token endpoint bears at once; more are answered 429. Default: no limit. */
  readonly tokenConcurrencyLimit: number
  /**
   * Redemptions per second that each token endpoint bears, evenly or a second's worth at once; more are answered 429,
   * and do not count. Default: no limit.
   */
  readonly tokenRateLimit: number
  /**
   * How late after the arrival of its request a 429 of these two limits leaves, whatever the latency is; `latency`: as
   * late as any other answer. Default 5 milliseconds.
   */
  readonly throttleDelay: Duration.Input | "latency"
  /** What `Retry-After` says where no window gives it. May be a fraction of a second. Default 1 second. */
  readonly retryAfter: Duration.Input
  /** Whether `Retry-After` is a number of seconds, or a date (RFC 9110 §10.2.3). Default `seconds`. */
  readonly retryAfterForm: "seconds" | "date"
  /**
   * How far the provider's clock is ahead of the true time; negative: behind. It shows in the `Date` header, in the
   * `timestamp` of token errors and in a `Retry-After` that is a date. Default 0.
   */
  readonly clockSkew: Duration.Input
  /** Share of requests, 0 to 1, that meet an injected fault. Default 0. */
  readonly faultRate: number
  /**
   * Whether answers with a new refresh token are written in two pieces, so that a client that died while it waited is
   * noticed. Costs about a tenth of the throughput. Default: in `strict` mode only, where such a loss matters.
   */
  readonly watchDelivery: boolean
  /**
   * Which faults are injected. Default: `throttled`, `throttled-bare`, `unavailable`, `error`, `gateway`, `timeout` and
   * `reset`.
   */
  readonly faultKinds: ReadonlyArray<FaultKind>
  /** Longest time that an injected `timeout` holds a request, and the time that a `drip` takes. Default 60 seconds. */
  readonly hangLimit: Duration.Input
  /** Age at which delta and skip tokens are forgotten. Default: never. */
  readonly deltaLifetime: Duration.Input
  /** Share of delta pages, 0 to 1, that are oddly shaped though legal: empty, or repeating an item. Default 0.1. */
  readonly oddPages: number
  /** Quota units that a mailbox at Gmail may spend per minute and app. Default 6,000. */
  readonly gmailUnits: number
  /** Whether change notifications are delivered once, twice, or get lost. Default `once`. */
  readonly notifications: "once" | "twice" | "lost"
  /** Number of app registrations at Microsoft; account n belongs to app n modulo this. Default 1. */
  readonly apps: number
  /** Number of OAuth clients at Google, each with a secret; there are none without Google accounts. Default 1. */
  readonly googleApps: number
  /** How many of them (the last ones) are confidential clients, with a secret. Default 0. */
  readonly confidentialApps: number
  /** Share of accounts, 0 to 1, that are personal rather than work accounts. Default 0.5. */
  readonly personal: number
  /** Number of Microsoft tenants that work accounts live in, by turns. Default 1. */
  readonly tenants: number
  /** Scopes that every user consented to, in full form. Default: mail scopes of Graph and Outlook. */
  readonly consented: ReadonlyArray<string>
  /** Time of the newest initial message, epoch milliseconds. Default: start of the UTC day of the simulator's start. */
  readonly epoch: number
}

/** The options as the simulator uses them: durations in milliseconds, changeable while it runs. */
export interface Settings {
  readonly accounts: number
  readonly googleAccounts: number
  readonly seed: number
  readonly domain: string
  readonly messages: number
  readonly apps: number
  readonly googleApps: number
  readonly confidentialApps: number
  readonly personal: number
  readonly tenants: number
  readonly epoch: number
  latency: number
  mode: "microsoft" | "strict"
  watchDelivery: boolean
  accessTokenLifetime: number | "random"
  expiresIn: "number" | "string" | "absent"
  limits: "documented" | "none"
  tokenConcurrencyLimit: number
  tokenRateLimit: number
  throttleDelay: number | "latency"
  retryAfter: number
  retryAfterForm: "seconds" | "date"
  clockSkew: number
  faultRate: number
  faultKinds: ReadonlyArray<FaultKind>
  hangLimit: number
  deltaLifetime: number
  oddPages: number
  gmailUnits: number
  notifications: "once" | "twice" | "lost"
  consented: ReadonlyArray<string>
}

const defaultFaults: ReadonlyArray<FaultKind> = [
  "throttled",
  "throttled-bare",
  "unavailable",
  "error",
  "gateway",
  "timeout",
  "reset",
]

const defaultConsent: ReadonlyArray<string> = [
  "https://graph.microsoft.com/User.Read",
  "https://graph.microsoft.com/Mail.Read",
  "https://graph.microsoft.com/Mail.ReadWrite",
  "https://graph.microsoft.com/Mail.Send",
  "https://outlook.office.com/IMAP.AccessAsUser.All",
  "https://outlook.office.com/POP.AccessAsUser.All",
  "https://outlook.office.com/SMTP.Send",
]

const day = 86_400_000

/** Fills in the defaults; `now` is the start of the simulator in epoch milliseconds. */
export const settings = (options: Partial<SimulatorOptions>, now: number): Settings => ({
  accounts: options.accounts ?? 100,
  googleAccounts: Math.min(options.accounts ?? 100, options.googleAccounts ?? 0),
  seed: options.seed ?? 1,
  domain: options.domain ?? "sim.example",
  latency: Duration.toMillis(options.latency ?? 0),
  mode: options.mode ?? "microsoft",
  watchDelivery: options.watchDelivery ?? options.mode === "strict",
  messages: options.messages ?? 20,
  accessTokenLifetime: options.accessTokenLifetime === undefined || options.accessTokenLifetime === "random"
    ? "random"
    : Duration.toMillis(options.accessTokenLifetime),
  expiresIn: options.expiresIn ?? "number",
  limits: options.limits ?? "documented",
  tokenConcurrencyLimit: options.tokenConcurrencyLimit ?? Infinity,
  tokenRateLimit: options.tokenRateLimit ?? Infinity,
  throttleDelay: options.throttleDelay === "latency" ? "latency" : Duration.toMillis(options.throttleDelay ?? 5),
  retryAfter: Duration.toMillis(options.retryAfter ?? 1000),
  retryAfterForm: options.retryAfterForm ?? "seconds",
  clockSkew: Duration.toMillis(options.clockSkew ?? 0),
  faultRate: options.faultRate ?? 0,
  faultKinds: options.faultKinds ?? defaultFaults,
  hangLimit: Duration.toMillis(options.hangLimit ?? "60 seconds"),
  deltaLifetime: Duration.toMillis(options.deltaLifetime ?? Duration.infinity),
  oddPages: options.oddPages ?? 0.1,
  gmailUnits: options.gmailUnits ?? 6_000,
  notifications: options.notifications ?? "once",
  apps: Math.max(1, options.apps ?? 1),
  googleApps: Math.max(1, options.googleApps ?? 1),
  confidentialApps: options.confidentialApps ?? 0,
  personal: options.personal ?? 0.5,
  tenants: Math.max(1, options.tenants ?? 1),
  consented: options.consented ?? defaultConsent,
  epoch: options.epoch ?? Math.floor(now / day) * day,
})
