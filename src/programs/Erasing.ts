/** Finishes deletions of accounts: revokes what the provider lets us revoke, and purges what is stored. */
import { Context, Effect, Layer } from "effect"
import type { Settings } from "../domain/Settings.ts"
import { makeGoogleRevocation } from "../oauth/GoogleRevocation.ts"
import { Vault } from "../oauth/Vault.ts"
import { Erasures, type ToRevoke } from "../storage/Erasures.ts"
import { grantOwner } from "../storage/grants/Grants.ts"

const revocationsAtOnce = 20

export class Erasing extends Context.Service<Erasing, {
  /** Does what there is to be done now. Killed at any point, the next goes on where it stood. */
  readonly work: Effect.Effect<void>
}>()("mailfleet/programs/Erasing") {
  static readonly layer: Layer.Layer<Erasing, never, Erasures | Settings | Vault> = Layer.effect(
    Erasing,
    Effect.gen(function* () {
      const erasures = yield* Erasures
      const vault = yield* Vault
      const revokeAtGoogle = yield* makeGoogleRevocation()

      const revoke = Effect.fn("Erasing.revoke")(
        function* ({ grantId, id, isLast, secret }: ToRevoke) {
          const isRevoked = yield* Effect.flatMap(vault.open(grantOwner(grantId), secret), revokeAtGoogle)
          if (isRevoked) return yield* erasures.settleRevocation(id, "revoked")
          if (isLast) yield* erasures.settleRevocation(id, "failed")
        },
        // Its key is configured no more, and will not be again.
        (effect, { id }) => Effect.catchTag(effect, "VaultError", () => erasures.settleRevocation(id, "failed")),
      )

      const revokeAll = Effect.gen(function* () {
        while (true) {
          const claimed = yield* erasures.claimRevocations(revocationsAtOnce)
          yield* Effect.forEach(claimed, revoke, { concurrency: 5, discard: true })
          if (claimed.length < revocationsAtOnce) return
        }
      })

      // Others have the database in between.
      const purgeAll = Effect.gen(function* () {
        while (yield* erasures.purgeSome) yield* Effect.sleep("20 millis")
      })

      return Erasing.of({ work: Effect.andThen(revokeAll, purgeAll) })
    }),
  )
}
