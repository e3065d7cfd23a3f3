/** One round over the folders of an account: list them, follow each one's changes to the end, settle what was moved or deleted. */
import { Effect } from "effect"
import { codeOf } from "../domain/FailureClass.ts"
import type { FolderRole } from "../domain/Mail.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import type { CursorLost, FolderGone, Mailbox, Page } from "../mail/Mailbox.ts"
import type { Folders, FolderState } from "../storage/Folders.ts"
import type { MessageWriter } from "../storage/MessageWriter.ts"
import type { SyncLease } from "../storage/SyncLeases.ts"

/** A removal that comes up during the third pass waits for the next round. */
const passes = 3

/** Listings from the start that one folder may need in one pass: a cursor may get lost again while it is listed. */
const restarts = 2

/** What people read first comes first, so that a long backfill serves them early. */
const order: ReadonlyArray<FolderRole | null> = ["inbox", "sent", "drafts", "archive", null, "junk", "trash"]

interface Services {
  readonly mailbox: Mailbox
  readonly folders: Folders["Service"]
  readonly writer: MessageWriter["Service"]
}

/**
 * A message that left a folder has moved only if another folder shows it, and deleted only if none does. To tell, every
 * other folder must have been asked after it was seen to leave: those that were asked before are asked once more.
 */
export const syncFolders = Effect.fn("SyncAccount.syncFolders")(function* (
  { folders, mailbox, writer }: Services,
  lease: SyncLease,
) {
  let changes = 0
  // Counts requests and removals, so as to tell which came first.
  let tick = 0
  let lastRemoval = 0
  const asked = new Map<string, number>()

  const left = (outcome: { readonly changes: number; readonly left: number }) => {
    changes += outcome.changes
    if (outcome.left > 0) lastRemoval = ++tick
  }

  const follow = Effect.fn("SyncAccount.folder")(function* (start: FolderState, listed: boolean) {
    let folder = start
    let lost = 0
    let began = ++tick
    // The end of a round that an earlier process began shows a state of back then: one more round follows.
    let behind = start.inRound
    while (true) {
      const page: Page | CursorLost | FolderGone = yield* mailbox.page(folder.remoteId, folder.cursor).pipe(
        Effect.catchTags({
          CursorLost: (lost) => Effect.succeed(lost),
          FolderGone: (gone) => Effect.succeed(gone),
        }),
      )
      if ("_tag" in page) {
        if (page._tag === "FolderGone") {
          // Gone since it was listed, perhaps to elsewhere: the next listing tells. Gone from both: deleted.
          if (!listed) left(yield* writer.abandon(lease, folder))
          return
        }
        if (folder.cursor === null || ++lost > restarts) return yield* unstable
        folder = yield* folders.restart(lease, folder)
        behind = false
      } else {
        if (!page.roundComplete && page.changes.length === 0 && page.cursor === folder.cursor) return yield* unstable
        const applied = yield* writer.applyPage(lease, folder, page)
        left(applied)
        folder = applied.folder
        if (!page.roundComplete) continue
        if (!behind) break
        behind = false
      }
      began = ++tick
    }
    asked.set(folder.id, began)
  })

  let time = yield* writer.now
  for (let pass = 1; pass <= passes; pass++) {
    const before = yield* folders.states(lease)
    const listing = yield* mailbox.folders(before)
    const present = new Set(listing.map(({ remoteId }) => remoteId))
    const removalBefore = lastRemoval
    const due = (yield* folders.store(lease, before, listing))
      .filter((folder) => !folder.gone && (asked.get(folder.id) ?? 0) <= lastRemoval)
      .sort((a, b) => order.indexOf(a.role) - order.indexOf(b.role))
    yield* Effect.forEach(due, (folder) => follow(folder, present.has(folder.remoteId)), {
      concurrency: mailbox.concurrency,
      discard: true,
    })
    if (pass === passes || lastRemoval === removalBefore || !(yield* writer.unsettled(lease, time))) break
    time = yield* writer.now
  }
  changes += yield* writer.settle(lease, time)
  return { changes }
})

const unstable = new ProviderError({
  class: "transient",
  code: codeOf.transient,
  message: "the provider lost its place in a folder again and again; the next round lists the folder afresh",
})
