/** Mailboxes as their owners see them at the provider: what tests do to them, and what they then hold. A driver for each channel. */
import { Context, Effect, Schema } from "effect"
import type { Channel, Provider } from "../../src/domain/Account.ts"
import type { FailureClass } from "../../src/domain/FailureClass.ts"
import { type Change, type Folder, FolderRole, type Message } from "../../src/domain/Mail.ts"
import type { ProviderError } from "../../src/domain/ProviderError.ts"
import type { SettingsValues } from "../../src/domain/Settings.ts"
import type { AccessToken } from "../../src/oauth/Tokens.ts"

/**
 * Where a message lies: the role of its folder, or else the folder's name; that of a nested one follows those around it,
 * parted by `nested`. The role counts and not the name, since every provider and language has other names for it.
 */
export type Place = string

export const nested = " » "

export interface RemoteMail {
  /** By which the driver finds it again. */
  readonly id: string
  readonly place: Place
  readonly subject: string
  readonly isRead: boolean
  readonly isFlagged: boolean
  /** Its Message-ID, without angle brackets; null where it has none. */
  readonly messageId: string | null
}

export interface NewMail {
  /** The inbox if left out. */
  readonly place?: Place
  readonly subject: string
  readonly isRead?: boolean
}

/** What may go wrong at the provider. */
export type Trouble = "locked" | "gone"

export interface RemoteBox {
  readonly email: string
  readonly clientId: string
  /** All that it holds, in no order. */
  readonly mail: Effect.Effect<ReadonlyArray<RemoteMail>>
  /** All folders that can hold mail. */
  readonly places: Effect.Effect<ReadonlyArray<Place>>
  /** Those of them that mail can be put into. */
  readonly targets: Effect.Effect<ReadonlyArray<Place>>
  readonly deliver: (mail: NewMail) => Effect.Effect<RemoteMail>
  readonly edit: (
    mail: RemoteMail,
    change: { readonly isRead?: boolean; readonly isFlagged?: boolean },
  ) => Effect.Effect<RemoteMail>
  readonly move: (mail: RemoteMail, place: Place) => Effect.Effect<RemoteMail>
  /** For good. */
  readonly remove: (mail: RemoteMail) => Effect.Effect<void>
  /** Answers its place. */
  readonly createFolder: (name: string, within?: Place) => Effect.Effect<Place>
  /** A folder that has no role; answers its new place. */
  readonly renameFolder: (place: Place, name: string) => Effect.Effect<Place>
  /** With all that is in it, folders too. */
  readonly removeFolder: (place: Place) => Effect.Effect<void>
  /** The provider forgets how far anybody has read. */
  readonly loseCursors: Effect.Effect<void>
  /** The next requests are refused for being too many. */
  readonly throttle: (requests: number) => Effect.Effect<void>
  /** The access tokens of this moment are worth nothing any more; new ones are given out. */
  readonly expireTokens: Effect.Effect<void>
  /** Null ends it. */
  readonly suffer: (trouble: Trouble | null) => Effect.Effect<void>
}

/** A provider with mailboxes that are read over one channel. */
export class Remote extends Context.Service<Remote, {
  readonly channel: Channel
  readonly provider: Provider
  /** False where mail outlives the folder that it lay in. */
  readonly foldersHoldMail: boolean
  /** What a sync fails with that meets the trouble. */
  readonly classOf: Readonly<Record<Trouble, FailureClass>>
  /** A mailbox that nobody has been given before. It holds some mail, and folders in more than one level. */
  readonly open: Effect.Effect<RemoteBox>
  /** Settings that lead to it. */
  readonly settings: Partial<SettingsValues>
  /** A new access token of the mailbox. */
  readonly redeem: (email: string) => Effect.Effect<AccessToken, ProviderError>
}>()("test/Remote") {}

const roles: ReadonlyArray<string> = FolderRole.literals

export const isRole = Schema.is(FolderRole)

/** Whether a folder is the user's own: it may be renamed and removed. */
export const isOwn = (place: Place): boolean => !roles.includes(place.split(nested).at(-1)!)

/** One line for a message, to be compared: everything but the id. */
export const lineOf = ({ isFlagged, isRead, messageId, place, subject }: Omit<RemoteMail, "id">): string =>
  // Gmail trims what stands in headers.
  JSON.stringify([place, messageId, subject.trim(), isRead ? "read" : "unread", isFlagged ? "flagged" : ""])

/** The place of each stored folder, by id. */
export const placesOf = (folders: ReadonlyArray<Folder>): ReadonlyMap<string, Place> => {
  const byId = new Map(folders.map((folder) => [folder.id, folder]))
  const place = ({ displayName, parentId, role }: Folder): Place => {
    if (role !== undefined) return role
    const parent = parentId === undefined ? undefined : byId.get(parentId)
    return parent === undefined ? displayName : `${place(parent)}${nested}${displayName}`
  }
  return new Map(folders.map((folder) => [folder.id, place(folder)]))
}

/** What is stored, as lines to be compared with those of the mailbox. */
export const storedLines = (
  folders: ReadonlyArray<Folder>,
  messages: ReadonlyArray<Pick<Message, "folderId" | "subject" | "isRead" | "isFlagged" | "internetMessageId">>,
): ReadonlyArray<string> => {
  const places = placesOf(folders)
  return messages.map(({ folderId, internetMessageId, ...message }) =>
    lineOf({
      ...message,
      place: places.get(folderId) ?? `no folder ${folderId}`,
      messageId: internetMessageId?.replace(/^<|>$/g, "") ?? null,
    })
  ).toSorted()
}

export interface Replayed {
  /** The folder of each message that is left, by id. */
  readonly folders: ReadonlyMap<string, string>
  readonly counts: Readonly<Record<string, number>>
  /** Entries that do not follow from those before them. */
  readonly faults: ReadonlyArray<string>
}

/** What a reader has who begins with nothing and believes every entry of the change log. */
export const replay = (log: ReadonlyArray<Change>): Replayed => {
  const folders = new Map<string, string>()
  const deleted = new Set<string>()
  const counts: Record<string, number> = {}
  const faults: Array<string> = []
  for (const { folderId, kind, messageId, position } of log) {
    if (messageId === undefined || folderId === undefined) continue
    counts[kind] = (counts[kind] ?? 0) + 1
    const fault = (what: string) => faults.push(`${position} ${kind} ${messageId}: ${what}`)
    if (kind === "message.created") {
      if (folders.has(messageId)) fault("it was there before")
      if (deleted.has(messageId)) fault("it was deleted before")
      folders.set(messageId, folderId)
      continue
    }
    const before = folders.get(messageId)
    if (before === undefined) fault("it was not there")
    if (kind === "message.deleted") {
      folders.delete(messageId)
      deleted.add(messageId)
    } else if (kind === "message.moved") {
      if (before === folderId) fault("it was in that folder before")
      folders.set(messageId, folderId)
    } else if (before !== folderId) {
      fault(`it was in ${before}, not in ${folderId}`)
    }
  }
  return { folders, counts, faults }
}
