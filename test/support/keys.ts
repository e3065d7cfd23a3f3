/** The keys and the rotation of one process, with settings of its own, on the database that all share. */
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { RotateEncryption } from "../../src/programs/RotateEncryption.ts"
import { layerDataKeys } from "../../src/storage/encryption/DataKeys.ts"
import { Rotations } from "../../src/storage/encryption/Rotations.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { layerGrantStore } from "../../src/storage/grants/Grants.ts"
import { ImportStaging } from "../../src/storage/runs/ImportStaging.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"

/** The setting `k1:…,k2:…` of keys that their names make. */
export const keysOf = (...ids: ReadonlyArray<string>): string =>
  ids.map((id) => `${id}:${btoa(id.padEnd(32, "-"))}`).join(",")

const settings = (keys: string, command: string | undefined) =>
  Layer.orDie(Settings.layerWith({
    databaseUrl: Option.none(),
    encryptionKeys: keys === "" ? Option.none() : Option.some(Redacted.make(keys)),
    keyCommand: Option.fromUndefinedOr(command),
  }))

const stores = Layer.mergeAll(
  RotateEncryption.layer,
  Accounts.layer,
  layerGrantStore,
  ImportStaging.layer.pipe(Layer.provideMerge(Runs.layer)),
).pipe(Layer.provideMerge(Rotations.layer))

/** As a process that was started with these keys has them. */
export const processWith = (keys: string, command?: string) =>
  Layer.build(Layer.fresh(
    stores.pipe(
      Layer.provideMerge(Vault.layer),
      Layer.provideMerge(layerDataKeys),
      Layer.provideMerge(settings(keys, command)),
    ),
  ))

/** As one of an older version has them, which knows of no data keys. */
export const olderProcessWith = (keys: string) =>
  Layer.build(Layer.fresh(
    Layer.mergeAll(
      Accounts.layer,
      layerGrantStore,
      ImportStaging.layer.pipe(Layer.provideMerge(Runs.layer)),
    ).pipe(Layer.provideMerge(Vault.layerConfigured), Layer.provideMerge(settings(keys, undefined))),
  ))

/** Rotates to the end in the process of `context`. */
export const rotate = (context: Context.Context<RotateEncryption>) =>
  Effect.gen(function* () {
    const { begin, progress, work } = Context.get(context, RotateEncryption)
    yield* begin
    yield* work
    return yield* progress
  })
