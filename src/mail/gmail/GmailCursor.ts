/** Where the next page of a Gmail mailbox starts. */
import { type Option, Schema } from "effect"
import { HistoryId } from "./GmailHistory.ts"

const Cursor = Schema.fromJsonString(Schema.Struct({
  /** All that happened up to it is told. */
  historyId: HistoryId,
  /** Page of the history since then, where one page did not hold it. */
  historyPage: Schema.optionalKey(Schema.String),
  /** Page of the listing that is under way. */
  listing: Schema.optionalKey(Schema.String),
}))
export type GmailCursor = typeof Cursor.Type

/** None = it is of another channel, or damaged. */
export const readCursor: (cursor: string) => Option.Option<GmailCursor> = Schema.decodeUnknownOption(Cursor)

export const writeCursor: (cursor: GmailCursor) => string = Schema.encodeSync(Cursor)
