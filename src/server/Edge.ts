/** What holds for every answer, whoever gave it: problems for all errors, security headers, the access log. */
import { Cause, Clock, Effect, LogLevel, Result } from "effect"
import {
  FindMyWay,
  Headers,
  HttpServerError,
  HttpServerRequest,
  HttpServerRespondable,
  HttpServerResponse,
} from "effect/http"
import { InternalError, MethodNotAllowed, NotFound } from "../api/Problems.ts"
import { unlessKnown } from "./Revalidation.ts"

/** A route, to tell a wrong method from a wrong path. */
export interface KnownRoute {
  readonly method: string
  readonly path: `/${string}`
}

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

const noRoute = (router: FindMyWay.Router<true>, request: HttpServerRequest.HttpServerRequest) => {
  const known = methods.filter((method) => router.find(method, request.url) !== undefined)
  if (known.length === 0) return HttpServerRespondable.toResponse(new NotFound({ detail: "there is no such route" }))
  const allowed = [...known, ...(known.includes("GET") ? ["HEAD"] : []), "OPTIONS"]
  if (request.method === "OPTIONS") {
    return Effect.succeed(HttpServerResponse.empty({ status: 204, headers: { allow: allowed.join(", ") } }))
  }
  return HttpServerRespondable.toResponse(
    new MethodNotAllowed({ detail: `this route takes ${allowed.join(", ")}`, allowed }),
  ).pipe(Effect.map(HttpServerResponse.setHeader("allow", allowed.join(", "))))
}

const isRouteNotFound = (error: unknown): boolean =>
  HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"

const respond = (router: FindMyWay.Router<true>, cause: Cause.Cause<unknown>) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (isRouteNotFound(Result.getOrUndefined(Cause.findError(cause)))) return yield* noRoute(router, request)
    // The client hung up, or the process ends: nobody reads the answer, and nothing is wrong.
    if (Cause.hasInterruptsOnly(cause)) return yield* Effect.failCause(cause)
    yield* Effect.logError("a request failed", cause).pipe(
      Effect.annotateLogs({ method: request.method, path: pathOf(request) }),
    )
    return yield* HttpServerRespondable.toResponse(new InternalError({ detail: "the fault is ours, and is logged" }))
  })

/** Paths of pages where people sign in end in a link, and whoever has that may use it: it goes into no log and no span. */
export const isForSignIn = (request: HttpServerRequest.HttpServerRequest): boolean =>
  /^\/(?:re)?connect\//i.test(request.url)

const pathOf = (request: HttpServerRequest.HttpServerRequest): string => {
  const path = request.url.split("?", 1)[0]!
  return isForSignIn(request) ? `${path.slice(0, path.indexOf("/", 1))}/…` : path
}

/** Answers may hold mail and tokens: no cache keeps them, and no page may frame them. */
const security = Headers.fromInput({
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
})

const secured = (response: HttpServerResponse.HttpServerResponse): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.setHeaders(response, Headers.merge(security, response.headers))

/** Wraps the routed application. */
export const edge = (routes: ReadonlyArray<KnownRoute>) => {
  const router = FindMyWay.make<true>()
  for (const { method, path } of routes) router.on(method, path, true)

  return <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      const started = yield* Clock.currentTimeMillis
      const response = yield* app.pipe(
        Effect.catchCause((cause) => respond(router, cause)),
        Effect.map((response) => secured(unlessKnown(request, response))),
      )
      if (!(yield* LogLevel.isEnabled("Debug"))) return response
      yield* Effect.logDebug("answered").pipe(Effect.annotateLogs({
        method: request.method,
        path: pathOf(request),
        status: response.status,
        millis: (yield* Clock.currentTimeMillis) - started,
      }))
      return response
    })
}
