/** Sends what there is for one webhook, as long as the webhook is this process's. */
import { Context, Duration, Effect, FiberSet, Layer, Metric, Option, Queue, Random } from "effect"
import { monotonicMillis } from "../../domain/Monotonic.ts"
import type { Event } from "../../domain/Event.ts"
import { Settings } from "../../domain/Settings.ts"
import { Vault } from "../../oauth/Vault.ts"
import { Reconnects } from "../../storage/grants/Reconnects.ts"
import type { LoadedDelivery } from "../../storage/webhooks/DeliveryContent.ts"
import { type ClaimedWebhook, WebhookOutbox } from "../../storage/webhooks/WebhookOutbox.ts"
import { webhookOwner } from "../../storage/webhooks/Webhooks.ts"
import { ReconnectLinks } from "../ReconnectLinks.ts"
import { backoffMillis, ReceiverHealth } from "./ReceiverHealth.ts"
import { type Head, WebhookLanes } from "./WebhookLanes.ts"
import { bodyOf } from "./WebhookMessages.ts"
import { type SendOutcome, WebhookSender } from "./WebhookSender.ts"

/** Deliveries of one webhook that wait, at most: the rest stays in the log. In memory each takes some hundred bytes. */
const mostWaiting = 10_000

/** How long the session rests where there is nothing to do. */
const rest = Duration.millis(100)

/** What is on its way when the process ends has this long to arrive, so that it is not sent twice. */
const grace = Duration.seconds(5)

const deliveries = Metric.counter("mailfleet_webhook_deliveries_total", {
  description: "Attempts to deliver to webhooks, by what came of them",
  incremental: true,
})

interface Sent {
  readonly head: Head
  readonly attempts: number
  readonly began: number
  readonly outcome: SendOutcome
}

export class WebhookSession extends Context.Service<WebhookSession, {
  /**
   * Sends until the webhook is disabled, deleted, changed or taken over.
   *
   * @param isHeld whether our lease is certain to last: nothing is sent otherwise
   */
  readonly run: (claimed: ClaimedWebhook, isHeld: Effect.Effect<boolean>) => Effect.Effect<void>
}>()("mailfleet/programs/WebhookSession") {
  static readonly layer: Layer.Layer<
    WebhookSession,
    never,
    ReconnectLinks | Reconnects | Settings | Vault | WebhookOutbox | WebhookSender
  > = Layer.effect(
    WebhookSession,
    Effect.gen(function* () {
      const outbox = yield* WebhookOutbox
      const sender = yield* WebhookSender
      const vault = yield* Vault
      const links = yield* ReconnectLinks
      const reconnects = yield* Reconnects
      const { webhookConcurrency, webhookRetryAfter, webhookRetryFor } = yield* Settings

      const withLink = Effect.fnUntraced(function* (event: Event) {
        if (event.kind !== "account.needs_reauth") return event
        const page = yield* links.ofEvents({ items: [event] }, yield* reconnects.unattended([event.subject]))
        return page.items[0]!
      })

      const attempt = Effect.fnUntraced(
        function* (claimed: ClaimedWebhook, delivery: LoadedDelivery): Effect.fn.Return<SendOutcome> {
          const opened = yield* Effect.result(
            Effect.forEach(delivery.secrets, (sealed) => vault.open(webhookOwner(claimed.id), sealed)),
          )
          if (opened._tag === "Failure") return unsent(opened.failure.message)
          const body = yield* bodyOf(delivery, withLink)
          return yield* sender.send({ url: delivery.url, secrets: opened.success }, { id: delivery.messageId, body })
        },
        Effect.catchCause((cause) =>
          Effect.as(
            Effect.logError("a webhook could not be sent", cause),
            unsent("a fault of this server: see its log"),
          )
        ),
      )

      const run = Effect.fnUntraced(function* (claimed: ClaimedWebhook, isHeld: Effect.Effect<boolean>) {
        const sent = yield* Queue.unbounded<Sent>()
        const sending = yield* FiberSet.make<void>()
        const lanes = new WebhookLanes()
        const begin = yield* monotonicMillis
        const health = new ReceiverHealth(
          { failures: claimed.failures, pausedUntil: begin + claimed.pausedMillis },
          webhookRetryAfter,
        )
        let onTheWay = 0
        lanes.add(yield* outbox.waiting(claimed), begin)

        /** Stores what came of attempts. False = the webhook has been disabled for it. */
        const settle = Effect.fnUntraced(function* (batch: ReadonlyArray<Sent>) {
          const now = yield* monotonicMillis
          let recovered = false
          const attempts = []
          for (const { attempts: before, began, head, outcome } of batch) {
            onTheWay--
            yield* Metric.update(Metric.withAttributes(deliveries, { outcome: nameOf(outcome) }), 1)
            if (outcome.delivered) {
              recovered = health.succeeded() || recovered
              attempts.push({ ...outcome, id: head.id, waitMillis: 0 })
              continue
            }
            const asked = Option.match(outcome.retryAfter, { onNone: () => 0, onSome: Duration.toMillis })
            health.failed(head.lane, began, now, yield* Random.next, asked)
            const wait = Math.max(asked, backoffMillis(before + 1, webhookRetryAfter, yield* Random.next))
            attempts.push({ ...outcome, id: head.id, waitMillis: wait })
          }
          const receiver = { failures: health.failures, pausedMillis: health.pausedMillis(now), recovered }
          // Before the next of a lane is sent: whatever ends this process, no more than the last of each is sent again.
          const { exhausted } = yield* outbox.record(claimed, attempts, receiver, webhookRetryFor)
          for (const [index, { delivered, waitMillis }] of attempts.entries()) {
            const { lane } = batch[index]!.head
            if (delivered) lanes.done(lane)
            else lanes.retry(lane, now + waitMillis)
          }
          if (recovered) lanes.retryAll()
          const gone = batch.some(({ outcome }) => outcome.gone)
          if (!gone && !exhausted) return true
          const last = batch.findLast(({ outcome }) => !outcome.delivered)?.outcome.error ?? "nothing arrives"
          const reason = gone
            ? last
            : `for ${Duration.format(webhookRetryFor)} something could not be delivered: ${last}`
          yield* outbox.disable(claimed, reason)
          yield* Effect.logWarning("a webhook was disabled", { webhook: claimed.id, reason })
          return false
        })

        const sendNext = Effect.fnUntraced(function* () {
          const now = yield* monotonicMillis
          const heads = lanes.take(Math.max(0, health.allowed(webhookConcurrency, now) - onTheWay), now)
          if (heads.length === 0) return
          const loaded = new Map(
            (yield* outbox.load(claimed, heads.map(({ id }) => id))).map((delivery) => [delivery.id, delivery]),
          )
          for (const head of heads) {
            const delivery = loaded.get(head.id)
            if (delivery === undefined) {
              lanes.done(head.lane)
              continue
            }
            onTheWay++
            yield* FiberSet.run(
              sending,
              Effect.flatMap(
                attempt(claimed, delivery),
                (outcome) => Queue.offer(sent, { head, attempts: delivery.attempts, began: now, outcome }),
              ),
            )
          }
        })

        /** What has arrived meanwhile; where there is nothing to do, a rest for it to arrive. */
        const arrived = (busy: boolean) =>
          busy ? Queue.clear(sent) : Effect.map(
            Effect.timeoutOption(Queue.takeAll(sent), rest),
            Option.getOrElse((): ReadonlyArray<Sent> => []),
          )

        const work = Effect.gen(function* () {
          let complete = false
          let seen: unknown
          while (true) {
            const batch = yield* arrived(!complete && lanes.size < mostWaiting)
            if (batch.length > 0 && !(yield* settle(batch))) return
            const view = yield* outbox.glance
            const ours = view.get(claimed.id)
            if (ours === undefined || ours.fence !== claimed.fence) return
            // Once for each glance, and on and on where the log has more.
            if (seen !== view && ours.news) complete = false
            seen = view
            if (!complete && lanes.size < mostWaiting) {
              const taken = yield* outbox.take(claimed)
              lanes.add(taken.queued, yield* monotonicMillis)
              complete = taken.complete
            }
            if (yield* isHeld) yield* sendNext()
          }
        })

        const finish = Effect.gen(function* () {
          while (onTheWay > 0) yield* settle(yield* Queue.takeAll(sent))
        })

        yield* Effect.onInterrupt(work, () => Effect.ignoreCause(Effect.timeoutOption(finish, grace)))
      }, Effect.scoped)

      return WebhookSession.of({ run })
    }),
  )
}

const unsent = (error: string): SendOutcome => ({
  delivered: false,
  status: null,
  error,
  milliseconds: 0,
  gone: false,
  retryAfter: Option.none(),
})

const nameOf = ({ delivered, status }: SendOutcome): string =>
  delivered ? "delivered" : status === null ? "unreachable" : "refused"
