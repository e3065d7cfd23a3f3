/** Works off what providers have told by themselves: makes the accounts due, and measures how soon a round has followed. */
import { Duration, Effect, Layer, Metric } from "effect"
import { Notifications } from "../storage/mail/Notifications.ts"
import { always } from "./always.ts"

/** Notifications that are worked off in one statement. */
const atOnce = 500

/** How soon what came by way of another process is seen, or what waits for the end of a round. */
const glance = Duration.millis(250)

const rounds = Metric.histogram("mailfleet_notification_round_seconds", {
  description: "From a notification to the end of the round that it led to",
  boundaries: [0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900],
})

export const layer: Layer.Layer<never, never, Notifications> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { arrival, drain, finish } = yield* Notifications
    const work = Effect.gen(function* () {
      while (true) {
        const drained = yield* drain(atOnce)
        if (drained < atOnce) yield* Effect.raceFirst(Effect.sleep(glance), arrival)
      }
    })
    const measure = Effect.flatMap(
      finish,
      Effect.forEach((seconds) => Metric.update(rounds, seconds), { discard: true }),
    )
    yield* Effect.forkScoped(always("working off notifications", work))
    // It waits a second in between by itself.
    yield* Effect.forkScoped(always("forgetting notifications", measure))
  }),
)
