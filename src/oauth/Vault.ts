/** Encryption of secrets at rest: AES-256-GCM, a key derived for each owner, the owner as associated data. */
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
// node:crypto rather than WebCrypto: half the time for each small value (23 against 46 µs), and no promise.
import { createCipheriv, createDecipheriv, hash, randomBytes, timingSafeEqual } from "node:crypto"
import { Settings, SettingsError } from "../domain/Settings.ts"

/** A stored secret cannot be read: its key is no longer configured, or the row was altered or moved. */
export class VaultError extends Schema.TaggedError<VaultError>()("VaultError", { message: Schema.String }) {}

/** HMAC-SHA256 under a key. */
type Hmac = (text: string) => Uint8Array

interface Key {
  readonly id: string
  /** Keys are derived by it. */
  readonly derive: Hmac
  readonly hash: Hmac
  readonly owners: Map<string, Uint8Array>
}

const format = 1
const ivBytes = 12
const tagBytes = 16

/** How to make a key; shown wherever one is missing or wrong. */
export const howToMakeAKey = `make one with: echo "k1:$(openssl rand -base64 32)"`

export class Vault extends Context.Service<Vault, {
  /**
   * Encrypts `plaintext` for `owner` (such as `grant:<id>`), under the owner's key: only a call with the same owner opens it. An
   * owner of several secrets says which one it is, and it is opened as that one only.
   */
  readonly seal: (owner: string, plaintext: string, which?: string) => Uint8Array
  readonly open: (owner: string, sealed: Uint8Array, which?: string) => Effect.Effect<Redacted.Redacted, VaultError>
  /** Keyed hash of a token under the current key, 16 bytes: recognises a past token without keeping it. */
  readonly hash: (token: Redacted.Redacted) => Uint8Array
  /** The same under every configured key, for looking up. */
  readonly hashes: (token: Redacted.Redacted) => ReadonlyArray<Uint8Array>
  /** Authenticates `text` for one purpose under the current key, 16 bytes: whoever shows it has it from us. */
  readonly mac: (purpose: string, text: string) => Uint8Array
  /** True for one under any configured key. */
  readonly hasMac: (purpose: string, text: string, mac: Uint8Array) => boolean
}>()("mailfleet/oauth/Vault") {
  static readonly layer: Layer.Layer<Vault, SettingsError, Settings> = Layer.effect(
    Vault,
    Effect.gen(function* () {
      const settings = yield* Settings
      const keys = yield* parseKeys(settings.encryptionKeys)
      const current = keys[0]!
      const prefix = Buffer.from([format, current.id.length, ...Buffer.from(current.id)])
      const byId = new Map(keys.map((key) => [key.id, key]))

      return Vault.of({
        seal: (owner, plaintext, which) => {
          const iv = randomBytes(ivBytes)
          const cipher = createCipheriv("aes-256-gcm", ownerKey(current, owner), iv)
          cipher.setAAD(associated(owner, which))
          return Buffer.concat([prefix, iv, cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()])
        },
        open: (owner, sealed, which) =>
          Effect.try({
            try: () => {
              const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length)
              const idEnd = 2 + bytes[1]!
              const key = byId.get(bytes.subarray(2, idEnd).toString())
              if (bytes[0] !== format || key === undefined) {
                throw new VaultError({
                  message: "a stored secret was encrypted with a key that MAILFLEET_ENCRYPTION_KEYS no longer holds",
                })
              }
              const iv = bytes.subarray(idEnd, idEnd + ivBytes)
              const decipher = createDecipheriv("aes-256-gcm", ownerKey(key, owner), iv)
              decipher.setAAD(associated(owner, which))
              decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes))
              const plaintext = Buffer.concat([
                decipher.update(bytes.subarray(idEnd + ivBytes, bytes.length - tagBytes)),
                decipher.final(),
              ])
              return Redacted.make(plaintext.toString("utf8"))
            },
            catch: (error) =>
              error instanceof VaultError ? error : new VaultError({
                message: "a stored secret cannot be decrypted: the row was altered, or the key is another one",
              }),
          }),
        hash: (token) => keyedHash(current, token),
        hashes: (token) => keys.map((key) => keyedHash(key, token)),
        mac: (purpose, text) => keyedMac(current, purpose, text),
        hasMac: (purpose, text, mac) =>
          keys.some((key) => {
            const expected = keyedMac(key, purpose, text)
            return mac.length === expected.length && timingSafeEqual(mac, expected)
          }),
      })
    }),
  )
}

/** Owners whose keys are kept at hand: a redemption opens a grant's token, and seals its successor a moment later. */
const keysAtHand = 1_024

const associated = (owner: string, which: string | undefined): Uint8Array =>
  Buffer.from(which === undefined ? owner : `${owner}/${which}`)

/** Bytes of a block of SHA-256, and of what it answers. */
const blockBytes = 64
const hashBytes = 32

/** By the definition (RFC 2104 §2), with hashes in one call each: `createHmac` makes streams, and takes twice the time. */
const hmacOf = (key: Uint8Array): Hmac => {
  const padded = (pad: number, more: number) => {
    const bytes = Buffer.alloc(blockBytes + more, pad)
    key.forEach((byte, at) => bytes[at] = byte ^ pad)
    return bytes
  }
  const inner = padded(0x36, 0)
  const outer = padded(0x5c, hashBytes)
  return (text) => {
    outer.set(hash("sha256", Buffer.concat([inner, Buffer.from(text)]), "buffer"), blockBytes)
    return hash("sha256", outer, "buffer")
  }
}

/** One block of HKDF-Expand (RFC 5869 §2.3): the configured keys are uniform already, so there is nothing to extract. */
const derive = (by: Hmac, info: string): Uint8Array => by(`${info}\x01`)

const ownerKey = (key: Key, owner: string): Uint8Array => {
  let derived = key.owners.get(owner)
  if (derived === undefined) {
    if (key.owners.size >= keysAtHand) key.owners.clear()
    key.owners.set(owner, derived = derive(key.derive, `mailfleet/seal/${owner}`))
  }
  return derived
}

const short = (mac: Uint8Array): Uint8Array => Uint8Array.from(mac.subarray(0, 16))

const keyedHash = (key: Key, token: Redacted.Redacted): Uint8Array => short(key.hash(Redacted.value(token)))

const keyedMac = (key: Key, purpose: string, text: string): Uint8Array =>
  short(hmacOf(derive(key.derive, `mailfleet/mac/${purpose}`))(text))

const parseKeys = (setting: Option.Option<Redacted.Redacted>) =>
  Effect.gen(function* () {
    const wrong = (message: string) =>
      new SettingsError({
        variable: "MAILFLEET_ENCRYPTION_KEYS",
        message: `MAILFLEET_ENCRYPTION_KEYS ${message}; ${howToMakeAKey}`,
      })
    if (Option.isNone(setting)) return yield* wrong("must be set together with DATABASE_URL")
    const keys: Array<Key> = []
    for (const part of Redacted.value(setting.value).split(",")) {
      const match = /^\s*([\w.-]{1,64}):([A-Za-z0-9+/_-]{43}=?)\s*$/.exec(part)
      const bytes = match === null ? undefined : Buffer.from(match[2]!, "base64")
      if (match === null || bytes === undefined || bytes.length !== 32) {
        return yield* wrong("must be id:base64-of-32-bytes, several separated by commas")
      }
      if (keys.some((key) => key.id === match[1])) return yield* wrong("names one id twice")
      const by = hmacOf(bytes)
      keys.push({ id: match[1]!, derive: by, hash: hmacOf(derive(by, "mailfleet/hash")), owners: new Map() })
    }
    return keys
  })
