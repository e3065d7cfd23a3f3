/** The key that ID tokens are signed with: RS256 (RFC 7515), 2,048 bits. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto"

export class SigningKey {
  // Made when it is first needed: most simulators never sign anything, and making it takes a moment.
  private pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject } | undefined

  private keys() {
    return this.pair ??= generateKeyPairSync("rsa", { modulusLength: 2048 })
  }

  private get keyId(): string {
    const der = this.keys().publicKey.export({ type: "spki", format: "der" })
    return createHash("sha256").update(der).digest("base64url")
  }

  /** The public half as a JSON Web Key Set. */
  jwks() {
    return { keys: [{ ...this.keys().publicKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: this.keyId }] }
  }

  /** A signed JWT of the claims. */
  sign(claims: unknown): string {
    const text = `${part({ typ: "JWT", alg: "RS256", kid: this.keyId })}.${part(claims)}`
    return `${text}.${sign("sha256", new TextEncoder().encode(text), this.keys().privateKey).toString("base64url")}`
  }
}

const part = (value: unknown): string => new TextEncoder().encode(JSON.stringify(value)).toBase64(base64url)

const base64url = { alphabet: "base64url", omitPadding: true } as const
