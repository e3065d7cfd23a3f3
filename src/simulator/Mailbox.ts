/**
 * One mailbox and what happens in it. What nobody changed is worked out from the seed when it is asked for; only changes
 * are remembered: records of changed messages, and a log that delta rounds read.
 */
import type { Attachment } from "./Attachments.ts"
import {
  deletedItems,
  drafts,
  firstAddedFolder,
  type Folder,
  inbox,
  initialFolderOf,
  initialFolders,
  sentItems,
} from "./Folders.ts"
import { folderId, immutableId, placeOf, readFolderId, readMessageId } from "./Ids.ts"
import { type Letter, type Person, writeLetter } from "./Letters.ts"
import { type Change, MailboxLog } from "./MailboxLog.ts"
import type { Settings } from "./Options.ts"
import { hash } from "./Random.ts"

/** Where a message is and how it stands. */
export interface Message {
  readonly ordinal: number
  readonly folder: number
  readonly moves: number
  readonly version: number
  readonly isRead: boolean
  readonly flagStatus: "notFlagged" | "flagged" | "complete"
  /** Epoch milliseconds. */
  readonly receivedAt: number
  readonly modifiedAt: number
  readonly gone: boolean
  /** What differs from the letter that its number stands for. */
  readonly letter: Partial<Letter>
}

/** What can be changed of a message. */
export interface MessageChange {
  readonly isRead?: boolean
  readonly flagStatus?: "notFlagged" | "flagged" | "complete"
  readonly subject?: string
  readonly categories?: ReadonlyArray<string>
  readonly importance?: "low" | "normal" | "high"
}

/** What a delivered message says; what is left out is made up. */
export interface Delivery {
  /** Folder id or well-known name; the inbox if left out. */
  readonly folder?: string
  readonly subject?: string
  readonly from?: Person
  readonly text?: string
  readonly html?: boolean
  readonly isRead?: boolean
  readonly hasAttachments?: boolean
  readonly attachments?: ReadonlyArray<Attachment>
}

const noFolders: ReadonlyArray<Folder> = []
const nothing: ReadonlySet<number> = new Set()
const noNames: ReadonlyMap<number, string> = new Map()
const emptyLog = new MailboxLog()

/** Milliseconds between two initial messages of a mailbox, on average. */
const spacing = 3 * 3_600_000

export class Mailbox {
  // These stay absent or until something changes: most mailboxes never do.
  private records: Map<number, Message> | undefined
  private added: ReadonlyArray<Folder> = noFolders
  private removedFolders: ReadonlySet<number> = nothing
  private renamedFolders: ReadonlyMap<number, string> = noNames
  /** What happened here, for delta rounds. */
  log: MailboxLog = emptyLog
  /** Ordinal of the next message. */
  private next: number
  /** Tokens of an earlier epoch are forgotten. */
  deltaEpoch = 0
  /** How the loss of delta state is told: in the `Location` form, or as a coded error. */
  lostAs: "410" | "code" | undefined = undefined
  /** Numbers of the accounts whose users may read it too. */
  readonly sharedWith = new Set<number>()
  /** Error that every Graph request meets, e.g. 404 `MailboxNotEnabledForRESTAPI`. */
  refusal: { readonly status: number; readonly code: string } | undefined = undefined
  /** Told of every change, by folder ordinal. */
  watcher: ((folder: number, change: Change) => void) | undefined = undefined

  constructor(
    private readonly settings: Settings,
    readonly index: number,
    readonly email: string,
    private readonly now: () => number,
  ) {
    this.next = settings.messages
  }

  // Folders

  /** All folders that exist, the root included. */
  folders(): ReadonlyArray<Folder> {
    const initial = initialFolders(this.settings.seed, this.index)
    if (this.added.length === 0 && this.removedFolders.size === 0 && this.renamedFolders.size === 0) return initial
    return [...initial, ...this.added].filter((folder) => !this.removedFolders.has(folder.ordinal)).map((folder) => {
      const name = this.renamedFolders.get(folder.ordinal)
      return name === undefined ? folder : { ...folder, name }
    })
  }

  /** A folder by id or by well-known name, which is not case-sensitive, as ids are. */
  folder(idOrName: string): Folder | undefined {
    const id = readFolderId(idOrName)
    if (id === undefined) {
      const name = idOrName.toLowerCase()
      return this.folders().find((folder) => folder.wellKnown === name)
    }
    return id.index === this.index ? this.folders().find((folder) => folder.ordinal === id.ordinal) : undefined
  }

  folderIdOf(ordinal: number): string {
    return folderId(this.index, ordinal)
  }

  addFolder(name: string, parent: number, hidden = false): Folder {
    const folder = { ordinal: firstAddedFolder + this.added.length, parent, name, wellKnown: undefined, hidden }
    this.added = [...this.added, folder]
    return folder
  }

  /** Gives a folder another name; its id stays. */
  renameFolder(ordinal: number, name: string): void {
    this.renamedFolders = new Map(this.renamedFolders).set(ordinal, name)
  }

  /** Removes a folder with all that is in it. */
  removeFolder(ordinal: number): void {
    for (const child of this.folders()) if (child.parent === ordinal) this.removeFolder(child.ordinal)
    for (const message of [...this.messagesIn(ordinal)]) this.remove(message.ordinal)
    this.removedFolders = new Set(this.removedFolders).add(ordinal)
  }

  /** Messages and unread messages by folder ordinal. */
  counts(): Map<number, { total: number; unread: number }> {
    const counts = new Map<number, { total: number; unread: number }>()
    for (const message of this.messages()) {
      const count = counts.get(message.folder)
      const unread = message.isRead ? 0 : 1
      if (count === undefined) counts.set(message.folder, { total: 1, unread })
      else {
        count.total++
        count.unread += unread
      }
    }
    return counts
  }

  // Messages

  /** A message that exists, by ordinal. */
  message(ordinal: number): Message | undefined {
    if (ordinal >= this.next) return undefined
    const message = this.records?.get(ordinal) ?? this.initial(ordinal)
    return message.gone ? undefined : message
  }

  /** A message by immutable or default id; a default id of before a move finds nothing. */
  find(id: string): Message | undefined | "malformed" {
    const read = readMessageId(id)
    if (read === undefined) return "malformed"
    const message = read.index === this.index ? this.message(read.ordinal) : undefined
    if (message === undefined || read.place === undefined) return message
    return read.place === placeOf(message.folder, message.moves) ? message : undefined
  }

  idOf(message: Message): string {
    return immutableId(this.index, message.ordinal)
  }

  /** Newest first, starting below an ordinal. */
  *messages(below = this.next): Generator<Message> {
    for (let ordinal = Math.min(below, this.next) - 1; ordinal >= 0; ordinal--) {
      const message = this.message(ordinal)
      if (message !== undefined) yield message
    }
  }

  *messagesIn(folder: number, below = this.next): Generator<Message> {
    // Most messages never changed: their folder is known without making the whole of them.
    const { seed } = this.settings
    for (let ordinal = Math.min(below, this.next) - 1; ordinal >= 0; ordinal--) {
      const record = this.records?.get(ordinal)
      if (record === undefined) {
        if (initialFolderOf(seed, this.index, ordinal) === folder) yield this.initial(ordinal)
      } else if (!record.gone && record.folder === folder) yield record
    }
  }

  letter(message: Message): Letter {
    const outgoing = initialFolderOf(this.settings.seed, this.index, message.ordinal) === sentItems &&
      message.ordinal < this.settings.messages
    const owner = { name: `Sim ${this.index + 1}`, address: this.email }
    return { ...writeLetter(this.settings.seed, this.index, message.ordinal, owner, outgoing), ...message.letter }
  }

  isDraft(message: Message): boolean {
    return message.folder === drafts
  }

  /** Delivers new mail. */
  deliver(delivery: Delivery, folder = inbox): Message {
    const { folder: _, isRead, ...letter } = delivery
    const now = this.now()
    const message: Message = {
      ordinal: this.next++,
      folder,
      moves: 0,
      version: 1,
      isRead: isRead ?? false,
      flagStatus: "notFlagged",
      receivedAt: now,
      modifiedAt: now,
      gone: false,
      letter,
    }
    this.keep(message)
    this.note(folder, { ordinal: message.ordinal, kind: "created" })
    return message
  }

  /** Changes fields of a message; `undefined` if there is no such message. */
  edit(ordinal: number, change: MessageChange): Message | undefined {
    const message = this.message(ordinal)
    if (message === undefined) return undefined
    const { isRead = message.isRead, flagStatus = message.flagStatus, ...letter } = change
    const edited = this.store(message, { isRead, flagStatus, letter: { ...message.letter, ...letter } })
    const fields = new Set(["lastModifiedDateTime", "changeKey"])
    for (const name of Object.keys(change)) fields.add(name === "flagStatus" ? "flag" : name)
    this.note(message.folder, { ordinal, kind: "updated", fields })
    return edited
  }

  /** Moves a message: removed there, new here. */
  move(ordinal: number, folder: number): Message | undefined {
    const message = this.message(ordinal)
    if (message === undefined || message.folder === folder) return message
    const moved = this.store(message, { folder, moves: message.moves + 1 })
    // The documents do not say which reason a move has: clients must bear both.
    const reason = hash(this.settings.seed, ordinal, moved.moves) % 2 === 0 ? "deleted" : "changed"
    const place = placeOf(message.folder, message.moves)
    this.note(message.folder, { ordinal, kind: "removed", reason, place })
    this.note(folder, { ordinal, kind: "created" })
    return moved
  }

  /** Deletes a message for good. */
  remove(ordinal: number): boolean {
    const message = this.message(ordinal)
    if (message === undefined) return false
    this.store(message, { gone: true })
    const place = placeOf(message.folder, message.moves)
    this.note(message.folder, { ordinal, kind: "removed", reason: "deleted", place })
    return true
  }

  /** As a user deletes: into Deleted Items, and from there for good. */
  discard(ordinal: number): boolean {
    const message = this.message(ordinal)
    if (message === undefined) return false
    if (message.folder === deletedItems) return this.remove(ordinal)
    this.move(ordinal, deletedItems)
    return true
  }

  private store(message: Message, change: Partial<Message>): Message {
    const stored = { ...message, ...change, version: message.version + 1, modifiedAt: this.now() }
    this.keep(stored)
    return stored
  }

  private keep(message: Message): void {
    this.records ??= new Map()
    this.records.set(message.ordinal, message)
  }

  private note(folder: number, change: Change): void {
    if (this.log === emptyLog) this.log = new MailboxLog()
    this.log.add(folder, change)
    this.watcher?.(folder, change)
  }

  private initial(ordinal: number): Message {
    const { epoch, messages, seed } = this.settings
    const age = (messages - 1 - ordinal) * spacing + hash(seed, 0xa9e, this.index, ordinal) % spacing
    const receivedAt = Math.floor((epoch - age) / 1000) * 1000
    return {
      ordinal,
      folder: initialFolderOf(seed, this.index, ordinal),
      moves: 0,
      version: 1,
      isRead: hash(seed, 0x4ead, this.index, ordinal) % 3 !== 0,
      flagStatus: hash(seed, 0xf1a9, this.index, ordinal) % 20 === 0 ? "flagged" : "notFlagged",
      receivedAt,
      modifiedAt: receivedAt,
      gone: false,
      letter: {},
    }
  }
}
