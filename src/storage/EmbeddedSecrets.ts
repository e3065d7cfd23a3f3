/** Keys that the embedded mode makes for itself, once, in files that only their owner can read. */
import { Effect, Layer, Option, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { Settings, SettingsError, type SettingsValues } from "../domain/Settings.ts"
import { howToMakeAKey } from "../oauth/ConfiguredKeys.ts"

/** The secret in `file`, made by `make` where there is none yet. Written aside and linked: a crash leaves all of it or nothing. */
const ownSecret = (folder: string, name: string, make: () => string): Effect.Effect<Redacted.Redacted, SettingsError> =>
  Effect.try({
    try: () => {
      const path = `${folder}/${name}`
      try {
        return Redacted.make(Deno.readTextFileSync(path).trim())
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error
      }
      Deno.mkdirSync(folder, { recursive: true, mode: 0o700 })
      const aside = `${path}.${crypto.randomUUID()}`
      const file = Deno.openSync(aside, { createNew: true, write: true, mode: 0o600 })
      file.writeSync(new TextEncoder().encode(make() + "\n"))
      file.syncSync()
      file.close()
      try {
        Deno.linkSync(aside, path)
      } catch (error) {
        // Another process was faster: its secret counts.
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error
      } finally {
        Deno.removeSync(aside)
      }
      return Redacted.make(Deno.readTextFileSync(path).trim())
    },
    catch: () =>
      new SettingsError({
        variable: "MAILFLEET_DATA_DIR",
        message: `MAILFLEET_DATA_DIR must be a folder that can be written: ${folder}/${name} cannot be`,
      }),
  })

const keysFile = "encryption.keys"

const madeBefore = (folder: string): boolean => {
  try {
    return Deno.statSync(`${folder}/${keysFile}`).isFile
  } catch {
    return false
  }
}

/** Settings with both keys: as set, or made in the data folder. With `DATABASE_URL` they must be set: processes share them. */
export const resolveSecrets = (settings: SettingsValues): Effect.Effect<SettingsValues, SettingsError> =>
  Effect.gen(function* () {
    if (Option.isSome(settings.databaseUrl)) {
      if (Option.isNone(settings.encryptionKeys) && Option.isNone(settings.keyCommand)) {
        return yield* missing("MAILFLEET_ENCRYPTION_KEYS", howToMakeAKey)
      }
      if (Option.isNone(settings.adminKey)) {
        return yield* missing("MAILFLEET_ADMIN_KEY", `make one with: echo "mf_$(openssl rand -hex 24)"`)
      }
      return settings
    }
    // A key that was made before a command was set goes on opening what it sealed.
    const own = Option.isNone(settings.keyCommand) || madeBefore(settings.dataDir)
    const encryptionKeys = Option.isSome(settings.encryptionKeys) || !own ? settings.encryptionKeys : Option.some(
      yield* ownSecret(settings.dataDir, keysFile, () => `k1:${randomBytes(32).toString("base64")}`),
    )
    const adminKey = Option.isSome(settings.adminKey) ? settings.adminKey : Option.some(
      yield* ownSecret(settings.dataDir, "admin.key", () => `mf_${Buffer.from(randomBytes(24)).toString("hex")}`),
    )
    return { ...settings, encryptionKeys, adminKey }
  })

const missing = (variable: string, how: string) =>
  new SettingsError({ variable, message: `${variable} must be set together with DATABASE_URL; ${how}` })

/** The settings of the environment, with keys. `overrides` win. */
export const layerSettings = (overrides: Partial<SettingsValues> = {}): Layer.Layer<Settings, SettingsError> =>
  Layer.effect(Settings, Effect.flatMap(Settings, resolveSecrets)).pipe(Layer.provide(Settings.layerWith(overrides)))
