/** A rotation of the encryption key: every stored secret is sealed anew. */
import { Schema } from "effect"

/** How the last rotation stands, and which keys stored secrets need. */
export const EncryptionRotation = Schema.Struct({
  /** `none`: there never was one. */
  state: Schema.Literals(["none", "running", "completed"]),
  startedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  finishedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** Secrets that there were at its start, and how many of them have been looked at. */
  total: Schema.Int,
  processed: Schema.Int,
  /** Secrets that it sealed anew; more than `total` where they changed meanwhile. */
  resealed: Schema.Int,
  /** Secrets that cannot be decrypted and were left as they are: they were altered, or their key is another one. */
  unreadable: Schema.Int,
  /** Ids of the keys in `MAILFLEET_ENCRYPTION_KEYS` that stored secrets need; `command` = those that `MAILFLEET_KEY_COMMAND` wraps. */
  keysInUse: Schema.Array(Schema.String),
  /** Ids of keys that the process which answers has in `MAILFLEET_ENCRYPTION_KEYS` and that may be removed from there. */
  removable: Schema.Array(Schema.String),
}).annotate({ identifier: "EncryptionRotation" })
export type EncryptionRotation = typeof EncryptionRotation.Type
