/**
 * Now and then the counts of folders are compared with the provider's. Notifications and deltas may both miss something:
 * this is how that is found, and made good without a false word in the change log.
 */
import { Duration, Effect, Random } from "effect"
import type { FolderId } from "../domain/Ids.ts"
import { horizonDays } from "../domain/MailChoice.ts"
import type { SettingsValues } from "../domain/Settings.ts"
import { chosenIn } from "./FolderChoice.ts"
import type { Folders, FolderState } from "../storage/mail/Folders.ts"
import type { SyncCounts } from "../storage/mail/SyncCounts.ts"
import type { SyncLease } from "../storage/mail/SyncLeases.ts"
import type { Mailbox } from "../mail/Mailbox.ts"

export interface ReconcileServices {
  readonly mailbox: Mailbox
  readonly folders: Folders["Service"]
  readonly counts: SyncCounts["Service"]
  readonly settings: Pick<SettingsValues, "reconcileEvery">
}

/**
 * After a complete round. A count that differs may be one of mail that came in the meantime: it is compared again after the next
 * round, and where it differs twice in a row, ids are. Folders whose ids differ are listed from the start by the next turn.
 * Answers true where that, or another comparison, is wanted soon.
 */
export const reconcile = Effect.fn("SyncAccount.reconcile")(
  function* ({ counts, folders, mailbox, settings }: ReconcileServices, lease: SyncLease) {
    // A window, or a time after which mail is deleted here, makes counts differ that are in step.
    const isWhole = horizonDays(lease.mail) === null
    const stored = new Map(isWhole ? (yield* counts.of(lease)).map((count) => [count.id, count]) : [])
    const differences = new Map<FolderId, number>()
    let doubtful = 0
    let restarted = 0
    const states = yield* folders.states(lease)
    const chosen = new Set(chosenIn(states, lease.mail.folders))
    for (const [leader, ...followers] of groupsOf(states)) {
      // Of a history that is followed for some of its folders only, the rest is not stored.
      if (![leader, ...followers].every((folder) => chosen.has(folder))) continue
      const here = [leader, ...followers].map(({ id }) => stored.get(id))
      const count = here.reduce((sum, one) => sum + (one?.stored ?? 0), 0)
      // Not listed yet, or not counted by the provider.
      if (here[0] === undefined || leader.totalItems === null || leader.totalItems === count) continue
      const isFirst = here[0].difference === 0
      const isOff = !isFirst && (yield* idsDiffer({ folders, mailbox }, lease, [leader, ...followers]))
      if (isFirst || isOff) differences.set(leader.id, leader.totalItems - count)
      if (isFirst) doubtful++
      if (isOff) {
        yield* folders.restart(lease, leader)
        restarted++
      }
    }
    if (restarted > 0) {
      yield* Effect.logWarning("folders were out of step and are listed afresh", { folders: restarted })
    }
    const usual = Duration.toMillis(settings.reconcileEvery) * (yield* Random.nextBetween(0.9, 1.1))
    yield* counts.compared(lease, differences, doubtful > 0 ? 0 : usual)
    return restarted > 0 || doubtful > 0
  },
)

/** Folders with those that share their history, and so their count. */
const groupsOf = (states: ReadonlyArray<FolderState>): ReadonlyArray<readonly [FolderState, ...Array<FolderState>]> => {
  const there = states.filter(({ gone }) => !gone)
  return there.flatMap((leader) =>
    leader.followedBy === undefined
      ? [[leader, ...there.filter(({ followedBy }) => followedBy === leader.remoteId)] as const]
      : []
  )
}

/** Where ids cannot be had, the count has to do. */
const idsDiffer = Effect.fnUntraced(function* (
  { folders, mailbox }: Pick<ReconcileServices, "folders" | "mailbox">,
  lease: SyncLease,
  group: readonly [FolderState, ...Array<FolderState>],
) {
  if (mailbox.ids === undefined) return true
  const remote = new Set(
    yield* mailbox.ids(group[0].remoteId).pipe(Effect.catchTag("FolderGone", () => Effect.succeed([]))),
  )
  const stored = (yield* Effect.forEach(group, ({ remoteId }) => folders.storedIds(lease, remoteId))).flat()
  return stored.length !== remote.size || stored.some((id) => !remote.has(id))
})
