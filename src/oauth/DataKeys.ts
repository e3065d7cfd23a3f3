/** The port to where data keys are kept, wrapped. `storage/DataKeys.ts` implements it. */
import { Context, type Effect } from "effect"

/**
 * - `seal`: a data key; the newest one seals, all open
 * - `lookup`: what tokens are hashed and links authenticated by; the oldest one counts, all are looked up by
 * - `direct`: values may have been sealed by the configured key of this id itself; it is not stored
 */
export type DataKeyUse = "seal" | "lookup" | "direct"

export interface StoredKey {
  readonly id: string
  readonly use: DataKeyUse
  /** Undefined of `direct`. */
  readonly wrapped: Uint8Array | undefined
  readonly wrappedBy: string | undefined
}

/** Those of a database that has none yet. */
export interface FirstKeys {
  readonly lookup: ReadonlyArray<Omit<StoredKey, "use">>
  readonly direct: ReadonlyArray<string>
  readonly seal: { readonly wrapped: Uint8Array; readonly wrappedBy: string } | undefined
}

/** No call is part of a transaction that its caller is in. */
export class DataKeys extends Context.Service<DataKeys, {
  /** In the order in which they were made. */
  readonly list: Effect.Effect<ReadonlyArray<StoredKey>>
  /** Grows with each key that is added: whether there is something to be read. */
  readonly newest: Effect.Effect<number>
  /** Whether nothing was ever sealed here. */
  readonly isFresh: Effect.Effect<boolean>
  /** Stores them unless another process was faster. */
  readonly begin: (keys: FirstKeys) => Effect.Effect<void>
  /** Stores a new one that seals, and answers with its id. */
  readonly add: (wrapped: Uint8Array, wrappedBy: string) => Effect.Effect<string>
}>()("mailfleet/oauth/DataKeys") {}
