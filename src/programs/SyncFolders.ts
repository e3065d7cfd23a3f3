/**
 * A turn over the folders of an account: list them, follow each one's changes to the end, settle what was moved or deleted.
 * What does not fit into the turn is left to the next one, which goes on from the cursors.
 */
import { Effect } from "effect"
import { codeOf } from "../domain/FailureClass.ts"
import type { FolderId } from "../domain/Ids.ts"
import type { FolderRole } from "../domain/Mail.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import type { FolderState } from "../storage/mail/Folders.ts"
import type { SyncLease } from "../storage/mail/SyncLeases.ts"
import type { TurnStart } from "../storage/mail/SyncTurns.ts"
import { chosenIn, leadersOf } from "./FolderChoice.ts"
import { openFolder, type PageServices, storeNewest } from "./SyncPage.ts"
import { beginTurn, type Turn, type TurnLimits, turnLimits } from "./SyncTurn.ts"

/** A removal that comes up during the third pass waits for the next round. */
const passes = 3

/** Listings from the start that one folder may need in one pass: a cursor may get lost again while it is listed. */
const restarts = 2

/** What people read first comes first, so that a long backfill serves them early. */
const order: ReadonlyArray<FolderRole | null> = ["inbox", "sent", "drafts", "archive", null, "junk", "trash"]

export interface TurnOutcome {
  /** Entries of the change log. */
  readonly changes: number
  /** True once every folder has been followed to its end in this round: what left one of them is settled. */
  readonly complete: boolean
  /** The folders that were followed to their end in this turn. */
  readonly asked: ReadonlyArray<FolderId>
  /** Some were so in an earlier turn only: what has come to them since is still to be read. */
  readonly isLate: boolean
}

/**
 * A message that left a folder has moved only if another folder shows it, and deleted only if none does. To tell, every
 * other folder must have been asked after it was seen to leave: those that were asked before are asked once more.
 */
export const syncFolders = Effect.fn("SyncAccount.syncFolders")(function* (
  services: PageServices,
  lease: SyncLease,
  start: Pick<TurnStart, "time" | "asked">,
  limits: TurnLimits = turnLimits,
) {
  const { folders, mailbox, writer } = services
  let changes = 0
  // Counts requests and removals, so as to tell which came first.
  let tick = 0
  let lastRemoval = 0
  let isLate = false
  const asked = new Map<FolderId, number>()

  const left = (outcome: { readonly changes: number; readonly left: number }) => {
    changes += outcome.changes
    if (outcome.left > 0) lastRemoval = ++tick
  }

  const list = Effect.gen(function* () {
    const known = yield* folders.states(lease)
    const listing = yield* mailbox.folders(known)
    const present = new Set(listing.map(({ remoteId }) => remoteId))
    const stored = (yield* folders.store(lease, known, listing)).filter(({ gone }) => !gone)
    // No page of theirs will tell that they are gone: another folder's pages bring their changes.
    const isLost = ({ followedBy, remoteId }: FolderState) => followedBy !== undefined && !present.has(remoteId)
    for (const folder of stored.filter(isLost)) left(yield* writer.abandon(lease, folder))
    const there = stored.filter((folder) => !isLost(folder))
    const chosen = chosenIn(there, lease.mail.folders)
    const result: Listing = {
      present,
      chosen: chosen.length === there.length ? null : new Set(chosen.map(({ remoteId }) => remoteId)),
      followed: leadersOf(there, chosen),
    }
    return result
  })

  /** False where the turn ended first. */
  const follow = Effect.fn("SyncAccount.folder")(function* (first: FolderState, listing: Listing, turn: Turn) {
    let folder = first
    let lost = 0
    let began = ++tick
    // The end of a round that an earlier turn began shows a state of back then: one more round follows.
    let behind = first.inRound
    const applyNext = yield* openFolder(services, lease, listing.chosen, left, (page) => {
      turn.took(page)
      return Effect.map(turn.isOver, (isOver) => !isOver)
    })
    while (true) {
      const page = yield* applyNext(folder)
      if (page._tag === "FolderGone") {
        // Gone since it was listed, perhaps to elsewhere: the next listing tells. Gone from both: deleted.
        if (!listing.present.has(folder.remoteId)) left(yield* writer.abandon(lease, folder))
        return true
      }
      if (page._tag === "CursorLost") {
        if (folder.cursor === null || ++lost > restarts) return yield* unstable
        folder = yield* folders.restart(lease, folder)
        behind = false
      } else {
        if (!page.roundComplete && page.changes.length === 0 && page.cursor === folder.cursor) return yield* unstable
        folder = page.folder
        if (page.roundComplete) {
          if (!behind) break
          behind = false
        }
      }
      if (yield* turn.isOver) return false
      if (page._tag !== "Applied" || page.roundComplete) began = ++tick
    }
    asked.set(folder.id, began)
    return true
  }, Effect.scoped)

  /**
   * Fresh mail comes before a backlog: first the folders that are listed, those that this round has not asked yet before those
   * that it has, and then, in what is left of the turn, those that are not.
   */
  const urgency = ({ id, listed }: FolderState) => listed ? start.asked.has(id) ? 1 : 0 : 2

  /**
   * False where the turn ended before each of the folders was followed to its end. One that this round has asked before need
   * not be, unless all are wanted: what was not read at all is not to wait for it.
   */
  const followAll = Effect.fnUntraced(
    function* (due: ReadonlyArray<FolderState>, all: boolean, listing: Listing, turn: Turn) {
      const sorted = due.toSorted((a, b) => urgency(a) - urgency(b) || order.indexOf(a.role) - order.indexOf(b.role))
      const outcomes = yield* Effect.forEach(sorted, (folder) =>
        Effect.gen(function* () {
          if (!all && urgency(folder) === 1 && (yield* turn.isHalfOver)) return true
          return !(yield* turn.isOver) && (yield* follow(folder, listing, turn))
        }), { concurrency: mailbox.concurrency })
      return outcomes.every((isDone) => isDone)
    },
  )

  const outcomeOf = (complete: boolean): TurnOutcome => ({
    changes,
    complete,
    asked: [...asked.keys()],
    isLate,
  })

  const listing = yield* list
  yield* Effect.forEach(
    listing.followed,
    (folder) => Effect.map(storeNewest(services, lease, { folder, chosen: listing.chosen }), left),
    { concurrency: mailbox.concurrency, discard: true },
  )
  // Only now, so that every turn gets on: listing the folders takes as long as it takes.
  const turn = yield* beginTurn(limits)
  const due = listing.followed.filter(({ id }) => start.asked.get(id)?.isFresh !== true)
  if (!(yield* followAll(due, false, listing, turn))) return outcomeOf(false)

  // Those that only an earlier turn has asked tell nothing of what has left another folder since.
  const earlier = new Set(listing.followed.flatMap(({ id }) => asked.has(id) ? [] : [id]))
  isLate = [...earlier].some((id) => start.asked.has(id))
  let time = [...start.asked].find(([id]) => earlier.has(id))?.[1].since ?? start.time
  let removalBefore = 0
  for (let pass = 2; pass <= passes; pass++) {
    if (lastRemoval === removalBefore || (yield* turn.isOver) || !(yield* writer.unsettled(lease, time))) break
    const later = yield* writer.now
    removalBefore = lastRemoval
    const again = yield* list
    const before = again.followed.filter(({ id }) => (asked.get(id) ?? 0) <= removalBefore)
    if (!(yield* followAll(before, true, again, turn))) break
    time = later
  }
  changes += yield* writer.settle(lease, time)
  return outcomeOf(true)
})

interface Listing {
  /** Folders that the provider has listed, by remote id. */
  readonly present: ReadonlySet<string>
  /** Remote ids of the folders that the account chose; null = all. */
  readonly chosen: ReadonlySet<string> | null
  /** Those whose own pages bring what was chosen. */
  readonly followed: ReadonlyArray<FolderState>
}

const unstable = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "the provider lost its place in a folder again and again; the next round lists the folder afresh",
})
