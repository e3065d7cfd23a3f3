/** What the pages of a folder are made with: its messages, and what is remembered while the mailbox is open. */
import { Effect } from "effect"
import type { FetchMessageObject, MessageStructureObject } from "imapflow"
import type { ListedFolder } from "./ImapFolders.ts"
import { liesElsewhere, metadataQuery, plainQuery, toUpsert } from "./ImapMessage.ts"
import type { ImapSession } from "./ImapSession.ts"
import { uidOf, uidSets, type UidSpace } from "./ImapUids.ts"
import type { StoredMail, Upsert } from "../Mailbox.ts"
import type { MimeMessage } from "../mime/MimeMessage.ts"
import type { MimeParser } from "../mime/MimeParser.ts"

/** Messages of a page; each has its envelope, structure and some headers: a few hundred bytes to a few kilobytes. */
export const pageSize = 200

/** Spares questions whose answers were long. All of it can be asked again: a new process begins without. */
export interface Memory {
  folders: ReadonlyMap<string, ListedFolder>
  /** UIDs of a first listing that lie below one, ascending. */
  listing: { readonly space: string; readonly below: number; readonly uids: ReadonlyArray<number> } | undefined
  /** Of the messages that the last page brought, by UID: their bodies are asked for next. */
  structures: {
    readonly path: string
    readonly uidValidity: string
    readonly ofUid: ReadonlyMap<number, MessageStructureObject>
  } | undefined
  /** Flags that changed since a MODSEQ, ascending by UID. */
  changed: { readonly space: string; readonly rows: ReadonlyArray<FetchMessageObject> } | undefined
}

/** Structures that the last page brought, if it was of this folder. */
export const structuresOf = ({ structures }: Memory, path: string, uidValidity: string) =>
  structures !== undefined && structures.path === path && structures.uidValidity === uidValidity
    ? structures.ofUid
    : new Map<number, MessageStructureObject>()

export interface Reader {
  readonly session: ImapSession
  readonly memory: Memory
  readonly parser: MimeParser["Service"]
  readonly stored: StoredMail
  readonly path: string
}

export const spaceOf = ({ key, uidValidity }: UidSpace): string => `${uidValidity} ${key}`

export const isCondstore = ({ client }: ImapSession): boolean =>
  client.enabled.has("CONDSTORE") && client.mailbox !== false && client.mailbox.noModseq !== true &&
  client.mailbox.highestModseq !== undefined

/**
 * The messages with these UIDs, as far as they are still there, ascending; of Gmail's "All Mail" those that lie nowhere else.
 * Where the server's envelope or structure of one cannot be read, its headers are.
 */
export const metadataOf = Effect.fnUntraced(function* (
  { memory, parser, path, session }: Reader,
  space: UidSpace,
  uids: ReadonlyArray<number>,
) {
  const isElsewhere = memory.folders.get(path)?.all === true ? liesElsewhere : () => false
  const seen = new Map<number, Upsert | undefined>()
  const structures = new Map<number, MessageStructureObject>()
  memory.structures = { path, uidValidity: space.uidValidity, ofUid: structures }
  const keep = (row: FetchMessageObject, parsed?: MimeMessage) => {
    if (row.bodyStructure !== undefined) structures.set(row.uid, row.bodyStructure)
    seen.set(row.uid, isElsewhere(row) ? undefined : toUpsert(row, space, parsed))
  }
  for (const set of uidSets(uids)) {
    // The server may tell of other clients' changes in between: such rows have flags only.
    for (const row of yield* session.all(set, metadataQuery)) if (row.envelope !== undefined) keep(row)
  }
  for (const set of uidSets(uids.filter((uid) => !seen.has(uid)))) {
    for (const row of yield* session.all(set, plainQuery)) {
      if (row.headers !== undefined) {
        keep(row, yield* parser.parse(row.headers).pipe(Effect.orElseSucceed(() => undefined)))
      }
    }
  }
  return [...seen].sort(([a], [b]) => a - b).flatMap(([, upsert]) => upsert === undefined ? [] : [upsert])
})

/** The stored messages that the folder no longer holds, of those below a UID. */
export const vanishedFrom = Effect.fnUntraced(function* (
  { path, session, stored }: Reader,
  uidValidity: string,
  below: number,
) {
  const known = (yield* stored.ids(path)).flatMap((remoteId) => {
    const uid = uidOf(remoteId, uidValidity)
    return uid === undefined || uid >= below ? [] : [{ remoteId, uid }]
  })
  if (known.length === 0) return []
  const present = new Set(yield* session.search(`1:${below - 1}`))
  return known.filter(({ uid }) => !present.has(uid)).map(({ remoteId }) => remoteId)
})
