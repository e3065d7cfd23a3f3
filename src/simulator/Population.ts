/** Who exists: accounts by number, and the app registrations that they signed in to. */
import type { Settings } from "./Options.ts"
import { guid, seal, share } from "./Random.ts"

/** An app registration. */
export interface App {
  readonly index: number
  readonly clientId: string
  /** Set for a confidential client. Holds characters that need URL encoding, as Entra's secrets do. */
  readonly secret: string | undefined
  /** AADSTS code that every request of this app is refused with, e.g. 7000222 for an expired secret. */
  fault: number | undefined
}

/** Tenant that all personal Microsoft accounts live in. */
export const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

export class Population {
  readonly apps: ReadonlyArray<App>
  private readonly appsById: ReadonlyMap<string, App>
  private readonly pattern: RegExp

  constructor(private readonly settings: Settings) {
    const { apps, confidentialApps, domain, seed } = settings
    this.apps = Array.from({ length: apps }, (_, index) => ({
      index,
      clientId: guid(seed, 0xa99, index),
      secret: index >= apps - confidentialApps ? `s8Q~${seal(seed, `secret ${index}`)}~+._-%` : undefined,
      fault: undefined,
    }))
    this.appsById = new Map(this.apps.map((app) => [app.clientId, app]))
    this.pattern = new RegExp(`^sim(\\d{5,9})@${domain.replaceAll(".", "\\.")}$`, "i")
  }

  get size(): number {
    return this.settings.accounts
  }

  email(index: number): string {
    return `sim${String(index + 1).padStart(5, "0")}@${this.settings.domain}`
  }

  /** The number of an account, from 0, or -1 for an address that does not exist. Addresses know no case. */
  indexOf(email: string): number {
    const match = this.pattern.exec(email)
    if (match === null || match[1] === undefined) return -1
    const index = Number(match[1]) - 1
    return index >= 0 && index < this.size && this.email(index) === email.toLowerCase() ? index : -1
  }

  appOf(index: number): App {
    const app = this.apps[index % this.apps.length]
    if (app === undefined) throw new RangeError(`no app for account ${index}`)
    return app
  }

  app(clientId: string): App | undefined {
    return this.appsById.get(clientId)
  }

  isPersonal(index: number): boolean {
    return share(this.settings.seed, 0x9e5, index) < this.settings.personal
  }
}
