/** What is in the source of a message. Runs in workers: see `MimeParser`. */
import PostalMime, { type Address as PostalAddress, type Email } from "postal-mime"
import type { Address } from "../../domain/Mail.ts"
import { textOfHtml } from "./HtmlText.ts"
import { previewOf, storable } from "./MimeText.ts"

/** Everything in it can be cloned into another thread and stored in Postgres. */
export interface MimeMessage {
  /** Plain text as sent, else derived from the HTML; null where there is neither. */
  readonly text: string | null
  readonly html: string | null
  /** The beginning of the text, in one line. */
  readonly preview: string
  readonly header: {
    readonly subject: string
    readonly from: Address | null
    readonly to: ReadonlyArray<Address>
    readonly cc: ReadonlyArray<Address>
    readonly bcc: ReadonlyArray<Address>
    readonly replyTo: ReadonlyArray<Address>
    /** ISO 8601; null where it is no date. */
    readonly date: string | null
    readonly messageId: string | null
    readonly inReplyTo: string | null
    readonly references: string | null
  }
}

/** Deeper than any honest message; Dovecot itself stops at 100. */
const maxNestingDepth = 256

const flat = (addresses: ReadonlyArray<PostalAddress>): ReadonlyArray<Address> =>
  addresses.flatMap((address) =>
    "group" in address && address.group !== undefined ? address.group : [address as Address]
  )
    .map(({ address, name }) => ({ name: storable(name ?? ""), address: storable(address ?? "") }))

const dateOf = (date: string | undefined): string | null =>
  date !== undefined && /^\d{4}-\d\d-\d\dT/.test(date) ? date : null

const orNull = (text: string | undefined): string | null => text === undefined ? null : storable(text)

/**
 * @param source a whole message, or its beginning; messages attached to it are left closed
 * @throws where it is nested, or has headers, beyond all measure
 */
export const parseMime = async (source: Uint8Array): Promise<MimeMessage> => {
  const email: Email = await PostalMime.parse(source, { forceRfc822Attachments: true, maxNestingDepth })
  const html = email.html === undefined ? null : storable(email.html)
  const plain = email.text ?? (html === null ? null : textOfHtml(html))
  const text = plain === null ? null : storable(plain)
  return {
    text,
    html,
    preview: previewOf(text ?? ""),
    header: {
      subject: storable(email.subject ?? ""),
      from: flat(email.from === undefined ? [] : [email.from])[0] ?? null,
      to: flat(email.to ?? []),
      cc: flat(email.cc ?? []),
      bcc: flat(email.bcc ?? []),
      replyTo: flat(email.replyTo ?? []),
      date: dateOf(email.date),
      messageId: orNull(email.messageId),
      inReplyTo: orNull(email.inReplyTo),
      references: orNull(email.references),
    },
  }
}
