/** Private keys by which an app proves itself: of a certificate (Microsoft) or of a service account (Google). */
import { DateTime, Redacted, Result, Schema } from "effect"
import { Buffer } from "node:buffer"
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"
import { type AppCertificate, InvalidApp, type ServiceAccount } from "../domain/App.ts"

/** What both providers ask for, and what they sign with (RFC 8017; NIST SP 800-131A). */
const leastBits = 2_048

/** A chain of certificates and a key have some tens of kilobytes at most. */
const mostOfPem = 100_000

const blocksOf = (pem: string, label: RegExp): ReadonlyArray<string> =>
  Array.from(pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----(?:[^-]|-(?!----))*-----END \1-----/g))
    .filter(([, name]) => label.test(name ?? "")).map(([block]) => block)

/** The key as PKCS#8; or what is wrong with it. */
const readKey = (pem: string): Result.Result<KeyObject, string> =>
  Result.flatMap(
    Result.try({ try: () => createPrivateKey(pem), catch: () => "Expected a private key that can be read" }),
    (key) =>
      key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= leastBits
        ? Result.succeed(key)
        : Result.fail(`Expected an RSA key of at least ${leastBits} bits`),
  )

const pkcs8 = (key: KeyObject): Redacted.Redacted =>
  Redacted.make(key.export({ type: "pkcs8", format: "pem" }).toString())

const invalidCertificate = (message: string) => new InvalidApp({ field: "certificate", message })

/** A certificate that cannot be parsed is none. */
const parse = (pem: string): ReadonlyArray<X509Certificate> =>
  Result.match(Result.try(() => new X509Certificate(pem)), { onFailure: () => [], onSuccess: (one) => [one] })

/**
 * Reads a certificate and its private key from one PEM text. Of several certificates, as in a chain, the one counts that
 * the key belongs to.
 */
export const readCertificate = (
  pem: Redacted.Redacted,
  now: DateTime.DateTime,
): Result.Result<AppCertificate, InvalidApp> =>
  Result.gen(function* () {
    const text = Redacted.value(pem).slice(0, mostOfPem)
    const certificates = blocksOf(text, /^CERTIFICATE$/).flatMap(parse)
    if (certificates.length === 0) {
      return yield* Result.fail(invalidCertificate("Expected a certificate in PEM, together with its private key"))
    }
    const keys = blocksOf(text, /PRIVATE KEY$/)
    if (keys[0] === undefined) {
      return yield* Result.fail(invalidCertificate("Expected the private key of the certificate in the same PEM text"))
    }
    if (keys.length > 1) return yield* Result.fail(invalidCertificate("Expected one private key"))
    if (/ENCRYPTED/.test(keys[0])) {
      return yield* Result.fail(invalidCertificate("Expected a private key without a passphrase: it is encrypted here"))
    }
    const key = yield* Result.mapError(readKey(keys[0]), invalidCertificate)
    const certificate = certificates.find((one) => one.checkPrivateKey(key))
    if (certificate === undefined) {
      return yield* Result.fail(invalidCertificate("Expected the private key that belongs to the certificate"))
    }
    const expiresAt = DateTime.makeUnsafe(new Date(certificate.validTo))
    if (!DateTime.isGreaterThan(expiresAt, now)) {
      return yield* Result.fail(invalidCertificate("Expected a certificate that has not expired"))
    }
    return {
      certificate: certificate.toString(),
      thumbprint: Buffer.from(certificate.fingerprint256.replaceAll(":", ""), "hex").toString("base64url"),
      expiresAt: DateTime.toUtc(expiresAt),
      privateKey: pkcs8(key),
    }
  })

/** Google's key file, as far as it matters (Google Cloud, service account keys). */
const decodeKeyFile = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Struct({
  type: Schema.Literal("service_account"),
  client_email: Schema.String.check(Schema.isPattern(/^[\w.+-]+@[\w.-]+$/), Schema.isMaxLength(320)),
  private_key: Schema.String,
})))

const invalidKeyFile = (message: string) => new InvalidApp({ field: "serviceAccountKey", message })

export const readServiceAccountKey = (json: Redacted.Redacted): Result.Result<ServiceAccount, InvalidApp> =>
  Result.gen(function* () {
    // What the decoder says of the file may repeat parts of it.
    const file = yield* Result.mapError(
      decodeKeyFile(Redacted.value(json)),
      () => invalidKeyFile("Expected the JSON key file of a Google service account, with client_email and private_key"),
    )
    const key = yield* Result.mapError(readKey(file.private_key), invalidKeyFile)
    return { email: file.client_email, privateKey: pkcs8(key) }
  })
