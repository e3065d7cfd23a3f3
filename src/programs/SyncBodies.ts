/** The bodies that no page brought: the account's choice has changed, or the provider would not give them then. */
import { Effect } from "effect"
import type { AccountId } from "../domain/Ids.ts"
import type { BacklogPlace } from "../storage/mail/BodyWants.ts"
import type { SyncLease } from "../storage/mail/SyncLeases.ts"
import type { PageServices } from "./SyncPage.ts"

/** Bodies per turn: a slow lane beside fresh mail, some seconds of a turn at most. */
export const bodiesPerTurn = 100

/** Up to where the backlogs of accounts have been asked for, by account. */
export type BacklogPlaces = Map<AccountId, BacklogPlace>

/**
 * Serves the next of the account's backlog. Answers true where there is more and this turn got on with it. What the provider
 * refuses now fails no turn. It is asked for again once all behind it have been: so what is never granted holds up nothing.
 */
export const serveBodies = Effect.fn("SyncAccount.bodies")(
  function* (
    { mailbox, writer }: Pick<PageServices, "mailbox" | "writer">,
    lease: SyncLease,
    places: BacklogPlaces,
  ) {
    if (mailbox.bodies === undefined) return false
    const { end, wanted } = yield* writer.bodyBacklog(lease, bodiesPerTurn, places.get(lease.accountId))
    if (end === undefined) places.delete(lease.accountId)
    else places.set(lease.accountId, end)
    let stored = 0
    for (const { folderRemoteId, remoteIds } of wanted) {
      const bodies = yield* mailbox.bodies(folderRemoteId, remoteIds).pipe(
        Effect.catchTags({
          FolderGone: () => Effect.succeed(new Map()),
          ProviderError: ({ code }) =>
            Effect.as(Effect.logDebug("bodies cannot be had now; asked for again later", { code }), undefined),
        }),
      )
      if (bodies === undefined) break
      yield* writer.storeBodies(lease, folderRemoteId, bodies)
      stored += bodies.size
    }
    return end !== undefined && stored > 0
  },
)
