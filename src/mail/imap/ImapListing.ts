/** The first listing of a folder: newest messages first, and on every page those that arrived meanwhile before all others. */
import { Effect } from "effect"
import type { MailboxObject } from "imapflow"
import { encodeCursor, type Position } from "./ImapCursor.ts"
import { isCondstore, metadataOf, pageSize, type Reader, spaceOf } from "./ImapReader.ts"
import type { Page } from "../Mailbox.ts"

/** Where a listing begins: at the newest message. */
export const startOf = ({ path, session }: Reader, mailbox: MailboxObject): Position => {
  const next = mailbox.uidNext ?? 1
  return {
    v: 1,
    key: path,
    uidValidity: String(mailbox.uidValidity ?? 0),
    next,
    below: next,
    // From before the first message is read: what changes while they are listed comes with the rounds after.
    ...(isCondstore(session) ? { modseq: String(mailbox.highestModseq) } : {}),
  }
}

/** How many of the ascending UIDs lie below one: there may be millions, and a page is asked for every time. */
const countBelow = (uids: ReadonlyArray<number>, below: number): number => {
  let [low, high] = [0, uids.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (uids[middle]! < below) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * The next messages. The UIDs yet to come are searched for once, so that pages are full where UIDs are sparse; a new process
 * searches again. Two ends in the cursor: what is above it, and what is below.
 */
export const listingPage = Effect.fnUntraced(function* (reader: Reader, position: Position, below: number) {
  const { memory, session } = reader
  const space = spaceOf(position)
  const { listing } = memory
  const known = listing !== undefined && listing.space === space && below <= listing.below ? listing : undefined
  const uids = known?.uids ?? (below > 1 ? yield* session.search(`1:${below - 1}`) : [])
  // `*` is the newest message, even if it is older than `next`.
  const fresh = (yield* session.search(`${position.next}:*`)).filter((uid) => uid >= position.next)
  const arrived = fresh.slice(0, pageSize)
  const end = countBelow(uids, below)
  const start = Math.max(0, end - (pageSize - arrived.length))
  const shown = uids.slice(start, end)

  const done = start === 0 && arrived.length === fresh.length
  // Kept whole: a page that was not stored is asked for again.
  memory.listing = done ? undefined : known ?? { space, below, uids }

  const upserts = yield* metadataOf(reader, position, [...shown, ...arrived])
  const { below: _, ...rest } = position
  const next = Math.max(position.next, (arrived.at(-1) ?? 0) + 1)
  // Shown on one page from the beginning: nothing can have changed since that the next round would not see.
  const whole = done && below === position.next && arrived.length === 0
  const cursor: Position = {
    ...rest,
    next,
    ...(done ? {} : { below: shown[0] ?? below }),
    ...(whole ? { messages: shown.length } : {}),
  }
  return {
    changes: upserts.toReversed(),
    cursor: encodeCursor(cursor),
    // What was expunged while a longer listing went on shows on the page of changes that follows.
    roundComplete: whole,
  } satisfies Page
})
