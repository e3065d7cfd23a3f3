/** The message resource type as JSON (Graph documentation, message resource type). */
import { attachmentsOf, imagesOf } from "./Attachments.ts"
import { defaultId, immutableId, placeOf } from "./Ids.ts"
import { isoSeconds, type Preferences } from "./GraphCall.ts"
import { type Letter, type Person, preview, toHtml } from "./Letters.ts"
import type { Mailbox, Message } from "./Mailbox.ts"
import { toDigits } from "./Random.ts"

/** Fields of a message unless `$select` says otherwise. `uniqueBody` and `internetMessageHeaders` come on demand only. */
const standard = [
  "createdDateTime",
  "lastModifiedDateTime",
  "changeKey",
  "categories",
  "receivedDateTime",
  "sentDateTime",
  "hasAttachments",
  "internetMessageId",
  "subject",
  "bodyPreview",
  "importance",
  "parentFolderId",
  "conversationId",
  "conversationIndex",
  "isDeliveryReceiptRequested",
  "isReadReceiptRequested",
  "isRead",
  "isDraft",
  "webLink",
  "inferenceClassification",
  "body",
  "sender",
  "from",
  "toRecipients",
  "ccRecipients",
  "bccRecipients",
  "replyTo",
  "flag",
]

interface View {
  readonly mailbox: Mailbox
  readonly message: Message
  readonly prefer: Preferences
  letter: Letter | undefined
}

export const messageId = (mailbox: Mailbox, message: Message, prefer: Preferences): string =>
  prefer.immutableIds
    ? immutableId(mailbox.index, message.ordinal)
    : defaultId(mailbox.index, message.ordinal, placeOf(message.folder, message.moves))

/**
 * A message with its id and the given fields.
 *
 * @param fields of a `$select`; all standard fields if left out
 */
export const messageResource = (
  mailbox: Mailbox,
  message: Message,
  prefer: Preferences,
  fields: Iterable<string> = standard,
): Record<string, unknown> => {
  const view: View = { mailbox, message, prefer, letter: undefined }
  const resource: Record<string, unknown> = {
    "@odata.etag": `W/"${changeKey(view)}"`,
    id: messageId(mailbox, message, prefer),
  }
  for (const name of fields) {
    const value = field(view, name)
    if (value !== undefined) resource[name] = value
  }
  return resource
}

const field = (view: View, name: string): unknown => {
  const { mailbox, message } = view
  switch (name) {
    case "createdDateTime":
    case "receivedDateTime":
      return isoSeconds(message.receivedAt)
    case "sentDateTime":
      return isoSeconds(message.receivedAt - 2000)
    case "lastModifiedDateTime":
      return isoSeconds(message.modifiedAt)
    case "changeKey":
      return changeKey(view)
    case "categories":
      return letter(view).categories
    case "hasAttachments":
      return letter(view).hasAttachments
    case "internetMessageId":
      return internetMessageId(mailbox, message)
    case "subject":
      return letter(view).subject
    case "bodyPreview":
      return preview(letter(view).text)
    case "importance":
      return letter(view).importance
    case "parentFolderId":
      return mailbox.folderIdOf(message.folder)
    case "conversationId":
      return `AAQkADQ2${toDigits(mailbox.index, 5)}${toDigits(message.ordinal - (message.ordinal % 3), 4)}AAA=`
    case "conversationIndex":
      return `AQHc${toDigits(message.ordinal, 12).replaceAll("-", "+").replaceAll("_", "/")}`
    case "isDeliveryReceiptRequested":
      return null
    case "isReadReceiptRequested":
      return false
    case "isRead":
      return message.isRead
    case "isDraft":
      return mailbox.isDraft(message)
    case "webLink":
      return `https://outlook.live.com/owa/?ItemID=${encodeURIComponent(messageId(mailbox, message, view.prefer))}`
    case "inferenceClassification":
      return message.ordinal % 4 === 0 ? "other" : "focused"
    case "body":
    case "uniqueBody": {
      const { html, text } = letter(view)
      const asHtml = html && !view.prefer.textBody
      const content = asHtml ? toHtml(text, imagesOf(attachmentsOf(letter(view), message))) : text
      return { contentType: asHtml ? "html" : "text", content }
    }
    case "sender":
    case "from":
      return mailbox.isDraft(message) ? undefined : recipient(letter(view).from)
    case "toRecipients":
      return letter(view).to.map(recipient)
    case "ccRecipients":
      return letter(view).cc.map(recipient)
    case "bccRecipients":
    case "replyTo":
      return []
    case "flag":
      return { flagStatus: message.flagStatus }
    case "internetMessageHeaders":
      return [
        { name: "Message-ID", value: internetMessageId(mailbox, message) },
        { name: "MIME-Version", value: "1.0" },
      ]
    default:
      return undefined
  }
}

const letter = (view: View): Letter => view.letter ??= view.mailbox.letter(view.message)

const recipient = (person: Person) => ({ emailAddress: { name: person.name, address: person.address } })

const changeKey = ({ mailbox, message }: View): string =>
  `CQAAABYA${toDigits(mailbox.index, 5)}${toDigits(message.ordinal, 4)}${toDigits(message.version, 4)}`

export const internetMessageId = (mailbox: Mailbox, message: Message): string =>
  `<${mailbox.index.toString(36)}.${message.ordinal.toString(36)}.sim@${mailbox.email.split("@")[1]}>`

/** The message in MIME form, as `$value` returns it (RFC 5322). */
export const mimeOf = (mailbox: Mailbox, message: Message): string => {
  const { cc, from, html, subject, text, to } = mailbox.letter(message)
  const addresses = (people: ReadonlyArray<Person>) =>
    people.map(({ address, name }) => name === "" ? address : `${encodedWord(name)} <${address}>`).join(", ")
  return [
    ...(mailbox.isDraft(message) ? [] : [`From: ${addresses([from])}`]),
    `To: ${addresses(to)}`,
    ...(cc.length === 0 ? [] : [`Cc: ${addresses(cc)}`]),
    `Subject: ${encodedWord(subject)}`,
    `Date: ${new Date(message.receivedAt).toUTCString().replace("GMT", "+0000")}`,
    `Message-ID: ${internetMessageId(mailbox, message)}`,
    "MIME-Version: 1.0",
    `Content-Type: text/${html ? "html" : "plain"}; charset=utf-8`,
    "Content-Transfer-Encoding: base64",
    "",
    base64(html ? toHtml(text) : text).replace(/.{76}/g, "$&\r\n"),
  ].join("\r\n")
}

const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)))

/** RFC 2047, in pieces of at most 75 characters that do not cut a character in two. */
const encodedWord = (text: string): string => {
  if (/^[ -~]*$/.test(text) && !/[,"<>;@=?]/.test(text)) return text
  const words: Array<string> = []
  let piece = ""
  for (const character of text) {
    if (base64(piece + character).length > 60) {
      words.push(piece)
      piece = ""
    }
    piece += character
  }
  return [...words, piece].map((word) => `=?utf-8?B?${base64(word)}?=`).join("\r\n ")
}
