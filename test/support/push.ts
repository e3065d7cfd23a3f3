/** Storage of push, with keys. */
import { Layer, Option, Redacted } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { Notifications } from "../../src/storage/mail/Notifications.ts"
import { Subscriptions } from "../../src/storage/mail/Subscriptions.ts"

export const pushStorage = Layer.merge(Notifications.layer, Subscriptions.layer).pipe(
  Layer.provide(Layer.orDie(Vault.layerConfigured)),
  Layer.provide(
    Layer.orDie(Settings.layerWith({ encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)) })),
  ),
)
