/** The folders of a mailbox: what LIST and STATUS tell, and what that means here. */
import { Effect } from "effect"
import { monotonicMillis } from "../../domain/Monotonic.ts"
import type { ListResponse, StatusObject } from "imapflow"
import type { FolderRole } from "../../domain/Mail.ts"
import { decodeCursor } from "./ImapCursor.ts"
import { strangeAnswer } from "./ImapErrors.ts"
import type { ImapSession } from "./ImapSession.ts"
import type { KnownFolder, RemoteFolder } from "../Mailbox.ts"

/** What is remembered of a folder while the mailbox is open. */
export interface ListedFolder {
  readonly path: string
  /** Holds messages, not only folders. */
  readonly selectable: boolean
  /** Gmail's "All Mail": shows what lies in other folders as well. */
  readonly all: boolean
  /** How the folder stood at `at` (milliseconds); it serves one page. */
  status: StatusObject | undefined
  readonly at: number
}

export const statusQuery = { messages: true, uidNext: true, uidValidity: true, highestModseq: true }

const roles: Readonly<Record<string, FolderRole>> = {
  "\\Inbox": "inbox",
  "\\Sent": "sent",
  "\\Drafts": "drafts",
  "\\Junk": "junk",
  "\\Trash": "trash",
  "\\Archive": "archive",
  "\\All": "archive",
}

/** By SPECIAL-USE, else by name in many languages (ImapFlow's lists): then only at the top, or directly beneath the inbox. */
const roleOf = (folder: ListResponse): FolderRole | null => {
  const role = roles[folder.specialUse ?? ""] ?? null
  if (folder.specialUseSource === "extension" || role === "inbox") return role
  const [above, ...more] = folder.parent
  return more.length === 0 && (above === undefined || above.toUpperCase() === "INBOX") ? role : null
}

const hasFlag = ({ flags }: ListResponse, flag: string) => [...flags].some((f) => f.toLowerCase() === flag)

const isSelectable = (folder: ListResponse) => !hasFlag(folder, "\\noselect") && !hasFlag(folder, "\\nonexistent")

/** Shows messages that lie elsewhere. Gmail's "All Mail" is one too, but what is archived lies nowhere else. */
const isView = (folder: ListResponse, gmail: boolean) =>
  hasFlag(folder, "\\flagged") || hasFlag(folder, "\\important") || (hasFlag(folder, "\\all") && !gmail)

const statusOf = ({ status }: ListResponse): StatusObject | undefined =>
  status?.uidValidity === undefined ? undefined : status

/**
 * A folder that is gone and one that has come are the same if they count their messages alike and no others do: IMAP does not
 * tell of renaming, but UIDVALIDITY stays (RFC 9051 section 6.3.6).
 */
export const renames = (
  known: ReadonlyArray<KnownFolder>,
  listed: ReadonlyArray<{ readonly path: string; readonly status: StatusObject | undefined }>,
): ReadonlyMap<string, string> => {
  const before = new Set(known.map(({ remoteId }) => remoteId))
  const now = new Set(listed.map(({ path }) => path))
  const gone = known.flatMap(({ cursor, remoteId }) => {
    const position = cursor === null || now.has(remoteId) ? undefined : decodeCursor(cursor)
    return position === undefined ? [] : [{ remoteId, ...position }]
  })
  const come = listed.filter(({ path, status }) => status !== undefined && !before.has(path))
  const result = new Map<string, string>()
  for (const { path, status } of come) {
    const uidValidity = String(status!.uidValidity)
    const [from, ...others] = gone.filter((folder) => folder.uidValidity === uidValidity)
    const alike = come.filter((other) => other.status!.uidValidity === status!.uidValidity)
    if (from === undefined || others.length > 0 || alike.length > 1) continue
    if ((status!.uidNext ?? from.next) >= from.next) result.set(path, from.remoteId)
  }
  return result
}

/** One command where the server has LIST-STATUS, else one more for each folder. */
export const listFolders = Effect.fn("Imap.folders")(function* (
  session: ImapSession,
  known: ReadonlyArray<KnownFolder>,
) {
  const at = yield* monotonicMillis
  const gmail = session.client.capabilities.has("X-GM-EXT-1")
  const answer = yield* session.run((client) => client.list({ statusQuery }))
  // Every mailbox has one (RFC 9051 section 5.1): a listing without it would have all folders forgotten.
  if (!answer.some(({ specialUse }) => specialUse === "\\Inbox")) return yield* strangeAnswer
  const entries = answer.filter((folder) => !isView(folder, gmail))
  // A name that only stands for what is beneath it, with nothing there.
  const listed = entries.filter((folder) =>
    isSelectable(folder) || entries.some(({ path }) => path.startsWith(folder.path + folder.delimiter))
  )
  const paths = new Set(listed.map(({ path }) => path))
  const hasArchive = listed.some((folder) => folder.specialUse === "\\Archive")
  const memory = new Map<string, ListedFolder>()
  for (const folder of listed) {
    memory.set(folder.path, {
      path: folder.path,
      selectable: isSelectable(folder),
      all: gmail && hasFlag(folder, "\\all"),
      status: isSelectable(folder) ? statusOf(folder) : undefined,
      at,
    })
  }
  const renamed = renames(known, [...memory.values()])
  const folders = listed.map((folder): RemoteFolder => {
    const from = renamed.get(folder.path)
    const role = roleOf(folder)
    return {
      remoteId: folder.path,
      parentRemoteId: paths.has(folder.parentPath) ? folder.parentPath : null,
      displayName: folder.name,
      role: role === "archive" && folder.specialUse === "\\All" && hasArchive ? null : role,
      totalItems: isSelectable(folder) ? folder.status?.messages ?? null : 0,
      ...(from === undefined ? {} : { renamedFrom: from }),
    }
  })
  return { folders, memory }
})
