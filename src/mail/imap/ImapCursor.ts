/** The position in a folder, as it is stored: JSON, with MODSEQ as text because it takes 63 bits. */
import { Option, Schema } from "effect"

const Position = Schema.Struct({
  v: Schema.Literal(1),
  /** The path under which the folder was first listed. */
  key: Schema.String,
  uidValidity: Schema.String,
  /** Messages from this UID on are new. */
  next: Schema.Int,
  /** During the first listing: messages below this UID are yet to come. */
  below: Schema.optionalKey(Schema.Int),
  /** Messages below `next`, as the server counted them at the end of the last round; absent = the count proves nothing. */
  messages: Schema.optionalKey(Schema.Int),
  /** Changes of flags up to here are known; absent where the server keeps no MODSEQ. */
  modseq: Schema.optionalKey(Schema.String),
  /** In the middle of many changes since `modseq`: those up to the UID `after` are told, `to` is what `modseq` becomes. */
  changed: Schema.optionalKey(Schema.Struct({ after: Schema.Int, to: Schema.String })),
  /** Without MODSEQ: a hash of the flags of the newest messages. */
  newest: Schema.optionalKey(Schema.Int),
  /** Without MODSEQ: from which sequence number on older messages are compared next. */
  older: Schema.optionalKey(Schema.Int),
})
export type Position = typeof Position.Type

const Cursor = Schema.fromJsonString(Position)
const encode = Schema.encodeSync(Cursor)
const decode = Schema.decodeUnknownOption(Cursor)

/** Of a folder that holds folders, but no messages. */
export const noMessages = JSON.stringify({ v: 1, noMessages: true })

export const encodeCursor = (position: Position): string => encode(position)

/** Undefined for what is not a cursor of this channel. */
export const decodeCursor = (cursor: string): Position | undefined => Option.getOrUndefined(decode(cursor))
