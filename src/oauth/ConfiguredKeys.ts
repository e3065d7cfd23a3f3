/** The keys of `MAILFLEET_ENCRYPTION_KEYS`. */
import { Effect, Option, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { SettingsError, type SettingsValues } from "../domain/Settings.ts"
import { keyBytes } from "./Cipher.ts"

export interface ConfiguredKey {
  readonly id: string
  readonly bytes: Uint8Array
}

/** How to make a key; shown wherever one is missing or wrong. */
export const howToMakeAKey = `make one with: echo "k1:$(openssl rand -base64 32)"`

const wrong = (message: string) =>
  new SettingsError({
    variable: "MAILFLEET_ENCRYPTION_KEYS",
    message: `MAILFLEET_ENCRYPTION_KEYS ${message}; ${howToMakeAKey}`,
  })

/** Stands for the command among the keys. */
const commandWord = "command"

const partsOf = (encryptionKeys: SettingsValues["encryptionKeys"]): ReadonlyArray<string> =>
  Option.match(encryptionKeys, { onNone: () => [], onSome: (keys) => Redacted.value(keys).split(",") })

/** Whether the command wraps new keys: it does where it is set, unless a key stands before the word for it. */
export const commandIsFirst = ({ encryptionKeys, keyCommand }: KeySettings): boolean =>
  Option.isSome(keyCommand) && partsOf(encryptionKeys).findIndex((part) => part.trim() === commandWord) <= 0

type KeySettings = Pick<SettingsValues, "encryptionKeys" | "keyCommand">

/** The current one first. Empty only where a command wraps the keys. */
export const configuredKeys = Effect.fnUntraced(function* (
  { encryptionKeys, keyCommand }: KeySettings,
): Effect.fn.Return<ReadonlyArray<ConfiguredKey>, SettingsError> {
  if (Option.isNone(encryptionKeys)) {
    return Option.isSome(keyCommand) ? [] : yield* wrong("must be set together with DATABASE_URL")
  }
  const keys: Array<ConfiguredKey> = []
  for (const part of partsOf(encryptionKeys)) {
    if (Option.isSome(keyCommand) && part.trim() === commandWord) continue
    const match = /^\s*([\w.-]{1,64}):([A-Za-z0-9+/_-]{43}=?)\s*$/.exec(part)
    const bytes = match === null ? undefined : Buffer.from(match[2]!, "base64")
    if (match === null || bytes === undefined || bytes.length !== keyBytes) {
      return yield* wrong("must be id:base64-of-32-bytes, several separated by commas")
    }
    if (keys.some((key) => key.id === match[1])) return yield* wrong("names one id twice")
    keys.push({ id: match[1]!, bytes })
  }
  return keys
})
