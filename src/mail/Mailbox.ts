/** The port to one mailbox: what Microsoft Graph, Gmail and IMAP can all tell about folders and what changed in them. */
import { type DateTime, type Effect, Schema, type Stream } from "effect"
import type { Channel, Provider } from "../domain/Account.ts"
import type { AccountId, GrantId } from "../domain/Ids.ts"
import { BodyState, type FolderRole, type MessageWithBody } from "../domain/Mail.ts"
import type { ProviderError } from "../domain/ProviderError.ts"

/** The provider no longer knows the cursor: the folder must be listed afresh and compared with what is stored. */
export class CursorLost extends Schema.TaggedError<CursorLost>()("CursorLost", {}) {}

/** The provider knows no such folder (any more). */
export class FolderGone extends Schema.TaggedError<FolderGone>()("FolderGone", {}) {}

/** The provider has no such message or attachment (any more). */
export class MessageGone extends Schema.TaggedError<MessageGone>()("MessageGone", {}) {}

/** What a channel needs to know to open a mailbox. */
export interface MailAccount {
  readonly id: AccountId
  readonly email: string
  readonly provider: Provider
  readonly channel: Channel
  readonly grantId: GrantId
  readonly clientId: string
  /** Read under its address, by the right of somebody else or of an app; else the mailbox of whoever signed in. */
  readonly byName: boolean
  /**
   * Bodies of messages from then on are wanted; null = of none. Pages bring no others, even where they cost nothing. Absent =
   * of all.
   */
  readonly bodiesSince?: DateTime.Utc | null | undefined
  /** Older messages are not wanted: a listing may leave them out. Absent = all are. */
  readonly since?: DateTime.Utc | undefined
}

export interface RemoteFolder {
  /** The provider's id; case-sensitive. */
  readonly remoteId: string
  readonly parentRemoteId: string | null
  readonly displayName: string
  readonly role: FolderRole | null
  /** Messages as the provider counts them; null where it does not say. */
  readonly totalItems: number | null
  /**
   * The folder whose pages bring this one's changes as well (Gmail has one history for all labels); absent = it has pages of
   * its own.
   */
  readonly followedBy?: string | undefined
  /** The id under which the folder was known before it was renamed, where the provider has no ids that outlive a new name. */
  readonly renamedFrom?: string | undefined
}

/** What is known of a folder from the last listing. */
export interface KnownFolder extends Pick<RemoteFolder, "remoteId" | "role"> {
  readonly cursor: string | null
  readonly totalItems?: number | null | undefined
}

/** A file that came with a message. Its content stays at the provider until somebody asks for it. */
export interface RemoteAttachment {
  /** What `attachment` takes: the provider's id, or the number of the MIME part. */
  readonly remoteId: string
  /** Empty where it has none. */
  readonly name: string
  /** In lower case, without parameters; `application/octet-stream` where nothing is said. */
  readonly contentType: string
  /** Bytes, decoded or as near to it as the provider tells; null where it does not say. */
  readonly size: number | null
  /** Shown within the text rather than beside it. */
  readonly inline: boolean
  /** What the HTML refers to by `cid:`, without angle brackets. */
  readonly contentId: string | null
}

export { BodyState }

/** What is behind the headers of a message. */
export interface RemoteBody {
  /** Plain text as sent, else derived from the HTML. */
  readonly text: string | null
  readonly html: string | null
  readonly attachments: ReadonlyArray<RemoteAttachment>
  readonly bodyState: BodyState
  /** One line, where the state is `truncated` or `refused`. */
  readonly bodyReason: string | null
}

export interface RemoteMessage
  extends Omit<MessageWithBody, "id" | "accountId" | "folderId" | keyof RemoteBody>, RemoteBody {
  /** Bytes; null where the provider does not say. */
  readonly size: number | null
}

/** A message is in the folder. A field that is missing did not change: it is not null. */
export interface Upsert {
  readonly _tag: "Upsert"
  readonly remoteId: string
  readonly fields: Partial<RemoteMessage>
  /** Where it lies, if not in the folder that the page is of: pages that other folders follow say so. */
  readonly folderRemoteId?: string | undefined
  /** Changes a message that is stored; one that is not is left out. */
  readonly ifKnown?: boolean | undefined
  /**
   * By which the same message is known again under another `remoteId`, where ids do not outlive a move or a new numbering:
   * its Message-ID, or what stands for it. Other messages may have the same: it tells only where a message that left reappears.
   */
  readonly twinKey?: string | undefined
}

/** A message is no longer in the folder: moved or deleted. On a page that other folders follow: gone from the mailbox. */
export interface Removed {
  readonly _tag: "Removed"
  readonly remoteId: string
}

export interface Page {
  /** In the provider's order. A message may come more than once: the last word counts. May be empty in mid-round. */
  readonly changes: ReadonlyArray<Upsert | Removed>
  /** Opaque: where the next page starts, or the next round if this one is complete. */
  readonly cursor: string
  /** True when this page brings the folder to the provider's present state. */
  readonly roundComplete: boolean
}

/** What is stored of a mailbox, for a channel that must compare. */
export interface StoredMail {
  /** The remote ids of the messages in a folder, in no order. */
  readonly ids: (folderRemoteId: string) => Effect.Effect<ReadonlyArray<string>>
}

export interface Mailbox {
  /** Folders that can be read at a time. */
  readonly concurrency: number
  /**
   * All folders, nested ones included, parents not always before children. `known` are the folders of the last listing
   * with their roles, so that a channel need not ask for roles again.
   */
  readonly folders: (known: ReadonlyArray<KnownFolder>) => Effect.Effect<ReadonlyArray<RemoteFolder>, ProviderError>
  /**
   * The next page of changes in a folder; without a cursor the first page of a listing, newest messages first. Bodies come
   * with it only where they cost nothing: `bodies` brings the others.
   */
  readonly page: (
    folderRemoteId: string,
    cursor: string | null,
  ) => Effect.Effect<Page, ProviderError | CursorLost | FolderGone>
  /** The bodies of messages, by remote id; one that is missing from the answer is no longer there. */
  readonly bodies?: (
    folderRemoteId: string,
    remoteIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyMap<string, RemoteBody & Partial<RemoteMessage>>, ProviderError | FolderGone>
  /** The newest messages of a folder whose first listing is still under way; absent where `page` serves them first by itself. */
  readonly newest?: (folderRemoteId: string) => Effect.Effect<ReadonlyArray<Upsert>, ProviderError | FolderGone>
  /** Which of the messages are in the folder at this moment; absent where ids outlive a move, so that nobody needs to ask. */
  readonly present?: (
    folderRemoteId: string,
    remoteIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlySet<string>, ProviderError | FolderGone>
  /** The remote ids of all messages in a folder, to be compared with those stored. */
  readonly ids?: (folderRemoteId: string) => Effect.Effect<ReadonlyArray<string>, ProviderError | FolderGone>
  /** The content of an attachment, in pieces, as the provider sends it. */
  readonly attachment?: (
    folderRemoteId: string,
    remoteId: string,
    attachmentRemoteId: string,
  ) => Stream.Stream<Uint8Array, ProviderError | MessageGone>
}
