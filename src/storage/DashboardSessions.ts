/** Browsers that are signed in to the dashboard: each by a random token, of which only the hash is stored. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { createHash, randomBytes } from "node:crypto"
import type { ApiKey, Scope } from "../domain/ApiKey.ts"
import { Vault } from "../oauth/Vault.ts"
import { Database, orDie } from "./Database.ts"

/** A working day: whoever comes back the next day signs in again. */
const lifetime = "12 hours"

/** 256 random bits: not to be guessed, so a plain hash of them keeps them. */
const tokenBytes = 32

/** What {@link Vault} authenticates the admin key for. */
const purpose = "dashboard"

const hashOf = (token: Redacted.Redacted): Uint8Array => createHash("sha256").update(Redacted.value(token)).digest()

/** By whose right a session is: an API key by its id, or the admin key. */
export type SessionKey = { readonly id: string } | { readonly admin: Redacted.Redacted }

export interface DashboardSession {
  /** None = the admin key's. */
  readonly key: Option.Option<Pick<ApiKey, "id" | "name" | "scopes">>
  readonly expiresAt: DateTime.Utc
}

interface SessionRow {
  readonly id: string | null
  readonly name: string | null
  readonly scopes: ReadonlyArray<Scope> | null
  readonly admin_mac: Uint8Array | null
  readonly expires_at: Date
}

export class DashboardSessions extends Context.Service<DashboardSessions, {
  /** The token is in this answer, and never again. Ends after 12 hours, or with its key if that ends before. */
  readonly create: (key: SessionKey) => Effect.Effect<{
    readonly token: Redacted.Redacted
    readonly expiresAt: DateTime.Utc
  }>
  /** None = no such session, or it has ended: by time, by its end, with its key, or because the admin key is another one now. */
  readonly find: (
    token: Redacted.Redacted,
    admin: Redacted.Redacted,
  ) => Effect.Effect<Option.Option<DashboardSession>>
  /** Its token is refused from now on, by all processes. */
  readonly end: (token: Redacted.Redacted) => Effect.Effect<void>
}>()("mailfleet/storage/DashboardSessions") {
  static readonly layer: Layer.Layer<DashboardSessions, never, Database | Vault> = Layer.effect(
    DashboardSessions,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const vault = yield* Vault
      return DashboardSessions.of({
        create: Effect.fn("DashboardSessions.create")(function* (key) {
          // Index: dashboard_sessions_expiry. Sessions are few, and made by people: no sweep of its own is needed.
          yield* sql`delete from ${t.dashboard_sessions} where expires_at < now()`
          const token = Redacted.make(randomBytes(tokenBytes).toString("base64url"))
          const keyId = "id" in key ? key.id : null
          const mac = "id" in key ? null : vault.mac(purpose, Redacted.value(key.admin))
          const rows = yield* sql<{ expires_at: Date }>`
            insert into ${t.dashboard_sessions} (hash, key_id, admin_mac, expires_at)
            values (${hashOf(token)}, ${keyId}, ${mac}, least(now() + ${lifetime}::interval,
              (select expires_at from ${t.api_keys} where id = ${keyId})))
            returning expires_at`
          return { token, expiresAt: DateTime.fromDateUnsafe(rows[0]!.expires_at) }
        }, orDie),
        // Served by the primary key.
        find: Effect.fn("DashboardSessions.find")(function* (token, admin) {
          const rows = yield* sql<SessionRow>`select k.id, k.name, k.scopes, s.admin_mac, s.expires_at
            from ${t.dashboard_sessions} s left join ${t.api_keys} k on k.id = s.key_id
            where s.hash = ${hashOf(token)} and s.expires_at > now() and (k.expires_at is null or k.expires_at > now())`
          const row = rows[0]
          if (row === undefined) return Option.none()
          if (row.admin_mac !== null && !vault.hasMac(purpose, Redacted.value(admin), row.admin_mac)) {
            return Option.none()
          }
          return Option.some({
            key: row.id === null || row.name === null || row.scopes === null
              ? Option.none()
              : Option.some({ id: row.id, name: row.name, scopes: row.scopes }),
            expiresAt: DateTime.fromDateUnsafe(row.expires_at),
          })
        }, orDie),
        end: (token) =>
          orDie(Effect.asVoid(sql`delete from ${t.dashboard_sessions} where hash = ${hashOf(token)}`)).pipe(
            Effect.withSpan("DashboardSessions.end"),
          ),
      })
    }),
  )
}
