/** Folders, messages and the change log. */
import { Schema } from "effect"
import { AccountId, FolderId, MessageId } from "./Ids.ts"

/** What a folder is for, whatever its name. */
export const FolderRole = Schema.Literals(["inbox", "sent", "drafts", "junk", "trash", "archive"])
export type FolderRole = typeof FolderRole.Type

/** One folder of a mailbox, or label. */
export const Folder = Schema.Struct({
  id: FolderId,
  displayName: Schema.String,
  role: Schema.optionalKey(FolderRole),
  parentId: Schema.optionalKey(FolderId),
  /** Messages stored here. */
  messages: Schema.Int,
  /** Messages that the provider counted when it was last asked; null where it does not say. */
  remoteMessages: Schema.NullOr(Schema.Int),
  /** `remoteMessages` less `messages`. Mail that a window or retention leaves out is part of it. */
  difference: Schema.NullOr(Schema.Int),
  /** End of the last complete round that the folder was part of. */
  syncedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** When the cursor was stored: it is left as it is while nothing happens. */
  cursorAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** The last comparison of all ids with the provider's: how many the store had too few (negative: too many) before it. */
  reconciled: Schema.NullOr(Schema.Struct({ at: Schema.DateTimeUtcFromString, difference: Schema.Int })),
})
export type Folder = typeof Folder.Type

/** One person in a header of a message. */
export const Address = Schema.Struct({ name: Schema.String, address: Schema.String })
export type Address = typeof Address.Type

/**
 * `headers`: the body is not stored, by choice or not yet. `complete`: all of it. `truncated`: its beginning. `refused`: it
 * could not be read, and is not asked for again. The last two say why.
 */
export const BodyState = Schema.Literals(["headers", "complete", "truncated", "refused"])
export type BodyState = typeof BodyState.Type

/** A file that came with a message. Its content stays at the provider. */
export const Attachment = Schema.Struct({
  /** Within its message. */
  id: Schema.String,
  /** As the sender named it; empty where it has no name. Never to be used as a path. */
  name: Schema.String,
  contentType: Schema.String,
  /** Bytes, as near as the provider tells; null where it does not say. */
  size: Schema.NullOr(Schema.Int),
  /** Shown within the text rather than beside it. */
  inline: Schema.Boolean,
  /** What the HTML refers to by `cid:`. */
  contentId: Schema.NullOr(Schema.String),
})
export type Attachment = typeof Attachment.Type

/** One message, without its text. */
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
  /** Bytes; null where the provider does not say. */
  size: Schema.NullOr(Schema.Int),
  bodyState: BodyState,
  /** One line: why the body is truncated or refused. */
  bodyReason: Schema.optionalKey(Schema.String),
  /** Known once the body is stored. */
  attachments: Schema.Array(Attachment),
})
export type Message = typeof Message.Type

/** A message with its body: `html` as the provider sent it, `text` as sent or derived from the HTML. */
export const MessageWithBody = Schema.Struct({
  ...Message.fields,
  text: Schema.NullOr(Schema.String),
  html: Schema.NullOr(Schema.String),
})
export type MessageWithBody = typeof MessageWithBody.Type

/** Messages that answer one another, as the provider groups them. */
export const Thread = Schema.Struct({
  /** Null = a message that belongs to none, by itself. */
  threadId: Schema.NullOr(Schema.String),
  /** Of its newest message, as are sender and time. */
  subject: Schema.String,
  from: Schema.NullOr(Address),
  receivedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  latestMessageId: MessageId,
  messages: Schema.Int,
  unread: Schema.Int,
})
export type Thread = typeof Thread.Type

/** What happened. */
export const ChangeKind = Schema.Literals([
  "message.created",
  "message.updated",
  "message.moved",
  "message.deleted",
  "account.status",
])
export type ChangeKind = typeof ChangeKind.Type

/**
 * `backfill`: found in the first round of an account, or a body that was fetched later; `reconcile`: found when a lost cursor
 * or a change of channel was made good, or done by us (retention); else `live`.
 */
export const ChangeOrigin = Schema.Literals(["live", "backfill", "reconcile"])
export type ChangeOrigin = typeof ChangeOrigin.Type

/** An entry in the change log: what happened to a message or an account, in one order over all. */
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
