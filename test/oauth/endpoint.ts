/** A token endpoint with scripted answers behind a real server, and what a caller sees of it. */
import { Effect, Exit, Layer, Logger, Redacted, type Scope, Tracer } from "effect"
import { FetchHttpClient } from "effect/http"
import type { Resource } from "../../src/domain/Account.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { type AppCredentials, OAuthProvider, type Redemption } from "../../src/oauth/OAuthProvider.ts"
import { layerProviders } from "../../src/oauth/Providers.ts"

export const refreshToken = "0.AXoA-refresh+token/with=signs&more"
export const secret = "s3cr~t._-&=+%"

export const publicApp: AppCredentials = { provider: "microsoft", clientId: "9e5f94bc-e8a4-4e73", tenant: "common" }
export const googleApp: AppCredentials = {
  provider: "google",
  clientId: "1.apps.googleusercontent.com",
  tenant: "common",
  secret: Redacted.make(secret),
}

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: Headers
  readonly form: URLSearchParams
}

export interface Endpoint {
  readonly url: string
  readonly received: Array<Received>
  /** Names of the spans that ended, and all that was logged or put on a span, as text. */
  readonly spans: Array<string>
  readonly told: Array<string>
  /** Answers the requests that follow. */
  answer: (request: Request) => Response | Promise<Response>
  readonly redeem: (options?: {
    readonly app?: AppCredentials
    readonly resource?: Resource
    readonly refreshToken?: string
  }) => Effect.Effect<Redemption, OAuthFailure>
}

type OAuthFailure = Effect.Error<ReturnType<OAuthProvider["Service"]["redeem"]>>

export const json = (value: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } })

/** An error answer in Microsoft's form. */
export const aadsts = (codes: ReadonlyArray<number>, error = "invalid_grant", more: Record<string, unknown> = {}) => ({
  error,
  error_description: `AADSTS${codes[0]}: Some text. Trace ID: ${traceId} Correlation ID: ${correlationId}`,
  error_codes: codes,
  timestamp: "2026-11-09 02:02:12Z",
  trace_id: traceId,
  correlation_id: correlationId,
  ...more,
})
export const traceId = "255d1aef-8c98-452f-ac51-23d051240864"
export const correlationId = "fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7"

const serve = (handler: (request: Request) => Response | Promise<Response>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const abort = new AbortController()
        return { abort, server: Deno.serve({ port: 0, signal: abort.signal, onListen: () => {} }, handler) }
      }),
      ({ abort, server }) =>
        Effect.promise(() => {
          abort.abort()
          return server.finished
        }),
    ),
    ({ server }) => `http://127.0.0.1:${server.addr.port}`,
  )

/** With `at`, a client of the address that is given, whatever answers there. */
export const makeEndpoint = (at?: string): Effect.Effect<Endpoint, never, Scope.Scope> =>
  Effect.gen(function* () {
    const received: Array<Received> = []
    const spans: Array<string> = []
    const told: Array<string> = []
    const url = at ?? (yield* serve(async (request) => {
      const copy = request.clone()
      received.push({
        method: request.method,
        path: new URL(request.url).pathname,
        headers: request.headers,
        form: new URLSearchParams(await request.text()),
      })
      return endpoint.answer(copy)
    }))
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        const { attribute, end } = span
        return Object.assign(span, {
          attribute(key: string, value: unknown) {
            told.push(`${key}=${JSON.stringify(value)}`)
            attribute.call(span, key, value)
          },
          end(time: bigint, exit: Exit.Exit<unknown, unknown>) {
            spans.push(span.name)
            told.push(
              JSON.stringify([...span.attributes]),
              String(exit),
              JSON.stringify(exit),
              Deno.inspect(exit, { depth: 20 }),
            )
            end.call(span, time, exit)
          },
        })
      },
    })
    const logger = Logger.make(({ cause, message }) => {
      told.push(Deno.inspect({ cause, message }, { depth: 20 }))
    })
    const context = yield* Layer.build(
      layerProviders.pipe(
        Layer.provide(Settings.layerWith({ microsoftAuthority: url, googleTokenUrl: `${url}/google/token` })),
        Layer.provide(FetchHttpClient.layer),
        Layer.orDie,
      ),
    )
    const endpoint: Endpoint = {
      url,
      received,
      spans,
      told,
      answer: () => json({ access_token: "AT", token_type: "Bearer", expires_in: 3599 }),
      redeem: (options = {}) =>
        Effect.flatMap(OAuthProvider, (provider) =>
          provider.redeem({
            app: options.app ?? publicApp,
            resource: options.resource ?? (options.app?.provider === "google" ? "gmail" : "graph"),
            refreshToken: Redacted.make(options.refreshToken ?? refreshToken),
          })).pipe(
            Effect.provide(context),
            Effect.provide(Logger.layer([logger])),
            Effect.provideService(Tracer.Tracer, tracer),
          ),
    }
    return endpoint
  })

/** The failure that `answer` leads to. */
export const refused = (endpoint: Endpoint, answer: () => Response, options?: Parameters<Endpoint["redeem"]>[0]) =>
  Effect.suspend(() => {
    endpoint.answer = answer
    return Effect.flip(endpoint.redeem(options))
  })
