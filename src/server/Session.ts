/** Signs browsers in to the dashboard, and out of it. */
import { DateTime, Duration, Effect, Option, Redacted } from "effect"
import { HttpEffect, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { Api } from "../api/Api.ts"
import { TooManyRequests, Unauthorized } from "../api/Problems.ts"
import { sessionCookie } from "../api/Session.ts"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { Audit } from "../storage/Audit.ts"
import { DashboardSessions } from "../storage/DashboardSessions.ts"
import { withHeaders } from "./Answers.ts"
import { Callers, refuseForeign, sessionTokenOf } from "./Callers.ts"
import { RemoteAddress } from "./RateLimits.ts"
import { makeTokenBuckets } from "./TokenBuckets.ts"

/** From one address, at this process: a person needs few, and a guesser many. */
const attempts = { perSecond: 1 / 3, atOnce: 20 }

export const layerSession = HttpApiBuilder.group(
  Api,
  "session",
  Effect.fnUntraced(function* (handlers) {
    const audit = yield* Audit
    const callers = yield* Callers
    const sessions = yield* DashboardSessions
    const publicUrl = yield* PublicUrl
    const logins = makeTokenBuckets(attempts.perSecond, attempts.atOnce)

    /**
     * Strict: not even a link on another site takes it along. Secure wherever browsers reach us by https: as the settings
     * say, or the browser itself, where a proxy is not told of in them.
     */
    const setCookie = Effect.fnUntraced(function* (token: Redacted.Redacted, maxAge: Duration.Duration) {
      const url = new URL(yield* publicUrl.get)
      const { origin } = (yield* HttpServerRequest.HttpServerRequest).headers
      yield* HttpEffect.appendPreResponseHandler((_request, response) =>
        Effect.succeed(HttpServerResponse.setCookieUnsafe(response, sessionCookie, Redacted.value(token), {
          path: `${url.pathname.replace(/\/$/, "")}/`,
          httpOnly: true,
          sameSite: "strict",
          secure: url.protocol === "https:" || origin?.startsWith("https:") === true,
          maxAge,
        }))
      )
    })

    const limited = Effect.gen(function* () {
      const { allowed, retryAfter } = logins.take((yield* RemoteAddress)(), yield* monotonicMillis)
      if (allowed) return
      yield* withHeaders({ "retry-after": String(retryAfter) })
      return yield* new TooManyRequests({
        detail: "too many attempts to sign in from this address: wait a few seconds",
      })
    })

    return handlers.handleAll({
      create: Effect.fn("session.create")(function* ({ payload }) {
        yield* refuseForeign(yield* HttpServerRequest.HttpServerRequest)
        yield* limited
        const caller = yield* callers.signIn(payload.key)
        if (Option.isNone(caller)) {
          return yield* new Unauthorized({ detail: "this is no key of this server, or it has ended" })
        }
        const { expiresAt, name, scopes, token } = caller.value
        yield* setCookie(token, DateTime.distance(yield* DateTime.now, expiresAt))
        yield* audit.record({ actor: `dashboard:${name}`, action: "session.create", outcome: "ok" })
        return { name, scopes, expiresAt }
      }),
      get: Effect.fn("session.get")(function* () {
        const caller = yield* callers.ofSession(yield* HttpServerRequest.HttpServerRequest)
        if (Option.isNone(caller)) return null
        const { expiresAt, name, scopes } = caller.value
        return { name, scopes, expiresAt }
      }),
      remove: Effect.fn("session.remove")(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        yield* refuseForeign(request)
        const token = sessionTokenOf(request)
        const caller = yield* callers.ofSession(request)
        if (Option.isSome(token)) yield* sessions.end(token.value)
        if (Option.isSome(caller)) {
          yield* audit.record({ actor: `dashboard:${caller.value.name}`, action: "session.remove", outcome: "ok" })
        }
        yield* setCookie(Redacted.make(""), Duration.zero)
      }),
    })
  }),
)
