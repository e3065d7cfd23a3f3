/** Who exists: accounts by number, and the app registrations that they signed in to. */
import type { Settings } from "./Options.ts"
import { guid, hash, seal, share } from "./Random.ts"
import type { Reason } from "./Refusals.ts"

export type Provider = "microsoft" | "google"

/** An app registration. */
export interface App {
  readonly provider: Provider
  readonly index: number
  readonly clientId: string
  /** Set for a confidential client. Microsoft's hold characters that need URL encoding, as Entra's do. */
  secret: string | undefined
  /** What every request of this app is refused with, e.g. 7000222 for an expired secret, or `deleted_client`. */
  fault: Reason | undefined
}

/** Tenant that all personal Microsoft accounts live in. */
export const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

export class Population {
  /** Microsoft's, then Google's. */
  readonly apps: ReadonlyArray<App>
  /** Number of the first Google account. */
  private readonly firstGoogle: number
  private readonly appsById: ReadonlyMap<string, App>
  private readonly pattern: RegExp

  constructor(private readonly settings: Settings) {
    const { accounts, apps, confidentialApps, domain, googleAccounts, googleApps, seed } = settings
    this.firstGoogle = accounts - googleAccounts
    const microsoft = Array.from({ length: apps }, (_, index): App => ({
      provider: "microsoft",
      index,
      clientId: guid(seed, 0xa99, index),
      secret: index >= apps - confidentialApps ? microsoftSecret(seed, `secret ${index}`) : undefined,
      fault: undefined,
    }))
    const google = Array.from({ length: googleAccounts === 0 ? 0 : googleApps }, (_, n): App => ({
      provider: "google",
      index: apps + n,
      clientId: googleClientId(seed, n),
      secret: googleSecret(seed, `google secret ${n}`),
      fault: undefined,
    }))
    this.apps = [...microsoft, ...google]
    this.appsById = new Map(this.apps.map((app) => [app.clientId, app]))
    this.pattern = new RegExp(`^sim(\\d{5,9})@(?:gmail\\.)?${domain.replaceAll(".", "\\.")}$`, "i")
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

const microsoftSecret = (seed: number, text: string): string => `s8Q~${seal(seed, text)}~+._-%`

const googleSecret = (seed: number, text: string): string =>
  `GOCSPX-${[1, 2, 3].map((n) => seal(seed + n, text)).join("")}`

const googleClientId = (seed: number, n: number): string =>
  `${100_000_000_000 + hash(seed, 0xa9a, n)}-${guid(seed, 0xa9b, n).replaceAll("-", "")}.apps.googleusercontent.com`
