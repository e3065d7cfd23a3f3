/** The port to one mailbox: what Microsoft Graph, Gmail and IMAP can all tell about folders and what changed in them. */
import { type Effect, Schema } from "effect"
import type { Channel, Provider } from "../domain/Account.ts"
import type { AccountId, GrantId } from "../domain/Ids.ts"
import type { FolderRole, MessageWithBody } from "../domain/Mail.ts"
import type { ProviderError } from "../domain/ProviderError.ts"

/** The provider no longer knows the cursor: the folder must be listed afresh and compared with what is stored. */
export class CursorLost extends Schema.TaggedError<CursorLost>()("CursorLost", {}) {}

/** The provider knows no such folder (any more). */
export class FolderGone extends Schema.TaggedError<FolderGone>()("FolderGone", {}) {}

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
}

export interface RemoteFolder {
  /** The provider's id; case-sensitive. */
  readonly remoteId: string
  readonly parentRemoteId: string | null
  readonly displayName: string
  readonly role: FolderRole | null
  /** Messages as the provider counts them; null where it does not say. */
  readonly totalItems: number | null
}

export type RemoteMessage = Omit<MessageWithBody, "id" | "accountId" | "folderId">

/** A message is in the folder. A field that is missing did not change: it is not null. */
export interface Upsert {
  readonly _tag: "Upsert"
  readonly remoteId: string
  readonly fields: Partial<RemoteMessage>
}

/** A message is no longer in the folder: moved or deleted. */
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

export interface Mailbox {
  /**
   * All folders, nested ones included, parents not always before children. `known` are the folders of the last listing
   * with their roles, so that a channel need not ask for roles again.
   */
  readonly folders: (
    known: ReadonlyArray<Pick<RemoteFolder, "remoteId" | "role">>,
  ) => Effect.Effect<ReadonlyArray<RemoteFolder>, ProviderError>
  /** The next page of changes in a folder; without a cursor the first page of a listing, newest messages first. */
  readonly page: (
    folderRemoteId: string,
    cursor: string | null,
  ) => Effect.Effect<Page, ProviderError | CursorLost | FolderGone>
}
