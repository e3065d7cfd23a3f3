/** Keys of the HTTP API. The text of a key is known to its bearer alone. */
import { Schema } from "effect"

/**
 * What the bearer of a key may do:
 *
 * - `metrics:read`: read `/metrics`, and nothing else
 * - `accounts:read`: see accounts, grants, apps, runs, events and how the fleet is, metrics among it
 * - `accounts:write`: add, change and remove accounts, and let people sign in
 * - `runs:write`: import, refresh and sync; cancel and repeat
 * - `messages:read`: read folders, messages and the change log
 * - `tokens:read`: be given access tokens
 * - `audit:read`: read the audit log
 * - `admin`: all of this, and apps, policies, keys, webhooks and the encryption key
 */
export const Scope = Schema.Literals([
  "metrics:read",
  "accounts:read",
  "accounts:write",
  "runs:write",
  "messages:read",
  "tokens:read",
  "audit:read",
  "admin",
])
export type Scope = typeof Scope.Type

export const allows = (scopes: ReadonlyArray<Scope>, needed: Scope): boolean =>
  scopes.includes(needed) || scopes.includes("admin") ||
  // Whoever sees the fleet sees its sums.
  (needed === "metrics:read" && scopes.includes("accounts:read"))

export const ApiKey = Schema.Struct({
  id: Schema.String,
  /** What the audit log calls its bearer. */
  name: Schema.String,
  /** The first characters of the key, to tell keys apart. */
  prefix: Schema.String,
  scopes: Schema.Array(Scope),
  createdAt: Schema.DateTimeUtcFromString,
  /** When it stops working; null = never. */
  expiresAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** To the minute; null = not yet. */
  lastUsedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
})
export type ApiKey = typeof ApiKey.Type
