/** One page of a folder: what it says of moves is made sure of, bodies are fetched, and all of it is written at once. */
import { Clock, Effect, Fiber } from "effect"
import type { ProviderError } from "../domain/ProviderError.ts"
import type {
  CursorLost,
  FolderGone,
  Mailbox,
  Page,
  RemoteBody,
  RemoteMessage,
  Removed,
  Upsert,
} from "../mail/Mailbox.ts"
import { withinChoice } from "./FolderChoice.ts"
import type { Folders, FolderState } from "../storage/mail/Folders.ts"
import type { Applied, MessageWriter, Prepared } from "../storage/mail/MessageWriter.ts"
import type { LeaseLost, SyncLease } from "../storage/mail/SyncLeases.ts"

export interface PageServices {
  readonly mailbox: Mailbox
  readonly folders: Folders["Service"]
  readonly writer: MessageWriter["Service"]
}

/** A folder whose pages are read, and the remote ids of all that the account chose; null = all. */
export interface Followed {
  readonly folder: FolderState
  readonly chosen: ReadonlySet<string> | null
}

const day = 86_400_000

const nothing = { changes: 0, left: 0 }

type Left = (outcome: Pick<Applied, "changes" | "left">) => void

/** A page with its bodies, as it is to be written. */
interface ReadyPage extends Page {
  readonly prepared: Prepared
  readonly bodiesFailed: ProviderError | undefined
}

type ReadError = ProviderError | LeaseLost | CursorLost | FolderGone

/**
 * Reads the page at the folder's cursor, up to all that can be done before the one before it is written. Where its bodies cannot
 * be had it goes without them, and says so.
 */
const readPage = Effect.fnUntraced(function* (
  services: PageServices,
  lease: SyncLease,
  { chosen, folder }: Followed,
  left: Left,
): Effect.fn.Return<ReadyPage, ReadError> {
  const page = yield* services.mailbox.page(folder.remoteId, folder.cursor)
  const wanted = withinChoice(folder, page.changes, chosen)
  yield* markMoved(services, lease, folder, wanted, left)
  const { bodies, bodiesFailed } = yield* bodiesOf(services, lease, folder, wanted).pipe(
    Effect.map((bodies) => ({ bodies, bodiesFailed: undefined })),
    Effect.catchTag("ProviderError", (bodiesFailed) => Effect.succeed({ bodies: noBodies, bodiesFailed })),
  )
  const changes = withBodies(wanted, bodies)
  return { ...page, changes, prepared: yield* services.writer.prepare(lease, changes), bodiesFailed }
})

/**
 * Stores the pages of a folder, one with each call of what it answers, and reads the next one meanwhile: as long as `goesOn`
 * says so of what has come. What is under way when the scope ends is given up. A page whose bodies cannot be had is stored
 * without them before their error is passed on: they come with the backlog, and no body holds up a folder.
 *
 * @param left told of everything that was written
 */
export const openFolder = Effect.fnUntraced(function* (
  services: PageServices,
  lease: SyncLease,
  chosen: Followed["chosen"],
  left: Left,
  goesOn: (page: Page) => Effect.Effect<boolean>,
) {
  const scope = yield* Effect.scope
  let ahead: { readonly cursor: string; readonly page: Fiber.Fiber<ReadyPage, ReadError> } | undefined

  return Effect.fnUntraced(
    function* (folder: FolderState) {
      const page = yield* ahead !== undefined && ahead.cursor === folder.cursor
        ? Fiber.join(ahead.page)
        : readPage(services, lease, { folder, chosen }, left)
      ahead = undefined
      if ((yield* goesOn(page)) && !page.roundComplete && page.cursor !== folder.cursor) {
        const next = readPage(services, lease, { folder: { ...folder, cursor: page.cursor }, chosen }, left)
        ahead = { cursor: page.cursor, page: yield* Effect.forkIn(next, scope, { startImmediately: true }) }
      }
      const applied = yield* services.writer.applyPage(lease, folder, page, page.prepared)
      left(applied)
      if (page.bodiesFailed !== undefined) return yield* page.bodiesFailed
      return { _tag: "Applied", ...page, folder: applied.folder } as const
    },
    Effect.catchTags({
      CursorLost: (lost) => Effect.succeed(lost),
      FolderGone: (gone) => Effect.succeed(gone),
    }),
  )
})

/** The newest mail of a folder whose first listing an earlier turn has begun, so that it need not wait for the end of that. */
export const storeNewest = Effect.fn("SyncAccount.newest")(
  function* (services: PageServices, lease: SyncLease, { chosen, folder }: Followed) {
    const { mailbox, writer } = services
    if (mailbox.newest === undefined || folder.listed || folder.cursor === null) return nothing
    const upserts = yield* mailbox.newest(folder.remoteId).pipe(
      // Its listing tells what became of it.
      Effect.catchTag("FolderGone", () => Effect.succeed([])),
    )
    const wanted = withinChoice(folder, upserts, chosen).filter((change): change is Upsert => change._tag === "Upsert")
    if (wanted.length === 0) return nothing
    const bodies = yield* bodiesOf(services, lease, folder, wanted).pipe(
      Effect.catchTag("FolderGone", () => Effect.succeed(noBodies)),
    )
    return yield* writer.applyNewest(lease, folder, withBodies(wanted, bodies))
  },
)

/**
 * Where ids do not outlive a move, a message that appears here may be one that is stored elsewhere: it has moved if it is not
 * there any more, and is a copy if it is. Marked as having left, it is known again when the page is written.
 */
const markMoved = Effect.fnUntraced(function* (
  { mailbox, writer }: PageServices,
  lease: SyncLease,
  folder: FolderState,
  changes: Page["changes"],
  left: Left,
) {
  const { present } = mailbox
  if (present === undefined || !changes.some((one) => one._tag === "Upsert" && one.twinKey !== undefined)) return
  for (const [folderRemoteId, remoteIds] of yield* writer.liveTwins(lease, folder, changes)) {
    const there = yield* present(folderRemoteId, remoteIds).pipe(
      Effect.catchTag("FolderGone", () => Effect.succeed(new Set<string>())),
    )
    const gone = remoteIds.filter((id) => !there.has(id))
    if (gone.length > 0) left(yield* writer.left(lease, folderRemoteId, gone))
  }
})

/** Older by a day than what the account wants bodies of, so that clocks may differ: not worth to ask the database about. */
const isTooOld = ({ mail: { bodyDays } }: SyncLease, now: number) => (change: Upsert | Removed): boolean => {
  const receivedAt = change._tag === "Upsert" ? change.fields.receivedAt : undefined
  return bodyDays !== null && receivedAt !== undefined && receivedAt !== null &&
    receivedAt.epochMilliseconds < now - (bodyDays + 1) * day
}

/** Those that the account wants and that are not stored. */
const bodiesOf = Effect.fnUntraced(function* (
  { mailbox, writer }: PageServices,
  lease: SyncLease,
  folder: FolderState,
  changes: Page["changes"],
) {
  if (mailbox.bodies === undefined) return noBodies
  const old = isTooOld(lease, yield* Clock.currentTimeMillis)
  const wanted = yield* writer.wanting(lease, folder, changes.filter((change) => !old(change)))
  return wanted.length === 0 ? noBodies : yield* mailbox.bodies(folder.remoteId, wanted)
})

type Bodies = ReadonlyMap<string, RemoteBody & Partial<RemoteMessage>>
const noBodies: Bodies = new Map()

/** A message may come more than once on a page: its last word gets the body. */
const withBodies = <Change extends Upsert | Removed>(
  changes: ReadonlyArray<Change>,
  bodies: Bodies,
): ReadonlyArray<Change> =>
  bodies.size === 0 ? changes : changes.map((change) => {
    const body = change._tag === "Upsert" ? bodies.get(change.remoteId) : undefined
    return body === undefined || change._tag !== "Upsert"
      ? change
      : { ...change, fields: { ...change.fields, ...body } }
  })
