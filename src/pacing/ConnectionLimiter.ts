/** How many connections one mailbox bears at a time, whoever in this process opens them. */
import { Context, Effect, Layer, RcMap, type Scope, Semaphore } from "effect"
import { codeOf } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"

/**
 * One that reads and one that waits for news. Gmail bears 15 for all clients of a mailbox together; Outlook names no number,
 * and 2 to 3 are known to go well (provider-facts E6).
 */
const connections = 2

/** Both may be taken for the length of a first listing: whoever comes then is told to come again. */
const patience = "20 seconds"

export class ConnectionLimiter extends Context.Service<ConnectionLimiter, {
  /** Takes one of the mailbox's connections for as long as the scope lives. Keys as `mailboxKey` makes them. */
  readonly take: (key: string) => Effect.Effect<void, ProviderError, Scope.Scope>
}>()("mailfleet/pacing/ConnectionLimiter") {
  static readonly layer: Layer.Layer<ConnectionLimiter> = Layer.effect(
    ConnectionLimiter,
    Effect.gen(function* () {
      const semaphores = yield* RcMap.make({
        lookup: (_key: string) => Semaphore.make(connections),
        idleTimeToLive: "1 minute",
      })
      return ConnectionLimiter.of({
        take: Effect.fn("ConnectionLimiter.take")(function* (key) {
          const semaphore = yield* RcMap.get(semaphores, key)
          yield* Effect.acquireRelease(
            Semaphore.take(semaphore, 1).pipe(Effect.timeoutOrElse({ duration: patience, orElse: () => busy })),
            () => Semaphore.release(semaphore, 1),
            { interruptible: true },
          )
        }),
      })
    }),
  )
}

const busy = Effect.fail(
  new ProviderError({
    class: "throttled",
    code: codeOf.throttled,
    message: "both connections to this mailbox are in use; it is tried again",
    retryAfterMillis: 30_000,
    notSent: true,
  }),
)
