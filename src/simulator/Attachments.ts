/** What is attached to messages (Graph documentation, attachment and the types derived from it). */
import type { Answer } from "./Answer.ts"
import { readSelect } from "./GraphCall.ts"
import { graphError, itemNotFound } from "./GraphErrors.ts"
import type { Letter } from "./Letters.ts"
import type { Mailbox, Message } from "./Mailbox.ts"

export interface Attachment {
  /** A file, another Outlook item, or a link to a file in the cloud. */
  readonly kind: "file" | "item" | "reference"
  readonly name: string
  /** Of items and links there may be none. */
  readonly contentType: string | null
  readonly inline: boolean
  /** Of files only. */
  readonly contentId: string | null
  readonly content: string
}

const report: Attachment = {
  kind: "file",
  name: "Bericht – Q3.txt",
  contentType: "text/plain",
  inline: false,
  contentId: null,
  content: "hello world!",
}

const picture: Attachment = {
  kind: "file",
  name: "image001.png",
  contentType: "image/png",
  inline: true,
  contentId: "image001.png@01DB",
  content: "hello world!",
}

/** One small file where a message has attachments; an inline picture, which does not count as one, in some others. */
export const attachmentsOf = (letter: Letter, { ordinal }: Message): ReadonlyArray<Attachment> => {
  if (letter.attachments !== undefined) return letter.attachments
  if (letter.hasAttachments) return [report]
  return letter.html && ordinal % 5 === 0 ? [picture] : []
}

/** The markup by which a body shows what came with it. */
export const imagesOf = (attachments: ReadonlyArray<Attachment>): string =>
  attachments.map(({ contentId, inline }) => inline && contentId !== null ? `<img src="cid:${contentId}">` : "").join(
    "",
  )

const idOf = (mailbox: Mailbox, message: Message, place: number): string => `${mailbox.idOf(message)}ATT${place}`

const typeOf = { file: "fileAttachment", item: "itemAttachment", reference: "referenceAttachment" } as const

const base64 = (text: string): string => {
  let binary = ""
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte)
  return btoa(binary)
}

const cast = "microsoft.graph.fileAttachment/"

/** The fields that `$select` may name of the base type; those of files take a cast. */
const common = new Set(["id", "name", "contentType", "size", "isInline", "lastModifiedDateTime"])

/** Attachments as JSON; a text where `$select` names a field that the base type has not. */
export const attachmentResources = (
  mailbox: Mailbox,
  message: Message,
  select: string | null,
): ReadonlyArray<Record<string, unknown>> | string => {
  const fields = readSelect(select)
  const unknown = fields?.find((field) => !common.has(field) && !field.startsWith(cast))
  if (unknown !== undefined) return `Could not find a property named '${unknown}' on type 'microsoft.graph.attachment'.`
  return attachmentsOf(mailbox.letter(message), message).map((attachment, place) => {
    const isFile = attachment.kind === "file"
    const full: Record<string, unknown> = {
      name: attachment.name,
      contentType: attachment.contentType,
      size: new TextEncoder().encode(attachment.content).length,
      isInline: attachment.inline,
      ...(isFile ? { contentId: attachment.contentId, contentBytes: base64(attachment.content) } : {}),
    }
    const wanted = fields?.map((field) => field.replace(cast, "")) ?? Object.keys(full)
    return {
      "@odata.type": `#microsoft.graph.${typeOf[attachment.kind]}`,
      id: idOf(mailbox, message, place),
      ...Object.fromEntries(wanted.filter((field) => field in full).map((field) => [field, full[field]])),
    }
  })
}

export const badSelect = (now: number, message: string): Answer =>
  graphError(400, "RequestBroker--ParseUri", message, now)

/** `$expand=attachments` or `attachments($select=…)`: the select, empty if there is none; `undefined` = nothing is expanded. */
export const expandedSelect = (expand: string | null): string | undefined => {
  const [, select] = /^attachments(?:\(\$select=([^)]*)\))?$/.exec(expand ?? "") ?? [null, undefined]
  return expand?.startsWith("attachments") === true ? select ?? "" : undefined
}

/** One attachment, or with `$value` its content: a link has none (Graph documentation, get attachment). */
export const oneAttachment = (
  mailbox: Mailbox,
  message: Message,
  id: string,
  part: string | undefined,
  now: number,
): { readonly answer: Answer } | { readonly resource: Record<string, unknown> } => {
  const attachments = attachmentsOf(mailbox.letter(message), message)
  const place = attachments.findIndex((_, at) => idOf(mailbox, message, at) === id)
  const attachment = attachments[place]
  if (attachment === undefined) return { answer: itemNotFound(now) }
  if (part !== "$value") {
    const all = attachmentResources(mailbox, message, null)
    return typeof all === "string" ? { answer: badSelect(now, all) } : { resource: all[place] ?? {} }
  }
  if (attachment.kind === "reference") {
    const message = "The content of a reference attachment cannot be read."
    return { answer: graphError(405, "ErrorInvalidRequest", message, now) }
  }
  const headers = { "content-type": attachment.contentType ?? "application/octet-stream" }
  return { answer: { status: 200, headers, body: attachment.content } }
}
