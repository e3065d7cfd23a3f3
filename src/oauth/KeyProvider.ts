/** What wraps the data keys, so that they can be stored: a configured key, or a command. */
import { Context, Effect, Layer, Option } from "effect"
import { Settings, type SettingsError } from "../domain/Settings.ts"
import { openWith, sealingKey, sealWith } from "./Cipher.ts"
import { commandIsFirst, configuredKeys } from "./ConfiguredKeys.ts"
import { runKeyCommand } from "./KeyCommand.ts"
import { KeyProviderError } from "./KeyProviderError.ts"

/** What keys that the command wraps are said to be wrapped by: no id of a configured key has a colon. */
export const byCommand = ":command"

/** As people know it. */
export const nameOf = (by: string): string => by === byCommand ? "the command" : by

/** The owner of data keys, as the cipher knows it. */
const owner = "data-key"

export class KeyProvider extends Context.Service<KeyProvider, {
  /** What it wraps by: the id of the first configured key, or {@link byCommand}. */
  readonly current: string
  /** Whether it unwraps what was wrapped by this. */
  readonly holds: (by: string) => boolean
  readonly wrap: (key: Uint8Array) => Effect.Effect<Uint8Array, KeyProviderError>
  readonly unwrap: (by: string, wrapped: Uint8Array) => Effect.Effect<Uint8Array, KeyProviderError>
}>()("mailfleet/oauth/KeyProvider") {
  /** The command where one is set and no key stands before it, else the first configured key. The others go on unwrapping. */
  static readonly layer: Layer.Layer<KeyProvider, SettingsError, Settings> = Layer.effect(
    KeyProvider,
    Effect.gen(function* () {
      const settings = yield* Settings
      const keys = (yield* configuredKeys(settings)).map(({ bytes, id }) => sealingKey(1, id, bytes))
      const program = Option.getOrUndefined(settings.keyCommand)
      const current = commandIsFirst(settings) ? byCommand : keys[0]!.id
      return KeyProvider.of({
        current,
        holds: (by) => by === byCommand ? program !== undefined : keys.some(({ id }) => id === by),
        wrap: (key) =>
          program !== undefined && current === byCommand
            ? runKeyCommand(program, "wrap", key)
            : Effect.sync(() => sealWith(keys[0]!, owner, owner, key)),
        unwrap: (by, wrapped) => {
          if (by === byCommand && program !== undefined) return runKeyCommand(program, "unwrap", wrapped)
          const key = keys.find(({ id }) => id === by)
          return key === undefined ? Effect.fail(new KeyProviderError({ message: lacking([by]) })) : Effect.try({
            try: () => openWith(key, owner, owner, wrapped),
            catch: () =>
              new KeyProviderError({
                message:
                  `the key ${by} of MAILFLEET_ENCRYPTION_KEYS is another one than that which stored secrets need`,
              }),
          })
        },
      })
    }),
  )
}

/** One line that says which keys are missing. */
export const lacking = (by: ReadonlyArray<string>): string => {
  const ids = by.filter((id) => id !== byCommand)
  return [
    ...(ids.length === 0 ? [] : [
      `MAILFLEET_ENCRYPTION_KEYS lacks ${
        ids.join(", ")
      }, which stored secrets need: put it back behind the current key, until a rotation of the encryption key has completed`,
    ]),
    ...(ids.length === by.length ? [] : ["MAILFLEET_KEY_COMMAND must be set: it wraps the keys of stored secrets"]),
  ].join("; ")
}
