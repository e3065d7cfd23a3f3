/** The HTTP port of a process: opened with a scope, closed with it in the order that clients need. */
import { Context, Deferred, type Duration, Effect, type Scope } from "effect"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { makeHandler } from "../server/Http.ts"
import { RemoteAddress } from "../server/RateLimits.ts"
import { Shutdown } from "../server/Shutdown.ts"
import { CommandError } from "./ExitCode.ts"

/** How long requests that are under way may take to end, once no new ones are taken. */
const drain = "5 seconds"

/**
 * Serves the HTTP API. Answers with its URL; closing the scope ends event streams first and goes on answering for the delay, so
 * that whoever looks at `/health/ready` goes elsewhere, then waits for requests.
 */
export const listen = Effect.fn("Listener.listen")(
  function* (options: { readonly host: string; readonly port: number; readonly shutdownDelay: Duration.Duration }) {
    const shutdown = yield* Shutdown
    const publicUrl = yield* PublicUrl
    const handler = yield* makeHandler
    let isEnding = false
    const server = yield* serve(
      options,
      async (request, { remoteAddr }) => {
        const response = await handler(request, Context.make(RemoteAddress, () => remoteAddr.hostname))
        // The next request is to come on another connection, which may be one to another process.
        if (isEnding) response.headers.set("connection", "close")
        return response
      },
      { automaticCompression: true },
    )
    yield* publicUrl.listening(server.url)
    yield* Effect.addFinalizer(() =>
      Effect.andThen(shutdown.begin, () => {
        isEnding = true
        return Effect.sleep(options.shutdownDelay)
      })
    )
    return server
  },
)

/** Serves any web handler. */
export const serve = (
  { host, port }: { readonly host: string; readonly port: number },
  handler: (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Promise<Response> | Response,
  options: Pick<Deno.ServeOptions, "automaticCompression"> = {},
): Effect.Effect<{ readonly url: string; readonly port: number }, CommandError, Scope.Scope> =>
  Effect.gen(function* () {
    const listening = yield* Deferred.make<number>()
    yield* Effect.acquireRelease(
      Effect.try({
        try: () =>
          Deno.serve({
            ...options,
            hostname: host,
            port,
            onListen: (address) => {
              Deferred.doneUnsafe(listening, Effect.succeed(address.port))
            },
          }, handler),
        catch: (error) =>
          new CommandError({
            message: error instanceof Deno.errors.AddrInUse
              ? `${host}:${port} is taken by another process; set MAILFLEET_PORT to another port (0 = any free one)`
              : `cannot listen on ${host}:${port}; check MAILFLEET_HOST and MAILFLEET_PORT`,
          }),
      }),
      (server) => Effect.timeoutOption(Effect.promise(() => server.shutdown()), drain),
    )
    const bound = yield* Deferred.await(listening)
    return { url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`, port: bound }
  })
