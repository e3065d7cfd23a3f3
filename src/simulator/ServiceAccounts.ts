/**
 * Google's service accounts with domain-wide delegation (Google Identity, OAuth 2.0 for server to server applications;
 * RFC 7523 §3). Provider facts say little of them: the texts of errors are as remembered from that page.
 */
import { Option, Schema } from "effect"
import { createPublicKey, generateKeyPairSync, type KeyObject, verify } from "node:crypto"
import type { Answer } from "./Answer.ts"
import { googleError } from "./GoogleErrors.ts"
import { googleMaskOf, googleNamesOf, readGoogleScopes } from "./GoogleScopes.ts"
import { readJwt } from "./Jwt.ts"
import type { Population } from "./Population.ts"

export interface ServiceAccount {
  readonly email: string
  readonly publicKey: KeyObject
  /** What an administrator lets it do in the name of users, as a bit mask. */
  readonly mask: number
}

const decodeHead = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ alg: Schema.Literal("RS256") })))
/** Times in seconds since 1970. */
const decodeClaims = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  iss: Schema.String,
  sub: Schema.optionalKey(Schema.String),
  scope: Schema.String,
  aud: Schema.String,
  iat: Schema.Number,
  exp: Schema.Number,
})))

/** Longest life of an assertion, and how far a client's clock may be off (a guess), in seconds. */
const longest = 3600
const skew = 300

export class ServiceAccounts {
  private readonly accounts = new Map<string, ServiceAccount>()

  constructor(private readonly population: Population) {}

  /**
   * Registers a service account, or changes one.
   *
   * @param publicKey in PEM form; if left out, a pair is made
   * @returns the private key in PEM form, if it was made here
   */
  register(email: string, scopes: ReadonlyArray<string>, publicKey?: string): string | undefined {
    const pair = publicKey === undefined ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : undefined
    const key = pair?.publicKey ?? createPublicKey(publicKey ?? "")
    this.accounts.set(email, { email, publicKey: key, mask: googleMaskOf(scopes) })
    return pair?.privateKey.export({ type: "pkcs8", format: "pem" }).toString()
  }

  /** Who presents an assertion, by its own word. */
  issuerOf(assertion: string): string | undefined {
    const claims = Option.getOrUndefined(decodeClaims(readJwt(assertion)?.claims))
    return claims === undefined || !this.accounts.has(claims.iss) ? undefined : claims.iss
  }

  /**
   * Whose mailbox an assertion lets read, and how; or what is wrong with it.
   *
   * @param audience the token endpoint's own address
   * @param now epoch milliseconds
   */
  check(assertion: string, audience: string, now: number): { index: number; mask: number } | Answer {
    const jwt = readJwt(assertion)
    const claims = Option.getOrUndefined(decodeClaims(jwt?.claims))
    if (jwt === undefined || claims === undefined || Option.isNone(decodeHead(jwt.head))) return grant("Bad Request")
    const account = this.accounts.get(claims.iss)
    if (account === undefined) return grant("Invalid grant: account not found")
    if (!verify("sha256", jwt.signed, account.publicKey, jwt.signature)) return grant("Invalid JWT Signature.")
    if (claims.aud !== audience) return grant("Invalid JWT: Failed audience check.")
    const seconds = now / 1000
    const isTimely = claims.iat - skew <= seconds && seconds < claims.exp + skew &&
      claims.exp > claims.iat && claims.exp - claims.iat <= longest
    if (!isTimely) {
      return grant(
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and " +
          "exp values in the JWT claim.",
      )
    }
    const mask = readGoogleScopes(claims.scope)
    if (typeof mask === "string" || mask === 0) {
      return googleError("invalid_scope", { text: "Invalid OAuth scope or ID token audience provided." })
    }
    // Without a user it speaks for itself, and it has no mailbox.
    if (claims.sub === undefined) return { index: -1, mask }
    if ((mask & ~account.mask) !== 0) {
      return googleError("unauthorized_client", {
        text:
          "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of " +
          "the scopes requested.",
      })
    }
    const index = this.population.indexOf(claims.sub)
    const isUser = index >= 0 && this.population.providerOf(index) === "google"
    return isUser ? { index, mask } : grant("Invalid email or User ID")
  }

  states() {
    return [...this.accounts.values()].map(({ email, mask }) => ({ email, scopes: googleNamesOf(mask) }))
  }
}

const grant = (text: string): Answer => googleError("invalid_grant", { text })
