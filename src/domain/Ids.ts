/** Identifiers: UUIDv7 texts, so that ids made later sort later and index pages stay warm. */
import { Option, Schema } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** True for a text that the database accepts as a uuid. An id of any other form names nothing, so callers answer "not found". */
export const isId = (text: string): boolean => uuid.test(text)

/** The id in `text`, or none where the text has not the form of an id. */
export const parseId = (text: string): Option.Option<string> =>
  isId(text) ? Option.some(text.toLowerCase()) : Option.none()

/** A new id. */
export const newId = (): string => uuidV7Unsafe()

/** Names an app. */
export const AppId = Schema.String
export type AppId = typeof AppId.Type
/** Names a grant. */
export const GrantId = Schema.String
export type GrantId = typeof GrantId.Type
/** Names an account. */
export const AccountId = Schema.String
export type AccountId = typeof AccountId.Type
/** Names a run. */
export const RunId = Schema.String
export type RunId = typeof RunId.Type
/** Names a folder. */
export const FolderId = Schema.String
export type FolderId = typeof FolderId.Type
/** Names a message. */
export const MessageId = Schema.String
export type MessageId = typeof MessageId.Type
/** Names an erasure. */
export const ErasureId = Schema.String
export type ErasureId = typeof ErasureId.Type
