/** Sweeps what nobody will come back for: broken uploads, tokens long dead or expired, records past their time. */
import { Duration, Effect, Layer, Schedule } from "effect"
import { ImportStaging } from "../storage/ImportStaging.ts"
import { Sweeps } from "../storage/Sweeps.ts"

export const layer: Layer.Layer<never, never, ImportStaging | Sweeps> = Layer.effectDiscard(Effect.gen(function* () {
  const staging = yield* ImportStaging
  const sweeps = yield* Sweeps
  yield* Effect.gen(function* () {
    yield* staging.sweep
    yield* sweeps.tokens
    yield* sweeps.records
  }).pipe(
    Effect.catchCause((cause) => Effect.logError("housekeeping failed; tried again in a minute", cause)),
    Effect.repeat(Schedule.spaced(Duration.minutes(1))),
    Effect.forkScoped,
  )
}))
