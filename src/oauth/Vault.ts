/** Encryption of secrets at rest: AES-256-GCM, a key derived for each owner, the owner as associated data. */
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { Buffer } from "node:buffer"
import { timingSafeEqual } from "node:crypto"
import type { Settings, SettingsError } from "../domain/Settings.ts"
import { keyNamedIn, openWith, type SealingKey, sealWith } from "./Cipher.ts"
import type { DataKeys } from "./DataKeys.ts"
import { KeyProvider } from "./KeyProvider.ts"
import { KeyRing, type LookupKey, type MacPurpose } from "./KeyRing.ts"

/** A stored secret cannot be read: its key is no longer configured, or the row was altered or moved. */
export class VaultError extends Schema.TaggedError<VaultError>()("VaultError", { message: Schema.String }) {}

export class Vault extends Context.Service<Vault, {
  /**
   * Encrypts `plaintext` for `owner` (such as `grant:<id>`), under the owner's key: only a call with the same owner opens it. An
   * owner of several secrets says which one it is, and it is opened as that one only.
   */
  readonly seal: (owner: string, plaintext: string, which?: string) => Uint8Array
  readonly open: (owner: string, sealed: Uint8Array, which?: string) => Effect.Effect<Redacted.Redacted, VaultError>
  /** Keyed hash of a token under the current key, 16 bytes: recognises a past token without keeping it. */
  readonly hash: (token: Redacted.Redacted) => Uint8Array
  /** The same under every key that ever hashed, for looking up. */
  readonly hashes: (token: Redacted.Redacted) => ReadonlyArray<Uint8Array>
  /** Authenticates `text` for one purpose under the current key, 16 bytes: whoever shows it has it from us. */
  readonly mac: (purpose: MacPurpose, text: string) => Uint8Array
  /** True for one under any key that ever did. */
  readonly hasMac: (purpose: MacPurpose, text: string, mac: Uint8Array) => boolean
}>()("mailfleet/oauth/Vault") {
  static readonly layerNoDeps: Layer.Layer<Vault, never, KeyRing> = Layer.effect(
    Vault,
    Effect.map(KeyRing, (ring) =>
      Vault.of({
        seal: (owner, plaintext, which) => sealWith(ring.sealing(), owner, associated(owner, which), plaintext),
        open: Effect.fnUntraced(function* (owner, sealed, which) {
          const { format, id } = keyNamedIn(sealed)
          const key = ring.find(format, id) ?? (format === 2 ? yield* fetch(ring, id) : undefined)
          if (key === undefined) return yield* new VaultError({ message: withoutKey })
          return yield* opened(key, owner, associated(owner, which), sealed)
        }),
        hash: (token) => keyedHash(ring.lookups()[0], token),
        hashes: (token) => ring.lookups().map((key) => keyedHash(key, token)),
        mac: (purpose, text) => keyedMac(ring.lookups()[0], purpose, text),
        hasMac: (purpose, text, mac) =>
          ring.lookups().some((key) => {
            const expected = keyedMac(key, purpose, text)
            return mac.length === expected.length && timingSafeEqual(mac, expected)
          }),
      })),
  )

  static readonly layer: Layer.Layer<Vault | KeyRing | KeyProvider, SettingsError, Settings | DataKeys> = Vault
    .layerNoDeps.pipe(Layer.provideMerge(KeyRing.layer), Layer.provideMerge(KeyProvider.layer))

  /** By the configured keys themselves, without data keys. */
  static readonly layerConfigured: Layer.Layer<Vault, SettingsError, Settings> = Layer.provide(
    Vault.layerNoDeps,
    KeyRing.layerConfigured,
  )
}

const withoutKey = "a stored secret was encrypted with a key that MAILFLEET_ENCRYPTION_KEYS no longer holds"

const fetch = (ring: KeyRing["Service"], id: string) =>
  Effect.mapError(ring.fetch(id), ({ message }) => new VaultError({ message }))

const opened = (key: SealingKey, owner: string, associated: string, sealed: Uint8Array) =>
  Effect.try({
    try: () => Redacted.make(Buffer.from(openWith(key, owner, associated, sealed)).toString("utf8")),
    catch: () =>
      new VaultError({
        message: "a stored secret cannot be decrypted: the row was altered, or the key is another one",
      }),
  })

const associated = (owner: string, which: string | undefined): string =>
  which === undefined ? owner : `${owner}/${which}`

const short = (mac: Uint8Array): Uint8Array => Uint8Array.from(mac.subarray(0, 16))

const keyedHash = (key: LookupKey, token: Redacted.Redacted): Uint8Array => short(key.hash(Redacted.value(token)))

const keyedMac = (key: LookupKey, purpose: MacPurpose, text: string): Uint8Array => short(key.macs[purpose](text))
