/** Keys of the HTTP API: made, found by their hash, taken away. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import type { Buffer } from "node:buffer"
import { createHash, randomBytes } from "node:crypto"
import type { ApiKey, Scope } from "../domain/ApiKey.ts"
import { isId, newId } from "../domain/Ids.ts"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"
import { Database, orDie } from "./Database.ts"

/** 192 random bits: not to be guessed, so a plain hash of them keeps them as well as a slow one would. */
const secretBytes = 24

const prefixLength = 8

/** A key that is used all the time is written down this often. */
const usedEvery = "1 minute"

interface KeyRow {
  readonly id: string
  readonly name: string
  readonly prefix: string
  readonly scopes: ReadonlyArray<Scope>
  readonly created_at: Date
  readonly expires_at: Date | null
  readonly last_used_at: Date | null
}

const time = (date: Date | null) => date === null ? null : DateTime.fromDateUnsafe(date)

const toKey = (row: KeyRow): ApiKey => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: row.scopes,
  createdAt: DateTime.fromDateUnsafe(row.created_at),
  expiresAt: time(row.expires_at),
  lastUsedAt: time(row.last_used_at),
})

/** A key that was found is believed so long: other processes learn of a revocation, or of an early end, as late as that. */
const believedMillis = 1_000

/** Keys that are remembered at most. */
const mostRemembered = 1_000

/** Looked up by this, the time of a look-up tells nothing of the key. */
const hashOf = (key: string): Buffer => createHash("sha256").update(key).digest()

export class ApiKeys extends Context.Service<ApiKeys, {
  /** The key itself is in this answer, and never again. */
  readonly create: (options: {
    readonly name: string
    readonly scopes: ReadonlyArray<Scope>
    readonly expiresAt?: DateTime.Utc | undefined
  }) => Effect.Effect<{ readonly key: ApiKey; readonly secret: Redacted.Redacted }>
  /** None = no such key, or one that has expired. What is found is kept for a second. */
  readonly find: (secret: Redacted.Redacted) => Effect.Effect<
    Option.Option<Pick<ApiKey, "id" | "name" | "scopes">>
  >
  /** Oldest first, expired ones included. */
  readonly list: (options: { readonly limit: number; readonly cursor?: string | undefined }) => Effect.Effect<
    { readonly items: ReadonlyArray<ApiKey>; readonly nextCursor: string | null },
    InvalidCursor
  >
  /** The key is refused from now on by this process, and within a second by all others. False = there is none of this id. */
  readonly revoke: (id: string) => Effect.Effect<boolean>
}>()("mailfleet/storage/ApiKeys") {
  static readonly layer: Layer.Layer<ApiKeys, never, Database> = Layer.effect(
    ApiKeys,
    Effect.map(Database, ({ sql, tables: t }) => {
      const columns = sql.literal("id, name, prefix, scopes, created_at, expires_at, last_used_at")
      type Known = Pick<KeyRow, "id" | "name" | "scopes">
      const remembered = new Map<string, { readonly known: Known; readonly until: number }>()
      // A look-up that was under way when a key was revoked may have found it: that is not remembered.
      let revocations = 0
      const remember = (hash: string, known: Known, until: number) => {
        if (remembered.size >= mostRemembered) remembered.clear()
        remembered.set(hash, { known, until })
      }
      return ApiKeys.of({
        create: Effect.fn("ApiKeys.create")(function* ({ expiresAt, name, scopes }) {
          const secret = `mf_${randomBytes(secretBytes).toString("hex")}`
          const rows = yield* sql<KeyRow>`insert into ${t.api_keys} (id, name, prefix, hash, scopes, expires_at)
            values (${newId()}, ${name}, ${secret.slice(0, prefixLength)}, ${hashOf(secret)},
              string_to_array(${[...new Set(scopes)].join(",")}, ','),
              ${expiresAt === undefined ? null : DateTime.toDateUtc(expiresAt)})
            returning ${columns}`
          return { key: toKey(rows[0]!), secret: Redacted.make(secret) }
        }, orDie),
        // Index: api_keys_hash_key.
        find: Effect.fnUntraced(function* (secret) {
          const hash = hashOf(Redacted.value(secret))
          const now = yield* monotonicMillis
          const before = remembered.get(hash.toString("base64"))
          if (before !== undefined && before.until > now) return Option.some(before.known)
          const began = revocations
          const rows = yield* sql<Known & { readonly unseen: boolean; readonly ends_in: number | null }>`
            select id, name, scopes, (extract(epoch from expires_at - now()) * 1000)::float8 as ends_in, last_used_at is null or last_used_at < now() - ${usedEvery}::interval as unseen
            from ${t.api_keys}
            where hash = ${hash} and (expires_at is null or expires_at > now())`
          const row = rows[0]
          if (row?.unseen) yield* sql`update ${t.api_keys} set last_used_at = now() where id = ${row.id}`
          if (row !== undefined && began === revocations) {
            remember(hash.toString("base64"), row, now + Math.min(believedMillis, row.ends_in ?? Infinity))
          }
          return Option.fromUndefinedOr(row)
        }, orDie),
        // Served by the primary key.
        list: Effect.fn("ApiKeys.list")(function* ({ cursor, limit }) {
          const after = yield* afterCursor(cursor, isId)
          const rows = yield* orDie(sql<KeyRow>`select ${columns} from ${t.api_keys}
            where ${after === undefined ? sql`true` : sql`id > ${after}`} order by id limit ${limit + 1}`)
          return pageOf(rows, limit, toKey, ({ id }) => id)
        }),
        revoke: Effect.fn("ApiKeys.revoke")(function* (id) {
          if (!isId(id)) return false
          const rows = yield* sql`delete from ${t.api_keys} where id = ${id} returning 1`
          revocations++
          for (const [hash, { known }] of remembered) if (known.id === id) remembered.delete(hash)
          return rows.length > 0
        }, orDie),
      })
    }),
  )
}
