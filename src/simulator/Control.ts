/** What a test does to the provider, and what it reads off it. */
import { Duration } from "effect"
import { appState, registerApp, registerServiceAccount } from "./AppRegistrations.ts"
import { NotFound, Unfit } from "./ControlErrors.ts"
import type { Configuration, NewApp, NewServiceAccount, Script } from "./ControlPayloads.ts"
import type { Counter } from "./Counters.ts"
import { googleMaskOf, googleNamesOf } from "./GoogleScopes.ts"
import type { Grant } from "./Grants.ts"
import { newestRefreshToken } from "./ImportFile.ts"
import { MailControl } from "./MailControl.ts"
import type { Settings } from "./Options.ts"
import type { App, Provider } from "./Population.ts"
import type { Reason } from "./Refusals.ts"
import { maskOf, namesOf } from "./Scopes.ts"

/**
 * All methods answer at once; what names an unknown account, app, folder or message throws {@link NotFound}, and a
 * reason of the other provider {@link Unfit}.
 */
export class Control extends MailControl {
  // What was seen

  /**
   * Requests, concurrency, answers, lost answers and violations since `since` (epoch milliseconds): the start or the last
   * reset. `token` is Microsoft's token endpoint.
   */
  counters() {
    const { counters, population, uses, violations, wire } = this.world
    const busiest = uses.busiest(20).filter(({ index }) => index >= 0)
    return {
      ...counters.snapshot(),
      lostAnswers: wire.lostAnswers.length,
      mailboxes: {
        touched: uses.touched,
        /** Most requests that one app had in flight to one mailbox. */
        peak: busiest[0]?.peak ?? 0,
        busiest: busiest.map(({ app, index, peak }) => ({
          email: population.email(index),
          clientId: population.apps[app]?.clientId ?? "",
          peak,
        })),
      },
      violations: violations.snapshot().counts,
    }
  }

  resetCounters(): void {
    const { counters, uses, violations, wire } = this.world
    counters.reset(this.world.now())
    uses.reset()
    violations.reset()
    wire.reset()
  }

  /** Answers by status for each second since the last reset in which there were any, at most the last 3,600. */
  answersPerSecond(endpoint: "token" | "googleToken" | "graph" | "gmail" = "token") {
    const counter: Counter = this.world.counters[endpoint]
    return counter.perSecond()
  }

  violations() {
    return this.world.violations.snapshot()
  }

  /** Rotated tokens whose answer certainly did not arrive. */
  lostAnswers() {
    return this.world.wire.lostAnswers.slice()
  }

  /**
   * Accounts whose newest refresh token was on the wire at a moment.
   *
   * @param at epoch milliseconds; now if left out
   * @param slack how long after it left, in milliseconds, an answer still counts as not stored; default 0
   */
  onTheWire(at: number = this.world.now(), slack = 0) {
    return this.world.wire.at(at, slack)
  }

  // Accounts

  /** State of the grants that were ever asked for, or of the revoked ones among them. */
  grants(filter: { readonly revoked?: boolean } = {}) {
    const { touched } = this.world.grants
    return [...touched].flatMap(([index, grant]) =>
      filter.revoked === undefined || filter.revoked === (grant.revoked !== undefined)
        ? [this.grantState(index, grant)]
        : []
    )
  }

  account(email: string) {
    const index = this.indexOf(email)
    const { clientId, provider, secret } = this.world.grants.appOf(index)
    return {
      ...this.grantState(index, this.world.grants.get(index)),
      provider,
      clientId,
      clientSecret: secret ?? null,
      personal: this.world.population.isPersonal(index),
      /** Id of its tenant at Microsoft. */
      tenant: provider === "google" ? null : this.world.population.tenantOf(index),
      refreshToken: newestRefreshToken(this.world, index),
    }
  }

  /**
   * Redemptions are refused until {@link unlock}: with an AADSTS code, 50057 if none is given, where 70000 says "service
   * abuse mode"; or with a Google error, by default `admin_policy_enforced`.
   */
  lock(email: string, code?: Reason): void {
    const reason = this.reasonFor(email, code, { microsoft: 50057, google: "admin_policy_enforced" })
    this.grant(email).lock = reason
  }

  unlock(email: string): void {
    this.grant(email).lock = undefined
  }

  /**
   * The grant is dead; access tokens live on until they expire, as Microsoft's do. By default the code is 50173, or
   * `invalid_grant` for a Google account.
   */
  revoke(email: string, code?: Reason): void {
    const reason = this.reasonFor(email, code, { microsoft: 50173, google: "invalid_grant" })
    this.grant(email).revoked = reason
  }

  /** The user signs in anew: the tokens of before are dead, and a new refresh token is handed out. */
  signIn(email: string): string {
    const index = this.indexOf(email)
    this.world.grants.signIn(index)
    return newestRefreshToken(this.world, index)
  }

  consent(email: string, scopes: ReadonlyArray<string> | null): void {
    const isGoogle = this.world.population.providerOf(this.indexOf(email)) === "google"
    if (isGoogle) {
      this.world.googleGrants.change(this.indexOf(email), scopes === null ? undefined : googleMaskOf(scopes))
    }
    this.grant(email).consent = scopes === null ? undefined : isGoogle ? googleMaskOf(scopes) : maskOf(scopes)
  }

  /** Graph refuses the access tokens issued so far. */
  withdrawAccessTokens(email: string): void {
    this.grant(email).accessNotBefore = this.world.now() + 1
  }

  // Apps, faults and options

  apps() {
    return this.world.population.apps.map(appState)
  }

  /** Registers an app, or changes one; of an app with redirect URIs, no others are served. */
  registerApp(app: NewApp) {
    return appState(registerApp(this.world, app))
  }

  /**
   * Registers a Google service account with domain-wide delegation, or changes one.
   *
   * @param tokenUrl what its key file names as the token endpoint
   */
  registerServiceAccount(account: NewServiceAccount, tokenUrl: string) {
    return registerServiceAccount(this.world, account, tokenUrl)
  }

  serviceAccounts() {
    return this.world.serviceAccounts.states()
  }

  /** Every token request of an app is refused, e.g. with 7000222 or `deleted_client`; `null` ends it. */
  failApp(clientId: string, code: Reason | null): void {
    const app = this.appOf(clientId)
    app.fault = code === null ? undefined : fit(app.provider, code)
  }

  /**
   * The old secret of an app is worth nothing from now on; a public client becomes a confidential one.
   *
   * @param secret made up if left out
   * @returns the new secret
   */
  changeSecret(clientId: string, secret?: string): string {
    return this.world.population.changeSecret(this.appOf(clientId), secret)
  }

  script({ answers, email, endpoint }: Script): void {
    const index = email === undefined ? undefined : this.indexOf(email)
    if (index !== undefined && this.world.population.providerOf(index) !== providers[endpoint]) {
      throw new Unfit({ message: `${email} never asks the endpoint ${endpoint}` })
    }
    this.world.faults.script(endpoint, index, answers)
  }

  clearScripts(): void {
    this.world.faults.clear()
  }

  /** Changes options while the simulator runs, and returns all as they are now. */
  configure(change: Configuration): Settings {
    const { settings } = this.world
    const {
      accessTokenLifetime: life,
      clockSkew,
      deltaLifetime,
      hangLimit,
      latency,
      retryAfter,
      throttleDelay,
      tokenConcurrencyLimit,
      tokenRateLimit,
      ...rest
    } = change
    Object.assign(settings, rest)
    if (clockSkew !== undefined) settings.clockSkew = Duration.toMillis(clockSkew)
    if (throttleDelay !== undefined) {
      settings.throttleDelay = throttleDelay === "latency" ? throttleDelay : Duration.toMillis(throttleDelay)
    }
    if (tokenRateLimit !== undefined) settings.tokenRateLimit = tokenRateLimit ?? Infinity
    if (latency !== undefined) settings.latency = Duration.toMillis(latency)
    if (retryAfter !== undefined) settings.retryAfter = Duration.toMillis(retryAfter)
    if (hangLimit !== undefined) settings.hangLimit = Duration.toMillis(hangLimit)
    if (life !== undefined) settings.accessTokenLifetime = life === "random" ? life : Duration.toMillis(life)
    if (deltaLifetime !== undefined) {
      settings.deltaLifetime = deltaLifetime === null ? Infinity : Duration.toMillis(deltaLifetime)
    }
    if (tokenConcurrencyLimit !== undefined) settings.tokenConcurrencyLimit = tokenConcurrencyLimit ?? Infinity
    return { ...settings }
  }

  private appOf(clientId: string): App {
    const app = this.world.population.app(clientId)
    if (app === undefined) throw new NotFound({ message: `no app ${clientId}` })
    return app
  }

  private reasonFor(email: string, reason: Reason | undefined, usual: Readonly<Record<Provider, Reason>>): Reason {
    const provider = this.world.population.providerOf(this.indexOf(email))
    return fit(provider, reason ?? usual[provider])
  }

  private grant(email: string): Grant {
    return this.world.grants.get(this.indexOf(email))
  }

  private grantState(index: number, grant: Grant) {
    return {
      ...this.world.wire.entry(index, grant),
      family: grant.family,
      attempts: grant.attempts,
      /** AADSTS code or Google error that the grant was revoked with. */
      revoked: grant.revoked ?? null,
      /** Whether reuse of a spent token revoked it. */
      reused: grant.reused,
      lock: grant.lock ?? null,
      consent: grant.consent === undefined
        ? null
        : this.world.population.providerOf(index) === "google"
        ? googleNamesOf(grant.consent)
        : namesOf(grant.consent),
    }
  }
}

const providers = { token: "microsoft", graph: "microsoft", "google-token": "google", gmail: "google" } as const

const fit = (provider: Provider, reason: Reason): Reason => {
  if ((typeof reason === "number") === (provider === "microsoft")) return reason
  throw new Unfit({ message: `${reason} is no error of ${provider === "google" ? "Google's" : "Microsoft's"}` })
}
