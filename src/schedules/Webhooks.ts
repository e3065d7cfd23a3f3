/** Sends what happens to webhooks, for ever: each webhook by one process. */
import { Effect, Fiber, Layer } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { WebhookSession } from "../programs/webhooks/WebhookSession.ts"
import { type ClaimedWebhook, leaseSeconds, WebhookOutbox } from "../storage/webhooks/WebhookOutbox.ts"
import type { WebhookId } from "../domain/Webhook.ts"
import { always } from "./always.ts"

/** Webhooks that one process sends for at once. */
const most = 1_000

/** A lease is not certain any more this long before its end. */
const marginMillis = 2_000

const renewEvery = "5 seconds"

interface Held {
  readonly claimed: ClaimedWebhook
  /** By our clock, since before we asked for it: no later than by that of the database. */
  heldUntil: number
  fiber?: Fiber.Fiber<void>
}

export const layer: Layer.Layer<never, never, WebhookOutbox | WebhookSession> = Layer.effectDiscard(
  Effect.gen(function* () {
    const outbox = yield* WebhookOutbox
    const session = yield* WebhookSession
    const scope = yield* Effect.scope
    const all = new Map<WebhookId, Held>()

    const sessionOf = (held: Held) =>
      session.run(held.claimed, Effect.map(monotonicMillis, (now) => now < held.heldUntil)).pipe(
        Effect.catchCause((cause) =>
          Effect.logError("sending to a webhook stopped unexpectedly; it begins again", cause, {
            webhook: held.claimed.id,
          })
        ),
        Effect.ensuring(Effect.ignoreCause(outbox.release(held.claimed))),
        Effect.ensuring(Effect.sync(() => {
          if (all.get(held.claimed.id) === held) all.delete(held.claimed.id)
        })),
      )

    const until = Effect.map(monotonicMillis, (now) => now + leaseSeconds * 1_000 - marginMillis)

    // `always` waits a second in between.
    const claim = Effect.gen(function* () {
      const heldUntil = yield* until
      for (const claimed of yield* outbox.claim(most - all.size)) {
        const held: Held = { claimed, heldUntil }
        all.set(claimed.id, held)
        held.fiber = yield* Effect.forkIn(sessionOf(held), scope)
      }
    })

    const renew = Effect.gen(function* () {
      yield* Effect.sleep(renewEvery)
      const heldUntil = yield* until
      const mine = [...all.values()]
      const kept = mine.length === 0 ? new Set() : yield* outbox.renew(mine.map(({ claimed }) => claimed))
      for (const held of mine) {
        if (kept.has(held.claimed.id)) held.heldUntil = heldUntil
        else if (held.fiber !== undefined) yield* Effect.forkIn(Fiber.interrupt(held.fiber), scope)
      }
    })

    yield* Effect.forkScoped(always("taking up webhooks", claim))
    yield* Effect.forkScoped(always("keeping webhooks", renew))
  }),
)
