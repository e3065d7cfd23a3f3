/** Seals every stored secret by a new data key, while the fleet goes on. */
import { Context, Effect, Layer, Redacted } from "effect"
import type { EncryptionRotation } from "../domain/EncryptionRotation.ts"
import { Settings } from "../domain/Settings.ts"
import { configuredKeys } from "../oauth/ConfiguredKeys.ts"
import { DataKeys } from "../oauth/DataKeys.ts"
import { KeyProvider } from "../oauth/KeyProvider.ts"
import type { KeyProviderError } from "../oauth/KeyProviderError.ts"
import { KeyRing, settledSeconds } from "../oauth/KeyRing.ts"
import { Vault } from "../oauth/Vault.ts"
import { Database } from "../storage/Database.ts"
import { type ClaimedRotation, Rotations } from "../storage/encryption/Rotations.ts"
import { sealedColumns } from "../storage/encryption/SealedValues.ts"

/** Between two pages: the fleet's own work comes first. */
const breath = "5 millis"

/** Between two passes. */
const pause = "500 millis"

export class RotateEncryption extends Context.Service<RotateEncryption, {
  /** Makes a data key, wrapped by the current key or command, and begins. One that is under way is joined. */
  readonly begin: Effect.Effect<EncryptionRotation, KeyProviderError>
  readonly progress: Effect.Effect<EncryptionRotation>
  /** Works on a rotation that nobody works on, if there is one, until its end. */
  readonly work: Effect.Effect<void, KeyProviderError>
}>()("mailfleet/programs/RotateEncryption") {
  static readonly layer: Layer.Layer<
    RotateEncryption,
    never,
    Database | DataKeys | KeyProvider | KeyRing | Rotations | Settings | Vault
  > = Layer.effect(
    RotateEncryption,
    Effect.gen(function* () {
      const { engine } = yield* Database
      const dataKeys = yield* DataKeys
      const provider = yield* KeyProvider
      const ring = yield* KeyRing
      const rotations = yield* Rotations
      const vault = yield* Vault
      const configured = (yield* Effect.orDie(configuredKeys(yield* Settings))).map(({ id }) => id)
      // The embedded database has one process: nobody seals by an older key.
      const settled = engine === "embedded" ? 0 : settledSeconds

      const progress = Effect.map(rotations.latest, (latest): EncryptionRotation => ({
        ...latest,
        removable: configured.filter((id) => id !== provider.current && !latest.keysInUse.includes(id)),
      }))

      const begin = Effect.gen(function* () {
        if (!(yield* rotations.isRunning)) yield* rotations.begin(yield* ring.renew, provider.current)
        return yield* progress
      })

      /** Seals the next page anew. Undefined = the pass is over, or somebody else has the work. */
      const step = Effect.fnUntraced(function* (claimed: ClaimedRotation) {
        const { column, next, values } = yield* rotations.page(claimed, ring.sealing().prefix)
        if (next === undefined) return undefined
        const { owner, which } = sealedColumns[column]!
        const stale = values.flatMap(({ key, rest, secret }) => secret === null ? [] : [{ key, rest, secret }])
        const [resealed, unreadable] = yield* Effect.partition(
          stale,
          ({ key, rest, secret }) =>
            Effect.map(vault.open(owner(key, rest), secret, which?.(rest)), (plaintext) => ({
              key,
              rest,
              before: secret,
              after: vault.seal(owner(key, rest), Redacted.value(plaintext), which?.(rest)),
            })),
        )
        return {
          claimed: yield* rotations.advance(claimed, {
            column,
            next,
            looked: values.length,
            values: resealed,
            unreadable: unreadable.length,
          }),
        }
      })

      const finish = Effect.fnUntraced(function* (claimed: ClaimedRotation) {
        const keys = (yield* dataKeys.list).flatMap((key) =>
          key.wrapped === undefined || key.wrappedBy === undefined
            ? []
            : [{ use: key.use, id: key.id, wrapped: key.wrapped, wrappedBy: key.wrappedBy }]
        )
        const wrapped = yield* Effect.forEach(keys, ({ id, use, wrapped, wrappedBy }) =>
          Effect.map(
            Effect.flatMap(provider.unwrap(wrappedBy, wrapped), provider.wrap),
            (wrapped) => ({ id, use, wrapped, wrappedBy: provider.current }),
          ))
        yield* rotations.finish(claimed, wrapped)
        const { removable, resealed, unreadable } = yield* progress
        yield* Effect.logInfo("the encryption key has been rotated", {
          resealed,
          unreadable,
          removable: removable.join(", ") || "none",
        })
      })

      const passes = Effect.fnUntraced(function* (first: ClaimedRotation) {
        let claimed: ClaimedRotation | undefined = first
        while (claimed !== undefined) {
          const stepped: { readonly claimed: ClaimedRotation | undefined } | undefined = yield* step(claimed)
          if (stepped !== undefined) {
            claimed = stepped.claimed
            yield* Effect.sleep(breath)
          } else if (claimed.stale === 0 && claimed.passBeganAfterSeconds >= settled) {
            return yield* finish(claimed)
          } else {
            yield* Effect.sleep(pause)
            // In the end every value is sealed by the newest key of all.
            yield* ring.refresh
            claimed = yield* rotations.nextPass(claimed)
          }
        }
      })

      const work = Effect.gen(function* () {
        const claimed = yield* rotations.claim(provider.current)
        if (claimed === undefined) return
        yield* Effect.andThen(ring.refresh, passes(claimed)).pipe(
          Effect.ensuring(rotations.release(claimed)),
        )
      })

      return RotateEncryption.of({ begin, progress, work })
    }),
  )
}
