/** The keys at hand: those that are configured, and the data keys that they, or a command, unwrap. */
import { Context, Effect, Layer, Schedule } from "effect"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { Settings, SettingsError } from "../domain/Settings.ts"
import { derive, type Hmac, hmacOf, keyBytes, type SealingKey, sealingKey } from "./Cipher.ts"
import { configuredKeys } from "./ConfiguredKeys.ts"
import { DataKeys, type StoredKey } from "./DataKeys.ts"
import { byCommand, KeyProvider, lacking, nameOf } from "./KeyProvider.ts"
import type { KeyProviderError } from "./KeyProviderError.ts"

/** What is authenticated, so that whoever shows it has it from us. Each has a key of its own, kept in this order. */
export const macPurposes = ["reconnect", "dashboard"] as const
export type MacPurpose = typeof macPurposes[number]

/** What tokens are recognised by. It outlives all rotations: a hash cannot be made anew without the token. */
export interface LookupKey {
  readonly hash: Hmac
  readonly macs: Readonly<Record<MacPurpose, Hmac>>
}

/** How soon the other processes seal by a new key. */
const refreshEvery = "500 millis"

/** Seconds after which they do, unless they are frozen: what they read and write is slow at times. */
export const settledSeconds = 2

export class KeyRing extends Context.Service<KeyRing, {
  /** The key that seals. */
  readonly sealing: () => SealingKey
  /** The key of a sealed value, if it is at hand. */
  readonly find: (format: number, id: string) => SealingKey | undefined
  /** A data key that another process has made, or that nobody has needed yet. */
  readonly fetch: (id: string) => Effect.Effect<SealingKey | undefined, KeyProviderError>
  /** Sees to it that the newest data key of all seals, whichever process has made it. */
  readonly refresh: Effect.Effect<void, KeyProviderError>
  /** The current one first. */
  readonly lookups: () => readonly [LookupKey, ...Array<LookupKey>]
  /** Makes a data key, which seals from now on. Answers with its id. */
  readonly renew: Effect.Effect<string, KeyProviderError>
}>()("mailfleet/oauth/KeyRing") {
  /** Only the configured keys, which seal and hash themselves. */
  static readonly layerConfigured: Layer.Layer<KeyRing, SettingsError, Settings> = Layer.effect(
    KeyRing,
    Effect.gen(function* () {
      const keys = yield* configuredKeys(yield* Settings)
      const sealing = keys.map(({ bytes, id }) => sealingKey(1, id, bytes))
      const [first, ...others] = keys.map(({ bytes }) => lookupKey(lookupOf(bytes)))
      return KeyRing.of({
        sealing: () => sealing[0]!,
        find: (format, wanted) => sealing.find((key) => key.format === format && key.id === wanted),
        fetch: () => Effect.succeed(undefined),
        refresh: Effect.void,
        lookups: () => [first!, ...others],
        renew: Effect.die("there are no data keys"),
      })
    }),
  )

  /**
   * With data keys. The first start on a database makes what is missing: a fleet that was there before goes on sealing by the
   * configured key until the first rotation, so that processes of an older version can read what we write.
   */
  static readonly layer: Layer.Layer<KeyRing, SettingsError, Settings | KeyProvider | DataKeys> = Layer.effect(
    KeyRing,
    Effect.gen(function* () {
      const configured = yield* configuredKeys(yield* Settings)
      const provider = yield* KeyProvider
      const store = yield* DataKeys
      const direct = configured.map(({ bytes, id }) => sealingKey(1, id, bytes))

      const begin = Effect.gen(function* () {
        const fresh = yield* store.isFresh
        const made = fresh || configured.length === 0
          ? [{ id: "l1", bytes: randomBytes(lookupBytes) as Uint8Array }]
          : configured.map(({ bytes, id }) => ({ id, bytes: lookupOf(bytes) }))
        yield* store.begin({
          lookup: yield* Effect.forEach(
            made,
            ({ bytes, id }) =>
              Effect.map(provider.wrap(bytes), (wrapped) => ({ id, wrapped, wrappedBy: provider.current })),
          ),
          direct: fresh ? [] : configured.map(({ id }) => id),
          seal: fresh || provider.current === byCommand
            ? { wrapped: yield* provider.wrap(randomBytes(keyBytes)), wrappedBy: provider.current }
            : undefined,
        })
      })

      /** The version comes first: a key that is added meanwhile is read now, and once more. */
      const read = Effect.zip(store.newest, store.list)

      let [version, stored] = yield* read
      if (stored.length === 0) {
        yield* Effect.mapError(begin, refused)
        ;[version, stored] = yield* read
      }
      const missing = new Set(stored.map(({ id, use, wrappedBy }) => use === "direct" ? id : wrappedBy!))
      const lacked = [...missing].filter((by) => !provider.holds(by))
      if (lacked.length > 0) {
        return yield* new SettingsError({ variable: variableOf(lacked[0]!), message: lacking(lacked) })
      }

      const outdated = [...missing].filter((by) => by !== provider.current).map(nameOf)
      if (outdated.length > 0) {
        yield* Effect.logInfo("stored secrets still need keys beside the current one", { keys: outdated.join(", ") })
      }

      const unwrap = ({ wrapped, wrappedBy }: StoredKey) => provider.unwrap(wrappedBy!, wrapped!)
      const open = (key: StoredKey) => Effect.map(unwrap(key), (bytes) => sealingKey(2, key.id, bytes))
      const newestOf = (keys: ReadonlyArray<StoredKey>) => keys.findLast(({ use }) => use === "seal")

      const atHand = new Map<string, SealingKey>()
      const hold = (key: SealingKey) => {
        atHand.set(key.id, key)
        return key
      }
      const newest = newestOf(stored)
      let current = newest === undefined ? direct[0]! : hold(yield* Effect.mapError(open(newest), refused))
      const [first, ...others] = yield* Effect.forEach(
        stored.filter(({ use }) => use === "lookup"),
        (key) => Effect.mapError(Effect.map(unwrap(key), lookupKey), refused),
      )

      const refresh = Effect.gen(function* () {
        if ((yield* store.newest) === version) return
        const [seen, keys] = yield* read
        const key = newestOf(keys)
        if (key !== undefined && key.id !== current.id) current = atHand.get(key.id) ?? hold(yield* open(key))
        version = seen
      })
      let told = ""
      yield* refresh.pipe(
        Effect.catch(({ message }) => {
          if (told === message) return Effect.void
          told = message
          return Effect.logError(`a new data key cannot be used by this process: ${message}`)
        }),
        // A database that does not answer: whoever needs it says so.
        Effect.ignoreCause,
        Effect.repeat(Schedule.spaced(refreshEvery)),
        Effect.forkScoped,
      )

      return KeyRing.of({
        sealing: () => current,
        find: (format, id) => format === 2 ? atHand.get(id) : direct.find((key) => format === 1 && key.id === id),
        fetch: Effect.fnUntraced(function* (id) {
          const key = (yield* store.list).find((key) => key.use === "seal" && key.id === id)
          return key === undefined ? undefined : atHand.get(id) ?? hold(yield* open(key))
        }),
        refresh,
        lookups: () => [first!, ...others],
        renew: Effect.gen(function* () {
          const bytes = randomBytes(keyBytes)
          const id = yield* store.add(yield* provider.wrap(bytes), provider.current)
          current = hold(sealingKey(2, id, bytes))
          return id
        }),
      })
    }),
  )
}

const variableOf = (by: string) => by === byCommand ? "MAILFLEET_KEY_COMMAND" : "MAILFLEET_ENCRYPTION_KEYS"

const refused = ({ message }: KeyProviderError) =>
  new SettingsError({
    variable: message.includes("MAILFLEET_KEY_COMMAND") ? "MAILFLEET_KEY_COMMAND" : "MAILFLEET_ENCRYPTION_KEYS",
    message,
  })

const lookupBytes = keyBytes * (1 + macPurposes.length)

/** What a configured key hashes and authenticates by. It does not tell the key. */
const lookupOf = (key: Uint8Array): Uint8Array => {
  const by = hmacOf(key)
  return Buffer.concat([
    derive(by, "mailfleet/hash"),
    ...macPurposes.map((purpose) => derive(by, `mailfleet/mac/${purpose}`)),
  ])
}

const lookupKey = (bytes: Uint8Array): LookupKey => {
  const part = (at: number) => hmacOf(bytes.subarray(at * keyBytes, (at + 1) * keyBytes))
  return { hash: part(0), macs: { reconnect: part(1), dashboard: part(2) } }
}
