/** Messages as FETCH tells of them, and as this house knows them. Texts of bodies come apart: see `ImapBodies`. */
import { createHash } from "node:crypto"
import { DateTime, Option } from "effect"
import type { FetchMessageObject, FetchQueryObject, MessageAddressObject } from "imapflow"
import type { Address } from "../../domain/Mail.ts"
import { attachmentsOf } from "./ImapStructure.ts"
import { remoteIdOf, type UidSpace } from "./ImapUids.ts"
import type { RemoteMessage, Upsert } from "../Mailbox.ts"
import type { MimeMessage } from "../mime/MimeMessage.ts"
import { storable } from "../mime/MimeText.ts"

const headers = ["References", "In-Reply-To", "Message-ID", "Importance", "X-Priority"]

/** All that a listing needs. Gmail's labels are asked for only where they exist. */
export const metadataQuery: FetchQueryObject = {
  uid: true,
  flags: true,
  envelope: true,
  internalDate: true,
  size: true,
  bodyStructure: true,
  threadId: true,
  labels: true,
  headers,
}

/** For messages whose envelope or structure cannot be read: what every server can tell, and the headers as they are. */
export const plainQuery: FetchQueryObject = {
  uid: true,
  flags: true,
  internalDate: true,
  size: true,
  threadId: true,
  labels: true,
  headers: true,
}

export const flagsQuery: FetchQueryObject = { uid: true, flags: true, labels: true }

const address = ({ address, name }: MessageAddressObject): Address => ({
  name: storable(name ?? ""),
  address: storable(address ?? ""),
})

const addresses = (list: ReadonlyArray<MessageAddressObject> | undefined) => (list ?? []).map(address)

/** Null for what is no time, and for years that a database or an ISO text of four digits cannot hold. */
const time = (value: Date | string | null | undefined): DateTime.Utc | null => {
  const parsed = value === undefined || value === null ? null : Option.getOrNull(DateTime.make(value))
  if (parsed === null) return null
  const utc = DateTime.toUtc(parsed)
  const year = DateTime.getPartUtc(utc, "year")
  return year >= 1 && year <= 9999 ? utc : null
}

/** Header fields by lower-case name, unfolded; the first of a name counts. */
export const headerFields = (lines: Uint8Array | undefined): ReadonlyMap<string, string> => {
  const fields = new Map<string, string>()
  const text = new TextDecoder().decode(lines ?? new Uint8Array()).replace(/\r?\n[ \t]+/g, " ")
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(":")
    const name = line.slice(0, colon).trim().toLowerCase()
    if (colon > 0 && !fields.has(name)) fields.set(name, storable(line.slice(colon + 1).trim()))
  }
  return fields
}

const idIn = (text: string | undefined): string | undefined => /<[^<>\s]+>/.exec(text ?? "")?.[0]

const importanceOf = (fields: ReadonlyMap<string, string>): string => {
  const importance = fields.get("importance")?.toLowerCase()
  if (importance === "high" || importance === "low") return importance
  const priority = Number.parseInt(fields.get("x-priority") ?? "", 10)
  return priority === 1 || priority === 2 ? "high" : priority === 4 || priority === 5 ? "low" : "normal"
}

/** Labels that are no folders: Gmail's flags. */
const flagLabels = new Set(["\\Starred", "\\Important", "\\Muted"])

/** In Gmail's "All Mail": whether the message lies in another folder as well, which tells of it. */
export const liesElsewhere = ({ labels }: FetchMessageObject): boolean =>
  labels !== undefined && [...labels].some((label) => !flagLabels.has(label))

/** What flags and labels say. */
export const flagFields = ({ flags, labels }: FetchMessageObject) => {
  const lower = new Set([...flags ?? []].map((flag) => flag.toLowerCase()))
  return {
    isRead: lower.has("\\seen"),
    isFlagged: lower.has("\\flagged"),
    isDraft: lower.has("\\draft"),
    categories: [...flags ?? [], ...labels ?? []].filter((word) => !word.startsWith("\\")).map(storable).sort(),
  }
}

/** Stands for a Message-ID that is not there. */
const hashKey = (parts: ReadonlyArray<unknown>): string =>
  `sha256:${createHash("sha256").update(JSON.stringify(parts)).digest("base64url").slice(0, 22)}`

interface Head {
  readonly subject: string
  readonly from: Address | null
  readonly to: ReadonlyArray<Address>
  readonly cc: ReadonlyArray<Address>
  readonly bcc: ReadonlyArray<Address>
  readonly replyTo: ReadonlyArray<Address>
  readonly sentAt: DateTime.Utc | null
  readonly messageId: string | undefined
  readonly references: string | undefined
  readonly inReplyTo: string | undefined
}

const ofEnvelope = ({ envelope }: FetchMessageObject, fields: ReadonlyMap<string, string>): Head => ({
  subject: storable(envelope?.subject ?? ""),
  from: addresses(envelope?.from)[0] ?? null,
  to: addresses(envelope?.to),
  cc: addresses(envelope?.cc),
  bcc: addresses(envelope?.bcc),
  replyTo: addresses(envelope?.replyTo),
  sentAt: time(envelope?.date),
  messageId: fields.get("message-id") ?? envelope?.messageId,
  references: fields.get("references"),
  inReplyTo: fields.get("in-reply-to") ?? envelope?.inReplyTo,
})

const ofHeader = ({ header }: MimeMessage): Head => ({
  ...header,
  sentAt: time(header.date),
  messageId: header.messageId ?? undefined,
  references: header.references ?? undefined,
  inReplyTo: header.inReplyTo ?? undefined,
})

/** @param parsed its headers, where the server's own reading of them could not be used */
export const toUpsert = (row: FetchMessageObject, space: UidSpace, parsed?: MimeMessage): Upsert => {
  const lines = headerFields(row.headers)
  const head = parsed === undefined ? ofEnvelope(row, lines) : ofHeader(parsed)
  const messageId = idIn(head.messageId) ?? (storable(head.messageId ?? "").trim() || undefined)
  const receivedAt = time(row.internalDate)
  const attachments = row.bodyStructure === undefined ? [] : attachmentsOf(row.bodyStructure)
  const fields: Partial<RemoteMessage> = {
    subject: head.subject,
    from: head.from,
    to: head.to,
    cc: head.cc,
    bcc: head.bcc,
    replyTo: head.replyTo,
    receivedAt,
    sentAt: head.sentAt,
    ...flagFields(row),
    importance: importanceOf(lines),
    hasAttachments: attachments.some(({ inline }) => !inline),
    internetMessageId: messageId ?? null,
    threadId: row.threadId ?? idIn(head.references) ?? idIn(head.inReplyTo) ?? messageId ?? null,
    attachments,
    size: row.size ?? null,
  }
  return {
    _tag: "Upsert",
    remoteId: remoteIdOf(space, row.uid),
    fields,
    twinKey: row.emailId ?? messageId ??
      hashKey([receivedAt?.epochMilliseconds ?? null, row.size ?? null, head.from?.address ?? null, head.subject]),
  }
}

/** Of a message that is known: its flags as they are now. */
export const toFlags = (row: FetchMessageObject, space: UidSpace): Upsert => ({
  _tag: "Upsert",
  remoteId: remoteIdOf(space, row.uid),
  fields: flagFields(row),
  ifKnown: true,
})
