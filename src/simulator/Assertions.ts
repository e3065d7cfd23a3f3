/** Client assertions (Microsoft identity platform, application authentication certificate credentials). */
import { Option, Schema } from "effect"
import { constants, createHash, verify, type X509Certificate } from "node:crypto"
import { readJwt } from "./Jwt.ts"
import type { App } from "./Population.ts"

const Head = Schema.fromJsonString(Schema.Struct({
  alg: Schema.Literals(["PS256", "RS256"]),
  "x5t#S256": Schema.optionalKey(Schema.String),
  x5t: Schema.optionalKey(Schema.String),
}))
/** Times in seconds since 1970. */
const Claims = Schema.fromJsonString(Schema.Struct({
  aud: Schema.String,
  iss: Schema.String,
  sub: Schema.String,
  jti: Schema.String,
  exp: Schema.Number,
  nbf: Schema.optionalKey(Schema.Number),
}))
const decodeHead = Schema.decodeUnknownOption(Head)
const decodeClaims = Schema.decodeUnknownOption(Claims)

/** How far a client's clock may be off, in seconds. */
const skew = 300

export class Assertions {
  /** When each `jti` of an app may be forgotten, epoch milliseconds. */
  private readonly seen = new Map<string, number>()

  /**
   * The AADSTS code of what is wrong with an assertion, if anything is.
   *
   * @param audience the token endpoint's own address
   * @param now epoch milliseconds
   */
  check(app: App, assertion: string, audience: string, now: number): number | undefined {
    const jwt = readJwt(assertion)
    const head = Option.getOrUndefined(decodeHead(jwt?.head))
    const claims = Option.getOrUndefined(decodeClaims(jwt?.claims))
    if (jwt === undefined || head === undefined || claims === undefined) return 50027
    const certificate = app.certificates.find(({ raw }) =>
      head["x5t#S256"] === undefined
        ? head.x5t === thumbprint("sha1", raw)
        : head["x5t#S256"] === thumbprint("sha256", raw)
    )
    if (certificate === undefined || !isSignedBy(certificate, head.alg, jwt.signed, jwt.signature)) return 700027
    if (claims.aud !== audience) return 700023
    if (claims.iss !== app.clientId || claims.sub !== app.clientId) return 700021
    const seconds = now / 1000
    if (claims.exp + skew <= seconds || (claims.nbf ?? 0) - skew > seconds) return 700024
    return this.isReplayed(`${app.clientId} ${claims.jti}`, claims.exp + skew, now) ? 50013 : undefined
  }

  private isReplayed(key: string, until: number, now: number): boolean {
    for (const [old, end] of this.seen) if (end <= now) this.seen.delete(old)
    if (this.seen.has(key)) return true
    this.seen.set(key, until * 1000)
    return false
  }
}

const thumbprint = (algorithm: "sha1" | "sha256", der: Uint8Array): string =>
  createHash(algorithm).update(der).digest("base64url")

const isSignedBy = (
  { publicKey }: X509Certificate,
  algorithm: "PS256" | "RS256",
  signed: Uint8Array,
  signature: Uint8Array,
): boolean =>
  verify(
    "sha256",
    signed,
    algorithm === "PS256" ? { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : publicKey,
    signature,
  )
