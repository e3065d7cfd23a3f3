/** Certificates and service accounts' keys, as operators paste them. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Redacted, Result } from "effect"
import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto"
import { readCertificate, readServiceAccountKey } from "../../src/oauth/AppKeys.ts"
import { certificate, privateKey } from "../simulator/certificate.ts"
import { certified, expiredCertificate, otherCertificate, otherKey } from "../support/certificates.ts"

const now = DateTime.makeUnsafe("2026-12-01T00:00:00Z")
const read = (pem: string, at = now) => readCertificate(Redacted.make(pem), at)
const pkcs1 = createPrivateKey(privateKey).export({ type: "pkcs1", format: "pem" }).toString()
const rsa = (modulusLength: number) =>
  generateKeyPairSync("rsa", { modulusLength }).privateKey.export({ type: "pkcs8", format: "pem" }).toString()
const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
  .export({ type: "pkcs8", format: "pem" }).toString()

describe("A certificate with its key", () => {
  const good = Result.getOrThrow(read(certified))

  it("is read, and known by its thumbprint", () => {
    const { raw, validTo } = new X509Certificate(certificate)
    assert.strictEqual(good.thumbprint, createHash("sha256").update(raw).digest("base64url"))
    assert.strictEqual(good.expiresAt.epochMilliseconds, Date.parse(validTo))
    assert.notInclude(good.certificate, "PRIVATE")
    assert.isTrue(
      new X509Certificate(good.certificate).checkPrivateKey(createPrivateKey(Redacted.value(good.privateKey))),
    )
    assert.notInclude(JSON.stringify(good), "BEGIN PRIVATE")
  })

  it("may come in any order, in a chain, with other line breaks, with words between, and as PKCS#1", () => {
    for (
      const pem of [
        privateKey + certificate,
        otherCertificate + certificate + privateKey,
        certified.replaceAll("\n", "\r\n"),
        `Bag Attributes\n  friendlyName: app\n${certificate}\nKey Attributes: <No Attributes>\n${privateKey}`,
        certificate + pkcs1,
      ]
    ) {
      assert.strictEqual(Result.getOrThrow(read(pem)).thumbprint, good.thumbprint)
      assert.match(Redacted.value(Result.getOrThrow(read(pem)).privateKey), /^-----BEGIN PRIVATE KEY-----/)
    }
  })

  it("is refused with what was expected, and nothing of what was given", () => {
    const encrypted = privateKey.replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    const legacy = pkcs1.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n")
    const cases: ReadonlyArray<readonly [string, RegExp]> = [
      ["", /a certificate in PEM/],
      ["CANARY", /a certificate in PEM/],
      [privateKey, /a certificate in PEM/],
      [certificate.slice(0, 200) + privateKey, /a certificate in PEM/],
      ["-----BEGIN CERTIFICATE-----\nQ0FOQVJZ\n-----END CERTIFICATE-----\n" + privateKey, /a certificate in PEM/],
      [certificate, /the private key of the certificate in the same/],
      [certificate + privateKey + otherKey, /one private key/],
      [certificate + encrypted, /without a passphrase/],
      [certificate + legacy, /without a passphrase/],
      [
        certificate + "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n",
        /a private key that can be read/,
      ],
      [certificate + rsa(1_024), /RSA key of at least 2048 bits/],
      [certificate + elliptic, /RSA key of at least 2048 bits/],
      [certificate + otherKey, /the private key that belongs to the certificate/],
      [expiredCertificate + privateKey, /has not expired/],
    ]
    for (const [pem, expected] of cases) {
      const error = Result.getOrThrow(Result.flip(read(pem)))
      assert.strictEqual(error.field, "certificate")
      assert.match(error.message, expected)
      assert.notInclude(error.message, "CANARY")
    }
    assert.isTrue(Result.isFailure(read(certified, DateTime.makeUnsafe(new X509Certificate(certificate).validTo))))
    assert.isTrue(Result.isSuccess(read(expiredCertificate + privateKey, DateTime.makeUnsafe("2025-12-31T00:00:00Z"))))
  })
})

describe("A key file of a service account", () => {
  const file = { type: "service_account", client_email: "mail@fleet.iam.gserviceaccount.com", private_key: privateKey }
  const readKey = (text: string) => readServiceAccountKey(Redacted.make(text))

  it("is read", () => {
    const key = Result.getOrThrow(readKey(JSON.stringify({ ...file, project_id: "fleet" }, null, 2)))
    assert.strictEqual(key.email, file.client_email)
    assert.strictEqual(Redacted.value(key.privateKey), privateKey)
  })

  it("is refused with what was expected, and nothing of what was given", () => {
    for (
      const [given, expected] of [
        ["CANARY", /JSON key file/],
        ["[]", /JSON key file/],
        [JSON.stringify({ ...file, type: "authorized_user" }), /JSON key file/],
        [JSON.stringify({ ...file, client_email: "CANARY" }), /JSON key file/],
        [JSON.stringify({ ...file, private_key: undefined }), /JSON key file/],
        [JSON.stringify({ ...file, private_key: "CANARY" }), /private key that can be read/],
        [JSON.stringify({ ...file, private_key: elliptic }), /RSA key/],
      ] as const
    ) {
      const error = Result.getOrThrow(Result.flip(readKey(given)))
      assert.strictEqual(error.field, "serviceAccountKey")
      assert.match(error.message, expected)
      assert.notInclude(error.message, "CANARY")
    }
  })
})
