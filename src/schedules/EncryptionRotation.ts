/** Works on a rotation of the encryption key, once somebody has asked for one, and takes over one that was broken off. */
import { Effect, Layer, Schedule } from "effect"
import { RotateEncryption } from "../programs/RotateEncryption.ts"

/** How soon one is begun: a short query in that time. */
const glance = "1 second"

export const layer: Layer.Layer<never, never, RotateEncryption> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { work } = yield* RotateEncryption
    yield* work.pipe(
      Effect.catchCause((cause) =>
        Effect.logError("the rotation of the encryption key was broken off; it is gone on with", cause)
      ),
      Effect.repeat(Schedule.spaced(glance)),
      Effect.forkScoped,
    )
  }),
)
