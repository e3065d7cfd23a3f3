/**
 * Waits for news of the mailboxes that were active last, over IMAP connections that stay open (IDLE, RFC 2177). News make
 * their account due; all others are found by their turn.
 */
import { Effect, FiberMap, Layer, Stream } from "effect"
import type { AccountId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { ImapIdle } from "../mail/imap/ImapIdle.ts"
import type { MailAccount } from "../mail/Mailbox.ts"
import { IdleWatches } from "../storage/mail/IdleWatches.ts"
import { Notifications } from "../storage/mail/Notifications.ts"
import { always } from "./always.ts"

/** How often it is looked which those are. Half of the time for which an account is watched without being claimed again. */
const look = "30 seconds"

export const layer: Layer.Layer<never, never, IdleWatches | ImapIdle | Notifications | Settings> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { imapIdle } = yield* Settings
    if (imapIdle === 0) return
    const idle = yield* ImapIdle
    const notifications = yield* Notifications
    const watches = yield* IdleWatches
    const watching = yield* FiberMap.make<AccountId>()
    const mine = Effect.sync(() => [...watching].map(([id]) => id))

    // Before the connections close, so that another process can take them over at once.
    yield* Effect.addFinalizer(() => Effect.flatMap(mine, watches.release))

    const watch = (account: MailAccount) =>
      Stream.runForEach(idle.watch(account), () => notifications.takeAccount(account.id)).pipe(
        Effect.catchTag("ProviderError", ({ code }) =>
          Effect.andThen(
            Effect.logDebug("no connection waits for news of an account", { accountId: account.id, code }),
            watches.failed(account.id),
          )),
        Effect.catchCause((cause) => Effect.logError("watching an account stopped unexpectedly", cause)),
      )

    const follow = Effect.gen(function* () {
      const before = yield* mine
      const accounts = yield* watches.claim(before, imapIdle)
      const wanted = new Set(accounts.map(({ id }) => id))
      for (const id of before) if (!wanted.has(id)) yield* FiberMap.remove(watching, id)
      for (const account of accounts) yield* FiberMap.run(watching, account.id, watch(account), { onlyIfMissing: true })
      yield* Effect.sleep(look)
    })

    yield* Effect.forkScoped(always("watching mailboxes over IMAP", Effect.forever(follow)))
  }),
)
