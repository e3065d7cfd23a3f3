/** Works on a rotation of the encryption key, once somebody has asked for one, and takes over one that was broken off. */
import { Effect, Layer, Schedule } from "effect"
import { RotateEncryption } from "../programs/RotateEncryption.ts"

/** How soon one is begun: a short query in that time. */
const glance = "1 second"
const pause = "5 seconds"

export const layer: Layer.Layer<never, never, RotateEncryption> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { work } = yield* RotateEncryption
    yield* work.pipe(
      Effect.catchCause((cause) =>
        Effect.andThen(
          Effect.logError("rotations of the encryption key cannot be worked on; tried again", cause),
          Effect.sleep(pause),
        )
      ),
      Effect.repeat(Schedule.spaced(glance)),
      Effect.forkScoped,
    )
  }),
)
