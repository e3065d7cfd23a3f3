/**
 * Has Google publish what happens in every mailbox that is read by the Gmail API, to the topic that the settings name. Asking again
 * is harmless and prolongs it: so a process may die anywhere.
 */
import { Duration, Effect, Layer, Option, Random, Redacted } from "effect"
import { randomBytes } from "node:crypto"
import { Settings } from "../domain/Settings.ts"
import { GmailWatch } from "../mail/gmail/GmailWatch.ts"
import { type DueSubscription, Subscriptions } from "../storage/mail/Subscriptions.ts"
import type { Cluster } from "./Cluster.ts"
import { keepSubscriptions } from "./keepSubscriptions.ts"

const hour = Duration.toMillis("1 hour")

/** Google ends it after seven days and tells nobody; it advises to ask daily. */
const renewalAfter = Random.nextBetween(18 * hour, 24 * hour)

export const layer: Layer.Layer<never, never, Cluster | GmailWatch | Settings | Subscriptions> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { gmailTopic } = yield* Settings
    const remote = yield* GmailWatch
    const subscriptions = yield* Subscriptions
    if (Option.isNone(gmailTopic)) return
    const topic = gmailTopic.value

    const keep = Effect.fn("GmailPush.keep")(function* (due: DueSubscription) {
      const { account, remoteId } = due
      if (!due.active) return yield* subscriptions.postpone(account.id, hour)
      if (!due.wanted) {
        if (remoteId !== null) yield* Effect.ignore(remote.stop(account))
        return yield* subscriptions.remove(account.id)
      }
      const isThere = remoteId !== null && due.notificationUrl === topic
      if (!isThere) {
        // Google proves itself by the token of the topic's subscription, not by a secret of each mailbox.
        const clientState = Redacted.make(randomBytes(32).toString("base64url"))
        yield* subscriptions.begin(account.id, { clientState, resource: "gmail", notificationUrl: topic })
      }
      const { expiresAt } = yield* remote.watch(account, topic)
      // A mailbox is watched or it is not: there is no id.
      const kept = { id: `gmail ${account.id}`, expiresAt, dueInMillis: yield* renewalAfter }
      yield* isThere ? subscriptions.renewed(account.id, kept) : subscriptions.made(account.id, kept)
    })

    yield* keepSubscriptions({ provider: "google", keep })
  }),
)
