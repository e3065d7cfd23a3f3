/** The fields of a stored message: as columns, as what a provider sends, and as the API shows them. */
import { DateTime } from "effect"
import type { Address, Attachment, BodyState, Message, MessageWithBody } from "../../domain/Mail.ts"
import type { BodyRow } from "./MessageBodies.ts"
import type { RemoteAttachment, RemoteMessage } from "../../mail/Mailbox.ts"

interface Field {
  /** As in `Message`; what `fields` of a change names. */
  readonly name: keyof RemoteMessage
  readonly column: string
  readonly type: "text" | "text[]" | "jsonb" | "boolean" | "integer" | "timestamptz"
  /** SQL for a message that came without the field. */
  readonly absent: string
}

/** The columns of `messages`, but for the ids. */
export const messageFields: ReadonlyArray<Field> = [
  { name: "subject", column: "subject", type: "text", absent: "''" },
  { name: "from", column: "sender", type: "jsonb", absent: "null" },
  { name: "to", column: "to_recipients", type: "jsonb", absent: "'[]'" },
  { name: "cc", column: "cc_recipients", type: "jsonb", absent: "'[]'" },
  { name: "bcc", column: "bcc_recipients", type: "jsonb", absent: "'[]'" },
  { name: "replyTo", column: "reply_to", type: "jsonb", absent: "'[]'" },
  { name: "receivedAt", column: "received_at", type: "timestamptz", absent: "null" },
  { name: "sentAt", column: "sent_at", type: "timestamptz", absent: "null" },
  { name: "isRead", column: "is_read", type: "boolean", absent: "false" },
  { name: "isDraft", column: "is_draft", type: "boolean", absent: "false" },
  { name: "isFlagged", column: "is_flagged", type: "boolean", absent: "false" },
  { name: "importance", column: "importance", type: "text", absent: "'normal'" },
  { name: "categories", column: "categories", type: "text[]", absent: "'{}'" },
  { name: "hasAttachments", column: "has_attachments", type: "boolean", absent: "false" },
  { name: "preview", column: "preview", type: "text", absent: "''" },
  { name: "internetMessageId", column: "internet_message_id", type: "text", absent: "null" },
  { name: "threadId", column: "thread_id", type: "text", absent: "null" },
  { name: "size", column: "size", type: "integer", absent: "null" },
  { name: "attachments", column: "attachments", type: "jsonb", absent: "'[]'" },
  { name: "bodyState", column: "body_state", type: "text", absent: "'headers'" },
  { name: "bodyReason", column: "body_reason", type: "text", absent: "null" },
]

/** The columns of `message_bodies`. */
export const bodyFields: ReadonlyArray<Pick<Field, "name" | "column" | "type">> = [
  { name: "text", column: "body_text", type: "text" },
  { name: "html", column: "body_html", type: "text" },
]

const allFields = [...messageFields, ...bodyFields]

/** Of the rows that {@link toColumns} makes, as `json_to_recordset` takes them. */
export const recordset: string = allFields.map(({ column, type }) => `${column} ${type}`).join(", ")

/** The columns of an `insert`, and their values from such rows `p`. */
export const columnsOfMessages: string = messageFields.map(({ column }) => column).join(", ")
export const valuesOfMessages: string = messageFields.map(({ absent, column }) => `coalesce(p.${column}, ${absent})`)
  .join(", ")

/** The fields that came, under their column names. */
export const toColumns = (fields: Partial<RemoteMessage>): Record<string, unknown> => {
  const columns: Record<string, unknown> = {}
  for (const { name, column } of allFields) {
    const value = fields[name]
    if (value !== undefined) columns[column] = DateTime.isDateTime(value) ? DateTime.formatIso(value) : value
  }
  return columns
}

/** The names of the fields that came: one that did not is not null. */
export const namesOf = (fields: Partial<RemoteMessage>): ReadonlyArray<string> =>
  allFields.map(({ name }) => name).filter((name) => fields[name] !== undefined)

export interface MessageRow {
  readonly id: string
  readonly account_id: string
  readonly folder_id: string
  readonly subject: string
  readonly sender: Address | null
  readonly to_recipients: ReadonlyArray<Address>
  readonly cc_recipients: ReadonlyArray<Address>
  readonly bcc_recipients: ReadonlyArray<Address>
  readonly reply_to: ReadonlyArray<Address>
  readonly received_at: Date | null
  readonly sent_at: Date | null
  readonly is_read: boolean
  readonly is_draft: boolean
  readonly is_flagged: boolean
  readonly importance: string
  readonly categories: ReadonlyArray<string>
  readonly has_attachments: boolean
  readonly preview: string
  readonly internet_message_id: string | null
  readonly thread_id: string | null
  readonly size: number | null
  readonly attachments: ReadonlyArray<RemoteAttachment>
  readonly body_state: BodyState
  readonly body_reason: string | null
}

/** The columns of `MessageRow`, of `messages m`. */
export const messageColumns: string = [
  "id",
  "account_id",
  "folder_id",
  ...messageFields.map(({ column }) => column),
].map((column) => `m.${column}`).join(", ")

const time = (date: Date | null) => date === null ? null : DateTime.fromDateUnsafe(date)

export const toAttachments = (attachments: ReadonlyArray<RemoteAttachment>): ReadonlyArray<Attachment> =>
  attachments.map(({ contentId, contentType, inline, name, size }, index) => ({
    // Its place: a provider's own ids are long, and some change with each look.
    id: String(index + 1),
    name,
    contentType,
    size,
    inline,
    contentId,
  }))

export const toMessage = (row: MessageRow): Message => ({
  id: row.id,
  accountId: row.account_id,
  folderId: row.folder_id,
  subject: row.subject,
  from: row.sender,
  to: row.to_recipients,
  cc: row.cc_recipients,
  bcc: row.bcc_recipients,
  replyTo: row.reply_to,
  receivedAt: time(row.received_at),
  sentAt: time(row.sent_at),
  isRead: row.is_read,
  isDraft: row.is_draft,
  isFlagged: row.is_flagged,
  importance: row.importance,
  categories: row.categories,
  hasAttachments: row.has_attachments,
  preview: row.preview,
  internetMessageId: row.internet_message_id,
  threadId: row.thread_id,
  size: row.size,
  bodyState: row.body_state,
  ...(row.body_reason === null ? {} : { bodyReason: row.body_reason }),
  attachments: toAttachments(row.attachments),
})

export const toMessageWithBody = (
  row: MessageRow & BodyRow,
): MessageWithBody => ({ ...toMessage(row), text: row.body_text, html: row.body_html })
