/** What changed in a folder since the last round: new messages, flags, and messages that left. */
import { Effect, Hash } from "effect"
import type { FetchMessageObject, MailboxObject } from "imapflow"
import { encodeCursor, type Position } from "./ImapCursor.ts"
import { flagsQuery, liesElsewhere, toFlags } from "./ImapMessage.ts"
import { isCondstore, metadataOf, pageSize, type Reader, spaceOf, vanishedFrom } from "./ImapReader.ts"
import { remoteIdOf, uidOf } from "./ImapUids.ts"
import type { Page, Removed, Upsert } from "../Mailbox.ts"

/** Changes of flags on one page. */
const flagsPage = 1_000

/** Without MODSEQ, messages whose flags are compared at a time: the newest in each round, older ones by turns. */
const windowSize = 500

const removed = (remoteId: string): Removed => ({ _tag: "Removed", remoteId })

const rowsOf = Effect.fnUntraced(function* (
  { session }: Reader,
  range: string,
  options: { readonly changedSince?: bigint; readonly uid?: boolean },
) {
  const rows = yield* session.all(range, flagsQuery, options)
  return rows.filter(({ flags, uid }) => uid > 0 && flags !== undefined).sort((a, b) => a.uid - b.uid)
})

/** Changes of flags of messages that are known. In Gmail's "All Mail" a change of labels is a move. */
const flagChanges = Effect.fnUntraced(function* (
  reader: Reader,
  position: Position,
  rows: ReadonlyArray<FetchMessageObject>,
) {
  if (reader.memory.folders.get(reader.path)?.all !== true) return rows.map((row) => toFlags(row, position))
  const elsewhere = rows.filter(liesElsewhere)
  const here = yield* metadataOf(reader, position, rows.filter((row) => !liesElsewhere(row)).map(({ uid }) => uid))
  return [
    ...elsewhere.map(({ uid }) => removed(remoteIdOf(position, uid))),
    ...here,
  ]
})

/** Changes of flags by MODSEQ (CONDSTORE): the next of them, and where they end. */
const byModseq = Effect.fnUntraced(function* (reader: Reader, position: Position, since: string, highest: string) {
  const { memory, session } = reader
  const to = position.changed?.to ?? highest
  const after = position.changed?.after ?? 0
  const space = `${spaceOf(position)} ${since} ${to}`
  if (to === since || position.next <= after + 1) return { rows: [], changed: undefined, to, vanished: [] }
  session.vanished()
  // Kept whole: a page that was not stored is asked for again.
  const all = memory.changed?.space === space
    ? memory.changed.rows
    : yield* rowsOf(reader, `${after + 1}:${position.next - 1}`, { changedSince: BigInt(since) })
  memory.changed = { space, rows: all }
  const rows = all.filter(({ uid }) => uid > after)
  const served = rows.slice(0, flagsPage)
  const more = rows.length > served.length
  return {
    rows: served,
    changed: more ? { after: served.at(-1)!.uid, to } : undefined,
    to,
    vanished: session.vanished(),
  }
})

/** Flags as they are now, in windows, for servers without MODSEQ. Unchanged ones among the newest are known by their hash. */
const byWindow = Effect.fnUntraced(function* (reader: Reader, position: Position, exists: number) {
  const known = (rows: ReadonlyArray<FetchMessageObject>) => rows.filter(({ uid }) => uid < position.next)
  const from = Math.max(1, exists - windowSize + 1)
  const newest = exists === 0 ? [] : known(yield* rowsOf(reader, `${from}:${exists}`, { uid: false }))
  const newestHash = Hash.string(newest.map(({ flags, uid }) => `${uid} ${[...flags!].sort().join(" ")}`).join("\n"))
  if (from === 1) return { rows: newestHash === position.newest ? [] : newest, newest: newestHash, older: undefined }
  const start = position.older === undefined || position.older >= from ? 1 : position.older
  const end = Math.min(start + windowSize, from) - 1
  const older = known(yield* rowsOf(reader, `${start}:${end}`, { uid: false }))
  return {
    rows: newestHash === position.newest ? older : [...older, ...newest],
    newest: newestHash,
    older: end + 1 >= from ? 1 : end + 1,
  }
})

/** @param mailbox the folder, opened just now */
export const changesPage = Effect.fnUntraced(function* (reader: Reader, position: Position, mailbox: MailboxObject) {
  const { path, session, stored } = reader
  // As of now: ImapFlow moves them on while it reads, and what they skip would be lost.
  const { exists, highestModseq, uidNext } = mailbox
  const condstore = isCondstore(session)

  const fresh = position.changed !== undefined || (uidNext !== undefined && uidNext <= position.next)
    ? []
    : (yield* session.search(`${position.next}:*`)).filter((uid) => uid >= position.next)
  const arrived = fresh.slice(0, pageSize)
  const upserts: ReadonlyArray<Upsert | Removed> = yield* metadataOf(reader, position, arrived)
  const next = Math.max(position.next, (arrived.at(-1) ?? 0) + 1, arrived.length === fresh.length ? uidNext ?? 0 : 0)
  const counted = position.messages === undefined ? {} : { messages: position.messages + arrived.length }
  if (arrived.length < fresh.length) {
    return {
      changes: upserts,
      cursor: encodeCursor({ ...position, ...counted, next }),
      roundComplete: false,
    } satisfies Page
  }

  const since = condstore ? position.modseq : undefined
  const flags = since === undefined
    ? { ...(yield* byWindow(reader, position, exists)), changed: undefined, to: undefined, vanished: [] }
    : { ...(yield* byModseq(reader, position, since, String(highestModseq))), newest: undefined, older: undefined }
  const changes = [...upserts, ...(yield* flagChanges(reader, position, flags.rows))]
  if (flags.changed !== undefined) {
    return {
      changes,
      cursor: encodeCursor({ ...position, ...counted, next, changed: flags.changed }),
      roundComplete: false,
    } satisfies Page
  }

  let left: ReadonlyArray<string> = []
  if (flags.vanished.length > 0) {
    // The server may also name messages that were never stored, in any number.
    const vanished = new Set(flags.vanished)
    left = (yield* stored.ids(path)).filter((remoteId) => vanished.has(uidOf(remoteId, position.uidValidity) ?? 0))
  }
  if (counted.messages === undefined || counted.messages - left.length !== exists) {
    left = yield* vanishedFrom(reader, position.uidValidity, position.next)
  }
  const modseq = flags.to ?? (condstore ? String(highestModseq) : undefined)
  return {
    changes: [...changes, ...left.map(removed)],
    cursor: encodeCursor({
      v: 1,
      key: position.key,
      uidValidity: position.uidValidity,
      next,
      messages: exists,
      ...(modseq === undefined ? {} : { modseq }),
      ...(flags.newest === undefined ? {} : { newest: flags.newest }),
      ...(flags.older === undefined ? {} : { older: flags.older }),
    }),
    roundComplete: true,
  } satisfies Page
})
