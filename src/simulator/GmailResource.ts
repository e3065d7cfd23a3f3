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
    (id) => [body, ...files.map((file, n) => filePart(mailbox, message, id(n + 1), file))],
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

const latin1 = /^[\u0000-\u00ff]*$/

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
  readonly contentId: string | undefined
  readonly size: number
}

/** A file where a message has attachments, large now and then; an inline picture in some others. */
const filesOf = (mailbox: GmailMailbox, message: GmailItem): ReadonlyArray<File> => {
  const { hasAttachments, html } = mailbox.letter(message)
  if (hasAttachments) {
    const size = message.ordinal % 3 === 0 ? 300_001 : 12
    return [{ name: "Bericht – Q3.txt", mimeType: "text/plain", contentId: undefined, size }]
  }
  return html && message.ordinal % 5 === 0
    ? [{ name: "image001.png", mimeType: "image/png", contentId: "image001@sim", size: 12 }]
    : []
}

const filePart = (mailbox: GmailMailbox, { ordinal }: GmailItem, partId: string, file: File): Part => ({
  partId,
  mimeType: file.mimeType,
  filename: file.name,
  headers: [
    header("Content-Type", `${file.mimeType}; name="${file.name}"`),
    header("Content-Disposition", `${file.contentId === undefined ? "attachment" : "inline"}; filename="${file.name}"`),
    header("Content-Transfer-Encoding", "base64"),
    ...(file.contentId === undefined ? [] : [header("Content-ID", `<${file.contentId}>`)]),
  ],
  // Each answer names it otherwise; all names are good.
  body: { attachmentId: attachmentId(mailbox.index, ordinal, ++answers), size: file.size },
})

const attachmentId = (index: number, ordinal: number, nonce: number): string => {
  const text = toDigits(index, 5) + toDigits(ordinal, 5) + toDigits(nonce, 6)
  return `ANGjdJ8${text}${seal(7, text)}`
}

/** The content of an attachment, or `undefined` if the message has none of that id. */
export const attachmentOf = (mailbox: GmailMailbox, message: GmailItem, id: string) => {
  const text = id.slice(7, 23)
  const isGood = id === `ANGjdJ8${text}${seal(7, text)}` && fromDigits(text.slice(0, 5)) === mailbox.index &&
    fromDigits(text.slice(5, 10)) === message.ordinal
  const file = isGood ? filesOf(mailbox, message)[0] : undefined
  if (file === undefined) return undefined
  return { size: file.size, data: base64Url(contentOf(mailbox, message, file.size)) }
}

/** Bytes that differ from message to message. */
export const contentOf = (mailbox: GmailMailbox, { ordinal }: GmailItem, size: number): Buffer => {
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
