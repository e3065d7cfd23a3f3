/** The configured concurrency of each kind of work, shared by everything of that kind in this process. */
import { Context, Effect, Layer, Semaphore } from "effect"
import type { RunKind } from "../domain/Run.ts"
import { Settings } from "../domain/Settings.ts"

export interface Lane {
  readonly concurrency: number
  readonly permits: Semaphore.Semaphore
}

export class Concurrency extends Context.Service<Concurrency, Readonly<Record<RunKind | "backgroundRefresh", Lane>>>()(
  "mailfleet/programs/Concurrency",
) {
  static readonly layer: Layer.Layer<Concurrency, never, Settings> = Layer.effect(
    Concurrency,
    Effect.gen(function* () {
      const settings = yield* Settings
      const lane = (concurrency: number) =>
        Effect.map(Semaphore.make(concurrency), (permits): Lane => ({ concurrency, permits }))
      return Concurrency.of({
        import: yield* lane(settings.importConcurrency),
        refresh: yield* lane(settings.refreshConcurrency),
        // Requested and scheduled syncs together.
        sync: yield* lane(settings.syncConcurrency),
        backgroundRefresh: yield* lane(settings.backgroundRefreshConcurrency),
      })
    }),
  )
}
