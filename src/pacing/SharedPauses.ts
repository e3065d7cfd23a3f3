/** Where the processes of a cluster tell each other of pauses that a provider asks for. Kept by storage. */
import { Context, type Effect } from "effect"

/** Nobody sends under `key` for `millis` from now. */
export interface Pause {
  readonly key: string
  readonly millis: number
}

export class SharedPauses extends Context.Service<SharedPauses, {
  /** A longer pause of the key that is on already stays. */
  readonly add: (pause: Pause) => Effect.Effect<void>
  /** The pauses that are on now, whichever process was asked for them. */
  readonly all: Effect.Effect<ReadonlyArray<Pause>>
}>()("mailfleet/pacing/SharedPauses") {}
