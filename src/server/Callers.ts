/** Who calls: the bearer of a key, or a browser that gave one for a cookie. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { HttpServerRequest } from "effect/http"
import { createHash, timingSafeEqual } from "node:crypto"
import { ForeignOrigin } from "../api/Problems.ts"
import { sessionCookie } from "../api/Session.ts"
import type { Scope } from "../domain/ApiKey.ts"
import { Settings, SettingsError } from "../domain/Settings.ts"
import { ApiKeys } from "../storage/ApiKeys.ts"
import { DashboardSessions } from "../storage/DashboardSessions.ts"

export interface KnownCaller {
  /** Of the key; `admin` and `metrics` for those that are settings. */
  readonly id: string
  /** The name of the key; `admin` and `metrics` for those that are settings. */
  readonly name: string
  readonly scopes: ReadonlyArray<Scope>
}

export interface SignedInCaller extends KnownCaller {
  readonly expiresAt: DateTime.Utc
}

/** Of digests neither length nor prefix of a key shows, and comparing them takes the same time wherever they differ. */
const digest = (key: Redacted.Redacted): Uint8Array => createHash("sha256").update(Redacted.value(key)).digest()

/**
 * Refuses what a page of another site has a browser send: by Fetch Metadata, and by `Origin` where a browser is too old for
 * it. What an address bar or a bookmark leads to is of no site, and may only read.
 */
export const refuseForeign = Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest) {
  const { host, origin, "sec-fetch-site": site } = request.headers
  const reads = request.method === "GET" || request.method === "HEAD"
  const isOurs = site === undefined
    ? reads || (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host)
    : site === "same-origin" || (site === "none" && reads)
  if (!isOurs) {
    return yield* new ForeignOrigin({ detail: "the cookie of the dashboard is taken from its own pages only" })
  }
})

export const sessionTokenOf = (request: HttpServerRequest.HttpServerRequest): Option.Option<Redacted.Redacted> => {
  const token = request.cookies[sessionCookie]
  return token === undefined || token === "" ? Option.none() : Option.some(Redacted.make(token))
}

export class Callers extends Context.Service<Callers, {
  /** None = a missing, a wrong, an expired or a revoked key. `beforeLookup` runs before any but those of the settings is looked up. */
  readonly ofKey: <E, R>(
    key: Redacted.Redacted,
    beforeLookup: Effect.Effect<void, E, R>,
  ) => Effect.Effect<Option.Option<KnownCaller>, E, R>
  /** None = the request bears no cookie of a session that goes on. */
  readonly ofSession: (
    request: HttpServerRequest.HttpServerRequest,
  ) => Effect.Effect<Option.Option<SignedInCaller>>
  /** Gives a key for the token of a session. None = the key is none. */
  readonly signIn: (
    key: Redacted.Redacted,
  ) => Effect.Effect<Option.Option<SignedInCaller & { readonly token: Redacted.Redacted }>>
}>()("mailfleet/server/Callers") {
  static readonly layer: Layer.Layer<Callers, SettingsError, Settings | ApiKeys | DashboardSessions> = Layer.effect(
    Callers,
    Effect.gen(function* () {
      const settings = yield* Settings
      const keys = yield* ApiKeys
      const sessions = yield* DashboardSessions
      if (Option.isNone(settings.adminKey)) {
        return yield* new SettingsError({
          variable: "MAILFLEET_ADMIN_KEY",
          message: "MAILFLEET_ADMIN_KEY must be set: a long random text, which every call bears",
        })
      }
      const adminKey = settings.adminKey.value
      const expected = digest(adminKey)
      const admin: KnownCaller = { id: "admin", name: "admin", scopes: ["admin"] }
      const isAdmin = (key: Redacted.Redacted): boolean => timingSafeEqual(digest(key), expected)
      const metrics: KnownCaller = { id: "metrics", name: "metrics", scopes: ["metrics:read"] }
      const scraping = Option.map(settings.metricsKey, digest)
      const isMetrics = (key: Redacted.Redacted): boolean =>
        Option.isSome(scraping) && timingSafeEqual(digest(key), scraping.value)

      return Callers.of({
        ofKey: Effect.fnUntraced(function* (key, beforeLookup) {
          if (isAdmin(key)) return Option.some(admin)
          if (isMetrics(key)) return Option.some(metrics)
          yield* beforeLookup
          return yield* keys.find(key)
        }),
        ofSession: Effect.fnUntraced(function* (request) {
          const token = sessionTokenOf(request)
          if (Option.isNone(token)) return Option.none()
          return Option.map(
            yield* sessions.find(token.value, adminKey),
            ({ expiresAt, key }) => ({ ...Option.getOrElse(key, () => admin), expiresAt }),
          )
        }),
        signIn: Effect.fnUntraced(function* (key) {
          if (isAdmin(key)) {
            return Option.some({ ...admin, ...(yield* sessions.create({ admin: key })) })
          }
          const found = yield* keys.find(key)
          if (Option.isNone(found)) return Option.none()
          return Option.some({ ...found.value, ...(yield* sessions.create({ id: found.value.id })) })
        }),
      })
    }),
  )
}
