/** Messages in the form of the Gmail API (Gmail API, users.messages). */
import { Buffer } from "node:buffer"
import type { GmailItem, GmailMailbox } from "./GmailMailbox.ts"
import { type Person, preview, toHtml } from "./Letters.ts"
import { fromDigits, hash, seal, toDigits } from "./Random.ts"

interface Part {
  readonly partId: string
  readonly mimeType: string
  readonly filename: string
  readonly headers: ReadonlyArray<{ readonly name: string; readonly value: string }>
  readonly body: { readonly size: number; readonly data?: string; readonly attachmentId?: string }
  readonly parts?: ReadonlyArray<Part>
}

export const formats = ["minimal", "metadata", "full"] as const
export type Format = typeof formats[number]

let answers = 0

export const gmailMessage = (
  mailbox: GmailMailbox,
  message: GmailItem,
  format: Format,
  metadataHeaders: ReadonlyArray<string>,
) => {
  const { text } = mailbox.letter(message)
  const labelIds = [...message.labels]
  const resource = {
    id: mailbox.idOf(message.ordinal),
    threadId: mailbox.threadIdOf(message.ordinal),
    // Empty lists are left out.
    ...(labelIds.length === 0 ? {} : { labelIds }),
    snippet: snippetOf(text),
    historyId: String(message.historyId),
    internalDate: String(message.receivedAt),
    sizeEstimate: 1_500 + text.length * 3,
  }
  if (format === "minimal") return resource
  const payload = payloadOf(mailbox, message)
  if (format === "full") return { ...resource, payload }
  const wanted = new Set(metadataHeaders.map((name) => name.toLowerCase()))
  const headers = payload.headers.filter(({ name }) => wanted.size === 0 || wanted.has(name.toLowerCase()))
  return { ...resource, payload: { mimeType: payload.mimeType, headers } }
}

/** As HTML, of one line. */
const snippetOf = (text: string): string =>
  preview(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;")

const header = (name: string, value: string) => ({ name, value })

const payloadOf = (mailbox: GmailMailbox, message: GmailItem): Part => {
  const letter = mailbox.letter(message)
  const isDraft = message.labels.has("DRAFT")
  const top = [
    header("Delivered-To", mailbox.email),
    header("MIME-Version", "1.0"),
    ...(isDraft ? [] : [header("From", people([letter.from]))]),
    header("To", people(letter.to)),
    ...(letter.cc.length === 0 ? [] : [header("Cc", people(letter.cc))]),
    header("Subject", letter.subject),
    header("Date", new Date(message.receivedAt).toUTCString().replace("GMT", "+0000 (UTC)")),
    // Both spellings are met.
    header(message.ordinal % 2 === 0 ? "Message-ID" : "Message-Id", internetMessageId(mailbox, message.ordinal)),
  ]
  const files = filesOf(mailbox, message)
  const outer = files.length === 0 ? "" : "0"
  const body = letter.html
    ? multipart("multipart/alternative", outer, (id) => [
      textPart(id(0), "text/plain", letter.text, message.ordinal),
      textPart(id(1), "text/html", toHtml(letter.text), message.ordinal),
    ])
    : textPart(outer, "text/plain", letter.text, message.ordinal)
  const root = files.length === 0 ? body : multipart(
    letter.hasAttachments ? "multipart/mixed" : "multipart/related",
    "",
    (id) => [body, ...files.map((file, n) => filePart(mailbox, message, id(n + 1), file, n))],
  )
  return { ...root, headers: [...top, ...root.headers] }
}

const people = (persons: ReadonlyArray<Person>): string =>
  persons.map(({ address, name }) =>
    name === "" ? address : /^[^",<>;@]*$/.test(name) ? `${name} <${address}>` : `"${name}" <${address}>`
  ).join(", ")

const multipart = (
  mimeType: string,
  partId: string,
  parts: (id: (n: number) => string) => ReadonlyArray<Part>,
): Part => ({
  partId,
  mimeType,
  filename: "",
  headers: [header("Content-Type", `${mimeType}; boundary="000000000000${partId || "r"}"`)],
  body: { size: 0 },
  parts: parts((n) => partId === "" ? String(n) : `${partId}.${n}`),
})

const latin1 = /^[^\u0100-\uffff]*$/

/** Some texts are in an older charset, and their bytes stay so. */
const textPart = (partId: string, mimeType: string, text: string, ordinal: number): Part => {
  const isLatin = mimeType === "text/plain" && ordinal % 4 === 0 && latin1.test(text)
  const bytes = Buffer.from(text, isLatin ? "latin1" : "utf8")
  return {
    partId,
    mimeType,
    filename: "",
    headers: [
      header("Content-Type", `${mimeType}; charset=${isLatin ? "ISO-8859-1" : '"UTF-8"'}`),
      header("Content-Transfer-Encoding", "quoted-printable"),
    ],
    body: bytes.length === 0 ? { size: 0 } : { size: bytes.length, data: base64Url(bytes) },
  }
}

interface File {
  readonly name: string
  readonly mimeType: string
  readonly inline: boolean
  readonly contentId: string | null
  readonly size: number
  readonly content: () => Buffer
}

/** What was delivered with it; else a file where a message has attachments, large now and then, and an inline picture in some. */
const filesOf = (mailbox: GmailMailbox, message: GmailItem): ReadonlyArray<File> => {
  const { attachments, hasAttachments, html } = mailbox.letter(message)
  const made = (name: string, mimeType: string, contentId: string | null, size: number): ReadonlyArray<File> => [
    { name, mimeType, contentId, inline: contentId !== null, size, content: () => contentOf(mailbox, message, size) },
  ]
  if (attachments !== undefined) {
    return attachments.map(({ content, contentId, contentType, inline, name }) => {
      const bytes = Buffer.from(content)
      const mimeType = contentType ?? "application/octet-stream"
      return { name, mimeType, contentId, inline, size: bytes.length, content: () => bytes }
    })
  }
  if (hasAttachments) return made("Bericht – Q3.txt", "text/plain", null, message.ordinal % 3 === 0 ? 300_001 : 12)
  return html && message.ordinal % 5 === 0 ? made("image001.png", "image/png", "image001@sim", 12) : []
}

const filePart = (mailbox: GmailMailbox, { ordinal }: GmailItem, partId: string, file: File, place: number): Part => ({
  partId,
  mimeType: file.mimeType,
  filename: file.name,
  headers: [
    header("Content-Type", `${file.mimeType}; name="${file.name}"`),
    header("Content-Disposition", `${file.inline ? "inline" : "attachment"}; filename="${file.name}"`),
    header("Content-Transfer-Encoding", "base64"),
    ...(file.contentId === null ? [] : [header("Content-ID", `<${file.contentId}>`)]),
  ],
  // Each answer names it otherwise; all names are good.
  body: { attachmentId: attachmentId(mailbox.index, ordinal, place, ++answers), size: file.size },
})

const attachmentId = (index: number, ordinal: number, place: number, nonce: number): string => {
  const text = toDigits(index, 5) + toDigits(ordinal, 5) + toDigits(place, 2) + toDigits(nonce, 6)
  return `ANGjdJ8${text}${seal(7, text)}`
}

/** The content of an attachment, or `undefined` if the message has none of that id. */
export const attachmentOf = (mailbox: GmailMailbox, message: GmailItem, id: string) => {
  const text = id.slice(7, 25)
  const isGood = id === `ANGjdJ8${text}${seal(7, text)}` && fromDigits(text.slice(0, 5)) === mailbox.index &&
    fromDigits(text.slice(5, 10)) === message.ordinal
  const file = isGood ? filesOf(mailbox, message)[fromDigits(text.slice(10, 12))] : undefined
  return file === undefined ? undefined : { size: file.size, data: base64Url(file.content()) }
}

/** Bytes that differ from message to message. */
const contentOf = (mailbox: GmailMailbox, { ordinal }: GmailItem, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = hash(mailbox.index, ordinal, i >> 3) >> ((i & 3) * 8)
  return bytes
}

/** With the `=` at its end, as Gmail writes it. */
const base64Url = (bytes: Buffer): string => {
  const data = bytes.toString("base64url")
  return data + "=".repeat((4 - data.length % 4) % 4)
}

export const internetMessageId = (mailbox: GmailMailbox, ordinal: number): string =>
  `<${mailbox.idOf(ordinal)}@${mailbox.email.split("@")[1]}>`
