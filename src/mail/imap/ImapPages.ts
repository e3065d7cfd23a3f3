/** The next page of a folder: what its cursor, and a STATUS before all else, make of it. */
import { Effect } from "effect"
import { monotonicMillis } from "../../domain/Monotonic.ts"
import type { StatusObject } from "imapflow"
import { changesPage } from "./ImapChanges.ts"
import { decodeCursor, noMessages, type Position } from "./ImapCursor.ts"
import { statusQuery } from "./ImapFolders.ts"
import { listingPage, startOf } from "./ImapListing.ts"
import type { Reader } from "./ImapReader.ts"
import { CursorLost, type Page } from "../Mailbox.ts"

/** How long the STATUS of a listing serves, in milliseconds: a round over many folders goes on after it. */
const statusLife = 60_000

/** Each STATUS serves one page: a second one is asked for what has changed since. */
const statusOf = Effect.fnUntraced(function* ({ memory, path, session }: Reader) {
  const listed = memory.folders.get(path)
  const known = listed?.status
  if (listed !== undefined) listed.status = undefined
  if (known !== undefined && (yield* monotonicMillis) - listed!.at < statusLife) return known
  // Of the folder that is open a server may tell what it told before (RFC 9051 section 6.3.11): it is opened again instead.
  if (session.client.mailbox !== false && session.client.mailbox.path === path) return undefined
  const status = yield* session.run((client) => client.status(path, statusQuery))
  return status === false ? undefined : status
})

/** No message came, left or changed. Where the server keeps no MODSEQ, only an empty folder is known to be the same. */
const isUnchanged = (position: Position, status: StatusObject): boolean =>
  position.below === undefined && position.changed === undefined && status.messages === position.messages &&
  status.uidNext === position.next &&
  (position.modseq === undefined ? status.messages === 0 : String(status.highestModseq) === position.modseq)

/** A count that runs backwards is that of another folder, or of one that was put back from a backup. */
const isBehind = (position: Position, highestModseq: bigint | undefined): boolean =>
  position.modseq !== undefined && highestModseq !== undefined && highestModseq < BigInt(position.modseq)

export const nextPage = Effect.fnUntraced(function* (reader: Reader, cursor: string | null) {
  const { memory, path, session } = reader
  if (memory.folders.get(path)?.selectable === false) {
    return { changes: [], cursor: noMessages, roundComplete: true } satisfies Page
  }
  if (cursor === null || cursor === noMessages) {
    const mailbox = yield* session.examine(path)
    const position = startOf(reader, mailbox)
    return yield* listingPage(reader, position, position.next)
  }
  const position = decodeCursor(cursor)
  if (position === undefined) return yield* new CursorLost()

  if (position.below !== undefined) {
    const mailbox = yield* session.renewed(path)
    if (String(mailbox.uidValidity) !== position.uidValidity) return yield* new CursorLost()
    return yield* listingPage(reader, position, position.below)
  }

  if (position.changed === undefined) {
    const status = yield* statusOf(reader)
    if (status?.uidValidity !== undefined) {
      if (String(status.uidValidity) !== position.uidValidity) return yield* new CursorLost()
      if (isUnchanged(position, status)) return { changes: [], cursor, roundComplete: true } satisfies Page
    }
  }
  const mailbox = yield* session.examine(path)
  if (String(mailbox.uidValidity) !== position.uidValidity) return yield* new CursorLost()
  if (isBehind(position, mailbox.highestModseq)) return yield* new CursorLost()
  if (isUnchanged(position, { ...mailbox, messages: mailbox.exists })) {
    return { changes: [], cursor, roundComplete: true } satisfies Page
  }
  return yield* changesPage(reader, position, mailbox)
})
