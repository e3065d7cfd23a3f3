/** Tells operators what concerns more than one account: an event that is kept, and one line in the log. */
import { Effect, Layer, Stream } from "effect"
import type { EventKind } from "../domain/Event.ts"
import { AppBreaker, type AppTransition, subjectOf } from "../pacing/AppBreaker.ts"
import { ReauthSpike, type Spike } from "../pacing/ReauthSpike.ts"
import { Events } from "../storage/Events.ts"
import { Reattempts } from "../storage/grants/Reattempts.ts"

/** Longer than the lease of a grant (20 s): by then each verdict of before the spike is stored, or void. */
const settled = "30 seconds"

export const layer: Layer.Layer<never, never, AppBreaker | Events | ReauthSpike | Reattempts> = Layer.effectDiscard(
  Effect.gen(function* () {
    const breaker = yield* AppBreaker
    const spike = yield* ReauthSpike
    const events = yield* Events
    const reattempts = yield* Reattempts

    const tell = Effect.fnUntraced(function* (
      log: typeof Effect.logInfo,
      event: { readonly kind: EventKind; readonly subject: string; readonly code?: string; readonly message: string },
    ) {
      const { message, ...about } = event
      yield* log(message, about)
      yield* events.record(event)
    }, Effect.catchCause((cause) => Effect.logError("an event for operators could not be stored", cause)))

    const tellTransition = ({ app, error, state }: AppTransition) =>
      state === "closed"
        ? tell(Effect.logInfo, {
          kind: "app.recovered",
          subject: subjectOf(app),
          message: "the app's requests are sent again: the provider takes it, or its secret was replaced",
        })
        : tell(Effect.logError, {
          kind: "app.faulted",
          subject: subjectOf(app),
          ...(error?.providerCode === undefined ? {} : { code: error.providerCode }),
          message:
            `nothing is sent for this app until the provider takes it again, its accounts are left as they are: ${
              error?.message ?? "the provider refuses it"
            }`,
        })

    const lookAgain = (spike: Extract<Spike, { readonly state: "begun" }>) =>
      Effect.sleep(settled).pipe(
        Effect.andThen(reattempts.soon(spike.grants)),
        Effect.catchCause((cause) =>
          Effect.logError("grants that may have been wronged are not looked at soon", cause)
        ),
        Effect.forkScoped,
      )

    const tellSpike = (spike: Spike) =>
      spike.state === "ended"
        ? tell(Effect.logInfo, {
          kind: "reauth.spike_ended",
          subject: "fleet",
          message: "few grants are refused again: the provider's word on a grant is believed at once",
        })
        : Effect.andThen(
          lookAgain(spike),
          tell(Effect.logWarning, {
            kind: "reauth.spike",
            subject: "fleet",
            message:
              "a quarter of the grants are refused all at once: accounts become needs_reauth only after confirmation. Look at the provider's status page, and at what was changed last in the apps and their tenants",
          }),
        )

    // Subscribed before anything can be missed.
    yield* Effect.forkScoped(Stream.runForEach(breaker.transitions, tellTransition), { startImmediately: true })
    yield* Effect.forkScoped(Stream.runForEach(spike.spikes, tellSpike), { startImmediately: true })
  }),
)
