/** Folders, messages and the change log. */
import { Schema } from "effect"
import { AccountId, FolderId, MessageId } from "./Ids.ts"

export const FolderRole = Schema.Literals(["inbox", "sent", "drafts", "junk", "trash", "archive"])
export type FolderRole = typeof FolderRole.Type

export const Folder = Schema.Struct({
  id: FolderId,
  displayName: Schema.String,
  role: Schema.optionalKey(FolderRole),
  parentId: Schema.optionalKey(FolderId),
  /** Messages stored here. */
  messages: Schema.Int,
  /** Messages that the provider counted when the folder was last listed. */
  remoteMessages: Schema.NullOr(Schema.Int),
  /** End of the folder's last complete round. */
  syncedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
})
export type Folder = typeof Folder.Type

export const Address = Schema.Struct({ name: Schema.String, address: Schema.String })
export type Address = typeof Address.Type

export const Message = Schema.Struct({
  id: MessageId,
  accountId: AccountId,
  folderId: FolderId,
  subject: Schema.String,
  /** Absent on drafts without a sender. */
  from: Schema.NullOr(Address),
  to: Schema.Array(Address),
  cc: Schema.Array(Address),
  bcc: Schema.Array(Address),
  replyTo: Schema.Array(Address),
  receivedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  sentAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  isRead: Schema.Boolean,
  isDraft: Schema.Boolean,
  isFlagged: Schema.Boolean,
  importance: Schema.String,
  categories: Schema.Array(Schema.String),
  hasAttachments: Schema.Boolean,
  preview: Schema.String,
  internetMessageId: Schema.NullOr(Schema.String),
  threadId: Schema.NullOr(Schema.String),
})
export type Message = typeof Message.Type

/** A message with its body: `html` as the provider sent it, `text` as sent or derived from the HTML. */
export const MessageWithBody = Schema.Struct({
  ...Message.fields,
  text: Schema.NullOr(Schema.String),
  html: Schema.NullOr(Schema.String),
})
export type MessageWithBody = typeof MessageWithBody.Type

export const ChangeKind = Schema.Literals([
  "message.created",
  "message.updated",
  "message.moved",
  "message.deleted",
  "account.status",
])
export type ChangeKind = typeof ChangeKind.Type

/** `backfill`: found in the first round of an account; `reconcile`: found when a lost cursor was made good; else `live`. */
export const ChangeOrigin = Schema.Literals(["live", "backfill", "reconcile"])
export type ChangeOrigin = typeof ChangeOrigin.Type

export const Change = Schema.Struct({
  /** Opaque; sorts by age as text. */
  position: Schema.String,
  at: Schema.DateTimeUtcFromString,
  accountId: AccountId,
  kind: ChangeKind,
  origin: ChangeOrigin,
  messageId: Schema.optionalKey(MessageId),
  folderId: Schema.optionalKey(FolderId),
  /** The fields that an update changed; for `account.status` the status before and after. */
  fields: Schema.optionalKey(Schema.Array(Schema.String)),
})
export type Change = typeof Change.Type
