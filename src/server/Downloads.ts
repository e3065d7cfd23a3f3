/** Attachments over HTTP: in such a way that a browser saves them and runs nothing. */
import { Effect, Option, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { Caller } from "../api/Authorization.ts"
import { AttachmentGone, AttachmentTooLarge, NotFound } from "../api/Problems.ts"
import type { Attachment } from "../domain/Mail.ts"
import { Attachments } from "../programs/Attachments.ts"
import { refuse } from "./AccessTokens.ts"

const anything = "application/octet-stream"

/** What a browser might run, whatever else the headers say. */
const active = /^(?:text\/html|application\/xhtml\+xml|image\/svg\+xml|.*\/(?:.*\+)?xml|.*javascript.*|.*ecmascript.*)$/

/** The sender's, where it is a media type (RFC 6838 §4.2) that does nothing. */
export const safeContentType = (contentType: string): string =>
  /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/.test(contentType) && !active.test(contentType)
    ? contentType
    : anything

/** Characters of a name: file systems take 255 bytes. */
const longestName = 120

/** RFC 6266 and RFC 8187: the name in ASCII for old readers, and as it is. No path, no control characters, no hidden file. */
export const contentDisposition = (name: string): string => {
  const safe = [
    ...withoutEnds(name.toWellFormed().normalize("NFC").replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/\\:*?"<>|]+/gu, "_")),
  ]
  const cut = safe.length <= longestName ? safe.join("") : shortened(safe)
  const file = cut === "" ? "attachment" : cut
  const ascii = file.replace(/[^\x20-\x7e]/g, "_").replace(/["\\%]/g, "_")
  const encoded = encodeURIComponent(file).replace(/['()*!]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`
}

/** Without blanks and dots at both ends. A pattern for the second end takes twenty seconds for 100,000 dots in the middle. */
const withoutEnds = (name: string): string => {
  let [start, end] = [0, name.length]
  while (start < end && /[\s.]/.test(name[start]!)) start++
  while (start < end && /[\s.]/.test(name[end - 1]!)) end--
  return name.slice(start, end)
}

/** Keeps the ending, by which people know what a file is. */
const shortened = (characters: ReadonlyArray<string>): string => {
  const dot = characters.lastIndexOf(".")
  const ending = dot > 0 && characters.length - dot <= 12 ? characters.slice(dot) : []
  return [...characters.slice(0, longestName - ending.length), ...ending].join("")
}

const headersOf = ({ name }: Attachment) => ({
  "content-disposition": contentDisposition(name),
  "x-content-type-options": "nosniff",
  "content-security-policy": "sandbox; default-src 'none'",
  "cache-control": "private, no-store",
})

const gone = new AttachmentGone({ detail: "the provider has this message, or this attachment, no more" })

export const makeDownload = Effect.map(Attachments, (attachments) =>
  Effect.fn("mail.attachment")(
    function* (messageId: string, attachmentId: string) {
      const found = yield* attachments.open(messageId, attachmentId)
      if (Option.isNone(found)) return yield* new NotFound({ detail: "there is no attachment with this id" })
      const { accountId, attachment, content } = found.value
      yield* (yield* Caller).note({ accountId })
      return HttpServerResponse.stream(
        // The status is sent: an answer that ends too soon is all that can be said, so the connection is cut.
        Stream.tapCause(content, (cause) =>
          Effect.logWarning("an attachment broke off", { messageId, attachmentId }, cause)),
        { contentType: safeContentType(attachment.contentType), headers: headersOf(attachment) },
      )
    },
    Effect.catchTags({
      MessageGone: () =>
        Effect.fail(gone),
      TooLarge: ({ maxBytes }) =>
        Effect.fail(
          new AttachmentTooLarge({ detail: `attachments of up to ${maxBytes} bytes are handed out`, maxBytes }),
        ),
      ProviderError: refuse,
    }),
  ))
