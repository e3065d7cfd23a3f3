/**
 * Refresh and access tokens. Neither kind is stored: both say in themselves whom they are for, under a seal. What is
 * stored per account is the number of its newest refresh token and what became of it.
 */
import type { Settings } from "./Options.ts"
import type { App, Population } from "./Population.ts"
import { fromDigits, guid, hash, seal, toDigits } from "./Random.ts"
import type { Reason } from "./Refusals.ts"
import { type Asked, maskOf, type Refused, type Resource } from "./Scopes.ts"

/** What became of the answer that carried an account's newest refresh token. */
export type Delivery = "none" | "pending" | "delivered" | "lost"

/** State of what a user allowed one app. */
export class Grant {
  /** Grows with each new sign-in; tokens of an earlier sign-in are dead. */
  family = 0
  /** First family whose tokens live; at Microsoft the newest. */
  oldest = 0
  /** When the user signed in, epoch milliseconds; those of the import file at the simulator's start. */
  signedInAt: number | undefined = undefined
  /** Last redemption, epoch milliseconds. */
  usedAt: number | undefined = undefined
  /** Number of the newest refresh token within the family; 0 is the one in the import file. */
  generation = 0
  /** Highest generation that a client ever presented: equal to `generation` once the newest is known to be stored. */
  presented = -1
  /** Why the whole family is dead. */
  revoked: Reason | undefined = undefined
  /** Whether it was reuse of a spent token that revoked the grant (`strict` mode). */
  reused = false
  /** What redemptions are refused with while the account is locked; the grant itself lives on. */
  lock: Reason | undefined = undefined
  /** Permissions consented to, as a bit mask, where they differ from the simulator's. */
  consent: number | undefined = undefined
  /** The app that the user signed in to last, where it is not the one of the import file. */
  app: App | undefined = undefined
  /** Access tokens issued before this time (epoch ms) are refused. */
  accessNotBefore = 0
  /** Arrival of the request that made the newest token, epoch ms. */
  arrivedAt = 0
  /** When its answer left, epoch ms; 0 while it is on the wire. */
  answeredAt = 0
  delivery: Delivery = "none"
  /** Redemption attempts so far, which injected faults are drawn by. */
  attempts = 0
  /** The last request, for the loop detector: which token, for what, how often, since when. */
  lastFamily = -1
  lastGeneration = -1
  lastAsked: Asked | Refused | undefined = undefined
  identical = 0
  identicalSince = 0
}

/** What stands for an account number in the app-only token of a tenant. */
export const appOnly = (tenant: number): number => -1 - tenant
/** The inverse of {@link appOnly}. */
export const tenantOfApp = (index: number): number => -1 - index

export interface AccessToken {
  /** Account number, or below 0 for an app-only token: {@link appOnly}. */
  readonly index: number
  readonly app: number
  readonly resource: Resource | "gmail"
  readonly issuedAt: number
  readonly expiresAt: number
  readonly mask: number
}

/** Characters that real refresh tokens hold, and that must be URL-encoded in a form. */
const filler = "!aB3*dE9$fG-hJ_kL.mN0pQ!rS5*tU8$vW-xY_zA.bC2dE7!fG4*hJ6$kL-mN_pQ.rS1tU"
const fillers = [filler.repeat(2), filler.repeat(3), filler.repeat(4)]

/** What every refresh token of Google's begins with, and those of this simulator. */
const googleToken = "1//0eSIM"
/** Base 64 of the URL-safe alphabet. */
const googleFiller = Array.from({ length: 10 }, (_, i) => toDigits(hash(11, i), 6)).join("")

export class Grants {
  private readonly grants = new Map<number, Grant>()
  private nonce = 0

  /** @param now reads the clock, epoch milliseconds */
  constructor(
    private readonly settings: Settings,
    private readonly population: Population,
    private readonly now: () => number,
  ) {}

  get(index: number): Grant {
    let grant = this.grants.get(index)
    if (grant === undefined) this.grants.set(index, grant = new Grant())
    return grant
  }

  /** A grant that somebody touched; unlike {@link get} this makes none. */
  peek(index: number): Grant | undefined {
    return this.grants.get(index)
  }

  /** The app that an account is signed in to. */
  appOf(index: number): App {
    return this.peek(index)?.app ?? this.population.appOf(index)
  }

  /** What a user consented to for an app, as a bit mask. */
  consented(index: number, app: App): number {
    if (this.appOf(index) !== app) return 0
    return this.peek(index)?.consent ?? maskOf(this.settings.consented)
  }

  /** Whom an ID token is about: one user, one app, one identifier. */
  subject(index: number, app: number): string {
    return guid(this.settings.seed, 0x5b, index * 1000 + app).replaceAll("-", "")
  }

  /** The user signs in anew: the tokens of before are dead, and the first of a new family is alive. */
  signIn(index: number, app = this.appOf(index), consent = this.peek(index)?.consent): Grant {
    const grant = this.get(index)
    grant.app = app
    grant.consent = consent
    grant.oldest = ++grant.family
    grant.usedAt = undefined
    grant.signedInAt = this.now()
    grant.generation = 0
    grant.presented = -1
    grant.revoked = undefined
    grant.reused = false
    grant.delivery = "none"
    return grant
  }

  /** Grants that anybody touched, by account number. */
  get touched(): Iterable<readonly [number, Grant]> {
    return this.grants
  }

  /** A refresh token. The length of Microsoft's varies from account to account, as it does in life. */
  refreshToken(index: number, family: number, generation: number): string {
    if (this.population.providerOf(index) === "google") {
      const start = googleToken + toDigits(index, 5) + toDigits(family, 3)
      return `${start}-L9Ir${seal(this.settings.seed, start)}${googleFiller}`
    }
    const name = `M.C5${index % 40}_SIM.0.U.${index.toString(36)}.${family.toString(36)}.${generation.toString(36)}`
    const mark = seal(this.settings.seed, name)
    return `${name}.-${mark}${(fillers[index % 3] ?? filler).slice(index % 61)}`
  }

  /** Whom a refresh token is for, or `undefined` if it was not issued here or is damaged. */
  readRefreshToken(token: string): { index: number; family: number; generation: number } | undefined {
    const isGoogle = token.startsWith(googleToken)
    const parts = isGoogle ? [] : token.split(".", 7)
    const index = isGoogle ? fromDigits(token.slice(8, 13)) : parseInt(parts[4] ?? "", 36)
    const family = isGoogle ? fromDigits(token.slice(13, 16)) : parseInt(parts[5] ?? "", 36)
    const generation = isGoogle ? 0 : parseInt(parts[6] ?? "", 36)
    if (!(index >= 0 && index < this.settings.accounts && family >= 0 && generation >= 0)) return undefined
    return this.refreshToken(index, family, generation) === token ? { index, family, generation } : undefined
  }

  /**
   * Life of the next access token in milliseconds. Unless it is set, Microsoft's live 60–90 minutes (configurable token
   * lifetimes), Google's 3,599 seconds.
   */
  lifetime(index: number, generation: number): number {
    const { accessTokenLifetime, seed } = this.settings
    if (accessTokenLifetime !== "random") return accessTokenLifetime
    if (this.population.providerOf(index) === "google") return 3_599_000
    return (3600 + (hash(seed, 0x11fe, index, generation) % 1801)) * 1000
  }

  accessToken(token: AccessToken): string {
    const text = `${letters[token.resource]}~${(token.index + 1).toString(36)}~${token.app.toString(36)}~${
      token.issuedAt.toString(36)
    }~${token.expiresAt.toString(36)}~${token.mask.toString(36)}~${(++this.nonce).toString(36)}`
    const mark = seal(this.settings.seed, text)
    return token.resource === "gmail"
      ? `${googleAccess}${text}.${mark}${googleFiller}`
      : `${microsoftAccess}${text}.${mark}${accessFiller}`
  }

  readAccessToken(token: string): AccessToken | undefined {
    const isGoogle = token.startsWith(googleAccess)
    if (!isGoogle && !token.startsWith(microsoftAccess)) return undefined
    const start = isGoogle ? googleAccess.length : microsoftAccess.length
    const dot = token.indexOf(".", start)
    if (dot < 0) return undefined
    const text = token.slice(start, dot)
    const rest = seal(this.settings.seed, text) + (isGoogle ? googleFiller : accessFiller)
    if (token.slice(dot + 1) !== rest) return undefined
    const [resource, index, app, issuedAt, expiresAt, mask] = text.split("~")
    const number = (value: string | undefined) => parseInt(value ?? "", 36)
    return {
      index: number(index) - 1,
      app: number(app),
      resource: resource === "g" ? "graph" : resource === "m" ? "gmail" : "outlook",
      issuedAt: number(issuedAt),
      expiresAt: number(expiresAt),
      mask: number(mask),
    }
  }
}

const letters = { graph: "g", outlook: "o", gmail: "m" } as const
/** What access tokens begin with. */
const microsoftAccess = "EwB4A8l6BAAU"
const googleAccess = "ya29.a0SIM"
const accessFiller = Array.from({ length: 30 }, (_, i) => toDigits(hash(7, i), 6)).join("")
