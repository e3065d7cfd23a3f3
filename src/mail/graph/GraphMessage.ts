/** Messages and folders as Microsoft Graph sends them, and as this house knows them. */
import { DateTime, Option, Schema } from "effect"
import type { Address } from "../../domain/Mail.ts"
import { textOfHtml } from "../mime/HtmlText.ts"
import type { RemoteMessage, Removed, Upsert } from "../Mailbox.ts"

/** Missing is not null: a delta may bring only what changed. */
export const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Recipient = Schema.Struct({
  emailAddress: maybe(Schema.Struct({ name: maybe(Schema.String), address: maybe(Schema.String) })),
})

const Recipients = maybe(Schema.Array(Schema.NullOr(Recipient)))

/** A sample in the documentation of delta queries shows `isRead` as a text. */
const Flag = maybe(Schema.Union([Schema.Boolean, Schema.String]))

/** What is asked for when a body is wanted. */
export const GraphBody = Schema.Struct({
  body: maybe(Schema.Struct({ contentType: maybe(Schema.String), content: maybe(Schema.String) })),
  bodyPreview: maybe(Schema.String),
  hasAttachments: Flag,
})

export const GraphMessage = Schema.Struct({
  id: Schema.String,
  "@removed": Schema.optionalKey(Schema.Unknown),
  subject: maybe(Schema.String),
  from: maybe(Recipient),
  toRecipients: Recipients,
  ccRecipients: Recipients,
  bccRecipients: Recipients,
  replyTo: Recipients,
  receivedDateTime: maybe(Schema.String),
  sentDateTime: maybe(Schema.String),
  isRead: Flag,
  isDraft: Flag,
  flag: maybe(Schema.Struct({ flagStatus: maybe(Schema.String) })),
  importance: maybe(Schema.String),
  categories: maybe(Schema.Array(Schema.String)),
  hasAttachments: Flag,
  bodyPreview: maybe(Schema.String),
  internetMessageId: maybe(Schema.String),
  conversationId: maybe(Schema.String),
  /** In pages of rounds that were begun when bodies were part of a listing: their links go on asking for it. */
  body: GraphBody.fields.body,
})
type GraphMessage = typeof GraphMessage.Type

/** What the first call of a round asks for; the links that it answers with remember it. Bodies are asked for one by one. */
export const messageSelect: string = Object.keys(GraphMessage.fields)
  .filter((field) => field !== "id" && field !== "body" && !field.startsWith("@"))
  .join(",")

/** Exactly one of the links is there: more pages, or where the next round starts. */
export const DeltaPage = Schema.Struct({
  value: Schema.Array(GraphMessage),
  "@odata.nextLink": Schema.optionalKey(Schema.String),
  "@odata.deltaLink": Schema.optionalKey(Schema.String),
})

export const GraphFolder = Schema.Struct({
  id: Schema.String,
  "@odata.type": maybe(Schema.String),
  displayName: maybe(Schema.String),
  parentFolderId: maybe(Schema.String),
  childFolderCount: maybe(Schema.Number),
  totalItemCount: maybe(Schema.Number),
})

export const FolderPage = Schema.Struct({
  value: Schema.Array(GraphFolder),
  "@odata.nextLink": Schema.optionalKey(Schema.String),
})

export const IdOnly = Schema.Struct({ id: Schema.String })

export const MessagePage = Schema.Struct({ value: Schema.Array(GraphMessage) })

export const IdPage = Schema.Struct({
  value: Schema.Array(IdOnly),
  "@odata.nextLink": Schema.optionalKey(Schema.String),
})

/** Whether the HTML shows something that came with it. `hasAttachments` is false where all attachments are of that kind. */
export const refersToAttachments = (html: string | null): boolean => html !== null && /\bcid:/i.test(html)

const address = (recipient: typeof Recipient.Type): Address => ({
  name: recipient.emailAddress?.name ?? "",
  address: recipient.emailAddress?.address ?? "",
})

const addresses = (recipients: typeof Recipients.Type): ReadonlyArray<Address> =>
  (recipients ?? []).flatMap((recipient) => recipient === null ? [] : [address(recipient)])

/** Null for what is no time, and for years that a database or an ISO text of four digits cannot hold. */
const time = (value: string | null): DateTime.Utc | null => {
  if (value === null) return null
  const parsed = Option.getOrNull(DateTime.make(value))
  if (parsed === null) return null
  const utc = DateTime.toUtc(parsed)
  const year = DateTime.getPartUtc(utc, "year")
  return year >= 1 && year <= 9999 ? utc : null
}

export const flag = (value: boolean | string | null): boolean => value === true || value === "true"

export const bodyOf = (body: NonNullable<GraphMessage["body"]>): Pick<RemoteMessage, "text" | "html"> => {
  const content = body.content ?? ""
  return body.contentType?.toLowerCase() === "html"
    ? { html: content, text: textOfHtml(content) }
    : { html: null, text: content }
}

/** Each field that came; a null where this house has none becomes empty. */
export const toChange = (message: GraphMessage): Upsert | Removed => {
  // Both reasons, "deleted" and "changed", mean that the message is no longer in this folder.
  if (message["@removed"] !== undefined) return { _tag: "Removed", remoteId: message.id }
  const fields: { -readonly [K in keyof RemoteMessage]?: RemoteMessage[K] } = {}
  if (message.subject !== undefined) fields.subject = message.subject ?? ""
  if (message.from !== undefined) fields.from = message.from === null ? null : address(message.from)
  if (message.toRecipients !== undefined) fields.to = addresses(message.toRecipients)
  if (message.ccRecipients !== undefined) fields.cc = addresses(message.ccRecipients)
  if (message.bccRecipients !== undefined) fields.bcc = addresses(message.bccRecipients)
  if (message.replyTo !== undefined) fields.replyTo = addresses(message.replyTo)
  if (message.receivedDateTime !== undefined) fields.receivedAt = time(message.receivedDateTime)
  if (message.sentDateTime !== undefined) fields.sentAt = time(message.sentDateTime)
  if (message.isRead !== undefined) fields.isRead = flag(message.isRead)
  if (message.isDraft !== undefined) fields.isDraft = flag(message.isDraft)
  if (message.flag !== undefined) fields.isFlagged = message.flag?.flagStatus === "flagged"
  if (message.importance !== undefined) fields.importance = message.importance ?? "normal"
  if (message.categories !== undefined) fields.categories = message.categories ?? []
  if (message.hasAttachments !== undefined) fields.hasAttachments = flag(message.hasAttachments)
  if (message.bodyPreview !== undefined) fields.preview = message.bodyPreview ?? ""
  if (message.internetMessageId !== undefined) fields.internetMessageId = message.internetMessageId
  if (message.conversationId !== undefined) fields.threadId = message.conversationId
  if (message.body !== undefined) {
    Object.assign(fields, message.body === null ? { html: null, text: null } : bodyOf(message.body))
    // Where something may be attached, the body is asked for once more, together with that.
    if (fields.hasAttachments === false && !refersToAttachments(fields.html ?? null)) {
      Object.assign(fields, { attachments: [], bodyState: "complete", bodyReason: null })
    }
  }
  return { _tag: "Upsert", remoteId: message.id, fields }
}
