/** What is to be done now and then: sweeping what nobody will come back for, and finishing what was broken off. */
import { Effect, Layer, Schedule } from "effect"
import { ImportStaging } from "../storage/ImportStaging.ts"
import { Policies } from "../storage/Policies.ts"
import { Sweeps } from "../storage/Sweeps.ts"

export const layer: Layer.Layer<never, never, ImportStaging | Policies | Sweeps> = Layer.effectDiscard(
  Effect.gen(function* () {
    const staging = yield* ImportStaging
    const policies = yield* Policies
    const sweeps = yield* Sweeps
    yield* Effect.forEach(
      [
        ["broken uploads", staging.sweep],
        ["changes of tag policies", policies.followUnfinished],
        ["hashes of past tokens", sweeps.tokenHashes],
        ["access tokens that have ended", sweeps.accessTokens],
        ["old events and audit entries", sweeps.records],
      ] as const,
      ([what, duty]) =>
        Effect.catchCause(
          Effect.asVoid<unknown, never, never>(duty),
          (cause) => Effect.logError(`housekeeping of ${what} failed; tried again in a minute`, cause),
        ),
      { discard: true },
    ).pipe(Effect.repeat(Schedule.spaced("1 minute")), Effect.forkScoped)
  }),
)
