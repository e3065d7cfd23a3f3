/** The MIME parts of a message as Gmail sends them, and what they are to a reader: text, HTML and files. */
import { Buffer } from "node:buffer"
import { Predicate, Schema } from "effect"
import { textOfHtml } from "../mime/HtmlText.ts"
import type { RemoteAttachment, RemoteBody } from "../Mailbox.ts"

export const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Header = Schema.Struct({ name: maybe(Schema.String), value: maybe(Schema.String) })

/** Content is either `data` (base64url) or behind an `attachmentId`. */
const PartBody = Schema.Struct({
  attachmentId: maybe(Schema.String),
  size: maybe(Schema.Number),
  data: maybe(Schema.String),
})

export interface GmailPart {
  /** The numbers of the parts around it, `0.1`; empty for the whole message. */
  readonly partId?: string | null
  readonly mimeType?: string | null
  readonly filename?: string | null
  readonly headers?: ReadonlyArray<typeof Header.Type> | null
  readonly body?: typeof PartBody.Type | null
  readonly parts?: ReadonlyArray<GmailPart> | null
}

export const GmailPart: Schema.Codec<GmailPart> = Schema.Struct({
  partId: maybe(Schema.String),
  mimeType: maybe(Schema.String),
  filename: maybe(Schema.String),
  headers: maybe(Schema.Array(Header)),
  body: maybe(PartBody),
  parts: maybe(Schema.Array(Schema.suspend((): Schema.Codec<GmailPart> => GmailPart))),
})

/** The first header of a name, which knows no case. */
export const headerOf = (part: GmailPart, name: string): string | undefined =>
  part.headers?.find((header) => header.name?.toLowerCase() === name)?.value ?? undefined

/** What `attachment` takes. Gmail's own ids of attachments differ from answer to answer; the number of a part does not. */
const remoteIdOf = (part: GmailPart): string =>
  part.partId === "" || Predicate.isNullish(part.partId) ? root : part.partId

const root = "message"

/** The part that a {@link RemoteAttachment} was made of. */
export const findPart = (part: GmailPart, remoteId: string): GmailPart | undefined => {
  if (remoteIdOf(part) === remoteId) return part
  for (const child of part.parts ?? []) {
    const found = findPart(child, remoteId)
    if (found !== undefined) return found
  }
  return undefined
}

export const decodeBase64Url = (data: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(data, "base64url"))

/** A stretch of the text to be read: plain, HTML, or the same in both forms. */
interface Segment {
  readonly text: string | null
  readonly html: string | null
}

interface Collected {
  readonly attachments: Array<RemoteAttachment>
  isTruncated: boolean
}

/** What is behind the headers of a message that was asked for in full. */
export const bodyOf = (payload: GmailPart): RemoteBody => {
  const collected: Collected = { attachments: [], isTruncated: false }
  const segments = segmentsOf(payload, collected, false)
  const isHtml = segments.some(({ html }) => html !== null)
  const text = segments.map((segment) => segment.text ?? textOfHtml(segment.html ?? "")).join("\n")
  const html = segments.map((segment) => segment.html ?? `<pre>${escaped(segment.text ?? "")}</pre>`).join("\n")
  return {
    text: segments.length === 0 ? null : text,
    html: isHtml ? html : null,
    attachments: collected.attachments,
    bodyState: collected.isTruncated ? "truncated" : "complete",
    bodyReason: collected.isTruncated ? "the text is so long that Gmail gives it as an attachment only" : null,
  }
}

const segmentsOf = (part: GmailPart, collected: Collected, isAlternative: boolean): ReadonlyArray<Segment> => {
  const type = typeOf(part)
  if (type.startsWith("multipart/")) {
    const segments = (part.parts ?? []).flatMap((child) =>
      segmentsOf(child, collected, type === "multipart/alternative")
    )
    return type === "multipart/alternative" && segments.length > 1 ? [merged(segments)] : segments
  }
  const isFile = (part.filename ?? "") !== "" || dispositionOf(part) === "attachment"
  const isBody = !isFile && (type === "text/plain" || type === "text/html")
  const { data } = part.body ?? {}
  if (isBody && (Predicate.isNotNullish(data) || !part.body?.attachmentId)) {
    const text = decodeText(decodeBase64Url(data ?? ""), charsetOf(part))
    return [type === "text/html" ? { text: null, html: text } : { text, html: null }]
  }
  if (isBody) collected.isTruncated = true
  // Another form of the same text, such as AMP; an invitation is more than that.
  if (isAlternative && !isFile && !isBody && type.startsWith("text/") && type !== "text/calendar") return []
  collected.attachments.push(attachmentOf(part, type))
  return []
}

/** The plainest and the richest of the forms that say the same. */
const merged = (segments: ReadonlyArray<Segment>): Segment => ({
  text: segments.find(({ text }) => text !== null)?.text ?? null,
  html: segments.find(({ html }) => html !== null)?.html ?? null,
})

const attachmentOf = (part: GmailPart, contentType: string): RemoteAttachment => {
  const contentId = headerOf(part, "content-id")?.trim().replace(/^<|>$/g, "") ?? null
  const disposition = dispositionOf(part)
  return {
    remoteId: remoteIdOf(part),
    name: part.filename ?? "",
    contentType,
    size: part.body?.size ?? null,
    inline: disposition === "inline" || (disposition === undefined && contentId !== null),
    contentId,
  }
}

const typeOf = (part: GmailPart): string => {
  const type = (part.mimeType ?? "").split(";")[0]?.trim().toLowerCase() ?? ""
  return type === "" ? "application/octet-stream" : type
}

const dispositionOf = (part: GmailPart): string | undefined =>
  headerOf(part, "content-disposition")?.split(";")[0]?.trim().toLowerCase()

const charsetOf = (part: GmailPart): string =>
  /charset\s*=\s*"?([\w.:-]+)/i.exec(headerOf(part, "content-type") ?? "")?.[1]?.toLowerCase() ?? "utf-8"

const utf8 = new TextDecoder("utf-8", { fatal: true })

/** By its charset; but what is valid UTF-8 beyond ASCII is that, whatever its label says. */
export const decodeText = (bytes: Uint8Array<ArrayBuffer>, charset: string): string => {
  // Of pure ASCII bytes is ISO-2022-JP as well.
  const isAscii = bytes.every((byte) => byte < 0x80)
  if (!isAscii || charset === "utf-8") {
    try {
      return utf8.decode(bytes)
    } catch {
      // Not UTF-8.
    }
  }
  return decoderOf(charset).decode(bytes)
}

const decoderOf = (charset: string): TextDecoder => {
  try {
    return new TextDecoder(charset)
  } catch {
    return new TextDecoder("windows-1252")
  }
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
