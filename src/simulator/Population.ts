/** Who exists: accounts by number, and the app registrations that they signed in to. */
import type { X509Certificate } from "node:crypto"
import type { Settings } from "./Options.ts"
import { guid, hash, seal, share } from "./Random.ts"
import type { Reason } from "./Refusals.ts"

export type Provider = "microsoft" | "google"

/** An app registration. */
export interface App {
  readonly provider: Provider
  readonly index: number
  readonly clientId: string
  /** What its client assertions are signed with. An app with a secret or a certificate is a confidential client. */
  certificates: ReadonlyArray<X509Certificate>
  /** Set for a confidential client. Microsoft's hold characters that need URL encoding, as Entra's do. */
  secret: string | undefined
  /** What every request of this app is refused with, e.g. 7000222 for an expired secret, or `deleted_client`. */
  fault: Reason | undefined
  /** Where authorization codes may be sent; anywhere while this is `undefined`. */
  redirectUris: ReadonlyArray<string> | undefined
  /** The only tenant that it serves; `undefined` for a multi-tenant app. */
  tenant: string | undefined
  /** Tenants whose administrator consented to its application permissions; every tenant while this is `undefined`. */
  consentedTenants: ReadonlyArray<string> | undefined
  /** At Google: not published yet, so that a refresh token lives 7 days. */
  isTesting: boolean
  /** The only addresses that an app in testing lets in; all while this is `undefined`. */
  testUsers: ReadonlyArray<string> | undefined
  /** At Microsoft: its redirect URIs are of type `spa`, so that refresh tokens end 24 hours after the sign-in. */
  isSpa: boolean
}

/** What can be said of an app when it is registered; what is left out keeps its value. */
export interface Registration {
  /** Of a new app; Microsoft if left out. */
  readonly provider?: Provider
  /** Made up if left out. */
  readonly clientId?: string
  readonly secret?: string
  readonly certificates?: ReadonlyArray<X509Certificate>
  readonly redirectUris?: ReadonlyArray<string>
  readonly tenant?: string
  readonly consentedTenants?: ReadonlyArray<string>
  readonly isTesting?: boolean
  readonly testUsers?: ReadonlyArray<string>
  readonly isSpa?: boolean
}

/** Tenant that all personal Microsoft accounts live in. */
export const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

export class Population {
  /** Microsoft's, then Google's, then those that were registered later. */
  private readonly all: Array<App>
  /** Number of the first Google account. */
  private readonly firstGoogle: number
  private readonly appsById: Map<string, App>
  private readonly pattern: RegExp
  /** Tenants that work accounts live in, by turns. */
  readonly workTenants: ReadonlyArray<string>

  constructor(private readonly settings: Settings) {
    const { accounts, apps, confidentialApps, domain, googleAccounts, googleApps, seed } = settings
    this.workTenants = Array.from(
      { length: settings.tenants },
      (_, n) => n === 0 ? this.workTenant : guid(seed, 0x7e4, n),
    )
    this.firstGoogle = accounts - googleAccounts
    const microsoft = Array.from({ length: apps }, (_, index): App => ({
      ...unset,
      provider: "microsoft",
      index,
      clientId: guid(seed, 0xa99, index),
      secret: index >= apps - confidentialApps ? microsoftSecret(seed, `secret ${index}`) : undefined,
    }))
    const google = Array.from({ length: googleAccounts === 0 ? 0 : googleApps }, (_, n): App => ({
      ...unset,
      provider: "google",
      index: apps + n,
      clientId: googleClientId(seed, n),
      secret: googleSecret(seed, `google secret ${n}`),
    }))
    this.all = [...microsoft, ...google]
    this.appsById = new Map(this.all.map((app) => [app.clientId, app]))
    this.pattern = new RegExp(`^sim(\\d{5,9})@(?:gmail\\.)?${domain.replaceAll(".", "\\.")}$`, "i")
  }

  get apps(): ReadonlyArray<App> {
    return this.all
  }

  get size(): number {
    return this.settings.accounts
  }

  email(index: number): string {
    const host = this.providerOf(index) === "google" ? "gmail." : ""
    return `sim${String(index + 1).padStart(5, "0")}@${host}${this.settings.domain}`
  }

  providerOf(index: number): Provider {
    return index >= this.firstGoogle ? "google" : "microsoft"
  }

  /** The number of an account, from 0, or -1 for an address that does not exist. Addresses know no case. */
  indexOf(email: string): number {
    const match = this.pattern.exec(email)
    if (match === null || match[1] === undefined) return -1
    const index = Number(match[1]) - 1
    return index >= 0 && index < this.size && this.email(index) === email.toLowerCase() ? index : -1
  }

  appOf(index: number): App {
    const { apps, googleApps } = this.settings
    const app = this.apps[this.providerOf(index) === "google" ? apps + index % googleApps : index % apps]
    if (app === undefined) throw new RangeError(`no app for account ${index}`)
    return app
  }

  app(clientId: string): App | undefined {
    return this.appsById.get(clientId)
  }

  /** Registers an app, or changes one; an app at Google always has a secret. */
  register({ provider = "microsoft", clientId = this.newClientId(provider), ...registration }: Registration): App {
    let app = this.appsById.get(clientId)
    if (app === undefined) {
      app = { provider, index: this.all.length, clientId, ...unset }
      if (provider === "google") app.secret = this.newSecret(app)
      this.all.push(app)
      this.appsById.set(clientId, app)
    }
    return Object.assign(app, registration)
  }

  private newClientId(provider: Provider): string {
    const { seed } = this.settings
    return provider === "google" ? googleClientId(seed, this.all.length) : guid(seed, 0xa9c, this.all.length)
  }

  /** The tenant that an account lives in. */
  tenantOf(index: number): string {
    return this.isPersonal(index)
      ? personalTenant
      : this.workTenants[index % this.workTenants.length] ?? this.workTenant
  }

  /** The first tenant of work accounts, and the only one unless the options say otherwise. */
  get workTenant(): string {
    return guid(this.settings.seed, 0x7e4)
  }

  /** The number of a tenant of work accounts, or -1; the domain of the addresses is a name of the first. */
  tenantNumber(tenant: string): number {
    return tenant.toLowerCase() === this.settings.domain ? 0 : this.workTenants.indexOf(tenant.toLowerCase())
  }

  isPersonal(index: number): boolean {
    return this.providerOf(index) === "microsoft" && share(this.settings.seed, 0x9e5, index) < this.settings.personal
  }

  /** A new secret for an app, in the form of its provider. */
  changeSecret(app: App, secret = this.newSecret(app)): string {
    return app.secret = secret
  }

  private newSecret({ clientId, provider, secret }: App): string {
    const text = `${clientId} ${secret}`
    return provider === "google" ? googleSecret(this.settings.seed, text) : microsoftSecret(this.settings.seed, text)
  }
}

const unset = {
  certificates: [],
  secret: undefined,
  fault: undefined,
  redirectUris: undefined,
  tenant: undefined,
  consentedTenants: undefined,
  isTesting: false,
  testUsers: undefined,
  isSpa: false,
}

const microsoftSecret = (seed: number, text: string): string => `s8Q~${seal(seed, text)}~+._-%`

const googleSecret = (seed: number, text: string): string =>
  `GOCSPX-${[1, 2, 3].map((n) => seal(seed + n, text)).join("")}`

const googleClientId = (seed: number, n: number): string =>
  `${100_000_000_000 + hash(seed, 0xa9a, n)}-${guid(seed, 0xa9b, n).replaceAll("-", "")}.apps.googleusercontent.com`
