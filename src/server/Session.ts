/** Signs browsers in to the dashboard, and out of it. */
import { DateTime, Duration, Effect, Option, Redacted } from "effect"
import { HttpEffect, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { RateLimiter } from "effect/persistence"
import { Api } from "../api/Api.ts"
import { TooManyLogins, Unauthorized } from "../api/Problems.ts"
import { sessionCookie } from "../api/Session.ts"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { DashboardSessions } from "../storage/DashboardSessions.ts"
import { retryAfter } from "./Answers.ts"
import { Callers, refuseForeign, sessionTokenOf } from "./Callers.ts"

/** Of this process, by whomever: a person needs few, and a guesser many. */
const attempts = { algorithm: "token-bucket", key: "logins", limit: 20, window: Duration.minutes(1) } as const

export const layerSession = HttpApiBuilder.group(
  Api,
  "session",
  Effect.fnUntraced(function* (handlers) {
    const callers = yield* Callers
    const sessions = yield* DashboardSessions
    const publicUrl = yield* PublicUrl
    const limiter = yield* RateLimiter.RateLimiter

    /** Strict: not even a link on another site takes it along. Secure wherever browsers reach us by https. */
    const setCookie = Effect.fnUntraced(function* (token: Redacted.Redacted, maxAge: Duration.Duration) {
      const url = new URL(yield* publicUrl.get)
      yield* HttpEffect.appendPreResponseHandler((_request, response) =>
        Effect.succeed(HttpServerResponse.setCookieUnsafe(response, sessionCookie, Redacted.value(token), {
          path: `${url.pathname.replace(/\/$/, "")}/`,
          httpOnly: true,
          sameSite: "strict",
          secure: url.protocol === "https:",
          maxAge,
        }))
      )
    })

    const limited = limiter.consume(attempts).pipe(
      Effect.catch(({ reason }) => {
        const seconds = "retryAfter" in reason ? Math.ceil(Duration.toSeconds(reason.retryAfter)) : 60
        return Effect.andThen(
          retryAfter(Math.max(1, seconds)),
          Effect.fail(new TooManyLogins({ detail: "too many attempts to sign in: wait a minute" })),
        )
      }),
    )

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
        if (Option.isSome(token)) yield* sessions.end(token.value)
        yield* setCookie(Redacted.make(""), Duration.zero)
      }),
    })
  }),
)
