import { Context, Effect, Layer, RcMap, Semaphore } from "effect"

/** Microsoft Graph runs at most 4 requests of one app in one mailbox at a time (throttling limits, Outlook service). */
const concurrentRequests = 4

/** At most 4 requests at once for a mailbox, whoever sends them. Keys as `mailboxKey` makes them. */
export class MailboxLimiter extends Context.Service<MailboxLimiter, {
  readonly limit: (key: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}>()("mailfleet/pacing/MailboxLimiter") {
  static readonly layer: Layer.Layer<MailboxLimiter> = Layer.effect(
    MailboxLimiter,
    Effect.gen(function* () {
      const semaphores = yield* RcMap.make({
        lookup: (_key: string) => Semaphore.make(concurrentRequests),
        idleTimeToLive: "1 minute",
      })
      return MailboxLimiter.of({
        limit: (key) => (effect) =>
          Effect.scoped(Effect.flatMap(RcMap.get(semaphores, key), (semaphore) => semaphore.withPermit(effect))),
      })
    }),
  )
}
