/** The bodies that no page brought: the account's choice has changed, or the provider would not give them then. */
import { Effect } from "effect"
import type { SyncLease } from "../storage/mail/SyncLeases.ts"
import type { PageServices } from "./SyncPage.ts"

/** Bodies per turn: a slow lane beside fresh mail, some seconds of a turn at most. */
export const bodiesPerTurn = 100

/**
 * Serves the head of the account's backlog. Answers true where there is more and this turn got on with it. What the provider
 * refuses now is asked for again by a later turn; it fails none.
 */
export const serveBodies = Effect.fn("SyncAccount.bodies")(
  function* ({ mailbox, writer }: Pick<PageServices, "mailbox" | "writer">, lease: SyncLease) {
    if (mailbox.bodies === undefined) return false
    const backlog = yield* writer.bodyBacklog(lease, bodiesPerTurn)
    let asked = 0
    let stored = 0
    for (const { folderRemoteId, remoteIds } of backlog) {
      asked += remoteIds.length
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
    return asked >= bodiesPerTurn && stored > 0
  },
)
