/**
 * Google's refresh tokens. They live beside each other: a new sign-in leaves those of before alive (Google Identity,
 * using OAuth 2.0 to access Google APIs, refresh token expiration).
 */
import { importedMask } from "./GoogleScopes.ts"
import type { Grants } from "./Grants.ts"
import type { App, Population } from "./Population.ts"
import { hash } from "./Random.ts"

const day = 86_400_000
/** What an app in testing gets, in milliseconds. */
export const testingLife = 7 * day
/** Unused for so long, a refresh token dies: 6 months. */
const idleLife = 183 * day
/** Refresh tokens of one account for one client: the next one silently ends the oldest. */
const mostTokens = 100

/** What one refresh token stands for. */
export interface GoogleGrant {
  readonly app: App
  /** Scopes as a bit mask. */
  readonly mask: number
  /** When it dies, epoch milliseconds. */
  readonly expiresAt: number
}

export class GoogleGrants {
  /** By account, then by family: each sign-in with a refresh token is a family of its own. */
  private readonly tokens = new Map<number, Map<number, GoogleGrant>>()
  /** What an account consented to, by account and app. */
  private readonly consents = new Map<string, number>()

  /** @param startedAt when the users of the import file signed in, epoch milliseconds */
  constructor(
    private readonly seed: number,
    private readonly population: Population,
    private readonly grants: Grants,
    private readonly startedAt: number,
  ) {}

  /** What a refresh token is good for, or `undefined` if it is dead. */
  find(index: number, family: number, now: number): GoogleGrant | undefined {
    const grant = this.grants.get(index)
    if (family < grant.oldest || family > grant.family) return undefined
    const known = this.tokens.get(index)?.get(family)
    const found = known ?? (family === grant.family ? this.imported(index) : undefined)
    if (found === undefined || now >= found.expiresAt) return undefined
    return now - (grant.usedAt ?? this.startedAt) >= idleLife ? undefined : found
  }

  /** A user consented, and the app gets a refresh token. */
  signIn(index: number, app: App, mask: number, expiresAt: number): void {
    const before = this.grants.get(index)
    const isDead = before.revoked !== undefined
    let tokens = this.tokens.get(index)
    if (tokens === undefined) this.tokens.set(index, tokens = new Map())
    if (!isDead && !tokens.has(before.family)) tokens.set(before.family, this.imported(index))
    const { oldest } = before
    const grant = this.grants.signIn(index, app, undefined)
    if (!isDead) grant.oldest = oldest
    for (const family of tokens.keys()) if (family < grant.oldest) tokens.delete(family)
    tokens.set(grant.family, { app, mask, expiresAt })
    const ofApp = [...tokens].filter(([, token]) => token.app === app)
    for (const [family] of ofApp.slice(0, -mostTokens)) tokens.delete(family)
  }

  consented(index: number, app: App): number {
    const usual = this.population.appOf(index) === app ? importedMask : 0
    return this.consents.get(`${index} ${app.index}`) ?? usual
  }

  consent(index: number, app: App, mask: number): void {
    this.consents.set(`${index} ${app.index}`, mask)
  }

  /** What an account's newest sign-in allows, or `undefined` for what it allowed at first. */
  change(index: number, mask: number | undefined): void {
    const app = this.grants.appOf(index)
    if (mask === undefined) this.consents.delete(`${index} ${app.index}`)
    else this.consent(index, app, mask)
    const { family } = this.grants.get(index)
    const token = this.tokens.get(index)?.get(family)
    if (token !== undefined) this.tokens.get(index)?.set(family, { ...token, mask: mask ?? this.consented(index, app) })
  }

  /** Whom an ID token is about, for every client alike: 21 digits. */
  subject(index: number): string {
    const digits = (n: number) => String(hash(this.seed, 0x60, index, n)).padStart(10, "0")
    return `1${digits(1)}${digits(2)}`
  }

  private imported(index: number): GoogleGrant {
    const app = this.grants.appOf(index)
    const expiresAt = app.isTesting ? this.startedAt + testingLife : Infinity
    return { app, mask: this.consented(index, app), expiresAt }
  }
}
