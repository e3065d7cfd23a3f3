/** What happened in a mailbox, as `history.list` tells it, boiled down to one word for each message. */
import { Predicate, Schema } from "effect"
import { maybe } from "./GmailParts.ts"

const Touched = Schema.Struct({ id: Schema.String, labelIds: maybe(Schema.Array(Schema.String)) })

const Entries = maybe(Schema.Array(Schema.Struct({ message: maybe(Touched) })))

/** A 64-bit number: never to become a JavaScript number. It is sent as text; a bare number would have lost its end already. */
export const HistoryId = Schema.String.check(Schema.isPattern(/^\d{1,20}$/))

/** `history` is missing where nothing happened. */
export const HistoryPage = Schema.Struct({
  history: maybe(Schema.Array(Schema.Struct({
    messagesAdded: Entries,
    messagesDeleted: Entries,
    labelsAdded: Entries,
    labelsRemoved: Entries,
  }))),
  nextPageToken: maybe(Schema.String),
  historyId: HistoryId,
})

export const GmailProfile = Schema.Struct({ historyId: HistoryId, messagesTotal: maybe(Schema.Number) })

export const MessagePage = Schema.Struct({
  messages: maybe(Schema.Array(Schema.Struct({ id: Schema.String }))),
  nextPageToken: maybe(Schema.String),
})

/**
 * What is to be done about a message: `added` = to be fetched; `gone`; the labels that it bears now; `labels` = they are to be
 * asked for.
 */
export type Word = "added" | "gone" | "labels" | ReadonlyArray<string>

/** The last word on each message of a page, in the order of the first. */
export const lastWords = (page: typeof HistoryPage.Type): ReadonlyMap<string, Word> => {
  const words = new Map<string, Word>()
  for (const record of page.history ?? []) {
    for (const { message } of record.messagesAdded ?? []) {
      if (Predicate.isNotNullish(message)) words.set(message.id, "added")
    }
    for (const { message } of record.labelsAdded ?? []) {
      // Labels were added, so there are some: a list that is missing is no empty one.
      if (Predicate.isNotNullish(message) && words.get(message.id) !== "added") {
        words.set(message.id, message.labelIds ?? "labels")
      }
    }
    for (const { message } of record.labelsRemoved ?? []) {
      // An empty list is left out of Google's JSON.
      if (Predicate.isNotNullish(message) && words.get(message.id) !== "added") {
        words.set(message.id, message.labelIds ?? [])
      }
    }
    for (const { message } of record.messagesDeleted ?? []) {
      if (Predicate.isNotNullish(message)) words.set(message.id, "gone")
    }
  }
  return words
}
