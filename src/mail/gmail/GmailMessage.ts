/** Messages as Gmail sends them, and as this house knows them. */
import { DateTime, Option, Predicate, Schema } from "effect"
import { addressParser, decodeWords } from "postal-mime"
import type { Address } from "../../domain/Mail.ts"
import { folderOf, labelFields, type LabelNames } from "./GmailFolders.ts"
import { bodyOf, GmailPart, headerOf, maybe } from "./GmailParts.ts"
import type { RemoteBody, RemoteMessage, Upsert } from "../Mailbox.ts"

export const GmailMessage = Schema.Struct({
  id: Schema.String,
  threadId: maybe(Schema.String),
  labelIds: maybe(Schema.Array(Schema.String)),
  /** HTML. */
  snippet: maybe(Schema.String),
  /** Epoch milliseconds, as text. */
  internalDate: maybe(Schema.Union([Schema.String, Schema.Number])),
  sizeEstimate: maybe(Schema.Number),
  payload: maybe(GmailPart),
})
export type GmailMessage = typeof GmailMessage.Type

/** `minimal` brings labels and snippet, `metadata` headers too, `full` all but large attachments. */
export type Format = "minimal" | "metadata" | "full"

export const messagePath = (id: string, format: Format): string =>
  `/messages/${encodeURIComponent(id)}?format=${format}`

/** Every field that came. */
export const toUpsert = (message: GmailMessage, format: Format, names: LabelNames): Upsert => {
  const labels = message.labelIds ?? []
  return {
    _tag: "Upsert",
    remoteId: message.id,
    folderRemoteId: folderOf(labels, names),
    fields: { ...fieldsOf(message, format), ...labelFields(labels, names) },
  }
}

/** Without the body, which is as if it had not come. */
export const withoutBody = (upsert: Upsert): Upsert => {
  const { attachments: _, bodyReason: _1, bodyState: _2, html: _3, text: _4, ...fields } = upsert.fields
  return { ...upsert, fields }
}

/** The body of a message that came in full, and what came along with it. */
export const toBody = (message: GmailMessage): RemoteBody & Partial<RemoteMessage> => {
  const body = Predicate.isNullish(message.payload) ? withoutPayload : bodyOf(message.payload)
  return { ...body, hasAttachments: body.attachments.some(({ inline }) => !inline) }
}

/** The body of a message that Gmail gives no content of. */
export const refusedBody = (bodyReason: string): RemoteBody => ({
  text: null,
  html: null,
  attachments: [],
  bodyState: "refused",
  bodyReason,
})

const withoutPayload = refusedBody("Gmail gives no content of this message")

const fieldsOf = (message: GmailMessage, format: Format): Partial<RemoteMessage> => {
  const { payload } = message
  return {
    ...(Predicate.isNullish(message.snippet) ? {} : { preview: decodeEntities(message.snippet) }),
    ...(Predicate.isNullish(message.internalDate) ? {} : { receivedAt: time(Number(message.internalDate)) }),
    ...(Predicate.isNullish(message.threadId) ? {} : { threadId: message.threadId }),
    size: message.sizeEstimate ?? null,
    ...(Predicate.isNullish(payload) || format === "minimal" ? {} : headersOf(payload)),
    ...(format === "full" ? toBody(message) : {}),
  }
}

const headersOf = (payload: GmailPart): Partial<RemoteMessage> => {
  const text = (name: string) => decodeWords(headerOf(payload, name) ?? "")
  const people = (name: string) => addresses(headerOf(payload, name) ?? "")
  const messageId = headerOf(payload, "message-id")?.trim() ?? ""
  const date = headerOf(payload, "date")
  return {
    subject: text("subject"),
    from: people("from")[0] ?? null,
    to: people("to"),
    cc: people("cc"),
    bcc: people("bcc"),
    replyTo: people("reply-to"),
    sentAt: date === undefined ? null : time(Date.parse(date)),
    internetMessageId: messageId === "" ? null : messageId,
  }
}

/** Members of groups stand for the group. */
const addresses = (header: string): ReadonlyArray<Address> =>
  addressParser(header, { flatten: true }).flatMap(({ address, name }) =>
    address === undefined || address === "" ? [] : [{ name: name ?? "", address }]
  )

/** Null for what is no time, and for years that a database or an ISO text of four digits cannot hold. */
const time = (millis: number): DateTime.Utc | null => {
  const utc = Option.getOrNull(DateTime.make(millis))
  if (utc === null) return null
  const year = DateTime.getPartUtc(utc, "year")
  return year >= 1 && year <= 9999 ? DateTime.toUtc(utc) : null
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " }

/** A snippet holds few entities: those that HTML needs, and numbers. */
const decodeEntities = (html: string): string =>
  html.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return entities[String(name).toLowerCase()] ?? whole
    const code = decimal === undefined ? parseInt(hex, 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
