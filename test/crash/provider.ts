/**
 * The simulated provider as a process of its own, with an address for each of its clients: so it can say who asked for
 * what, and whether two ever asked for the same at once.
 *
 * `deno run -A test/crash/provider.ts '{"accounts":1000,"mode":"strict"}' 2`
 */
import { Data, Effect, Schema, type Scope } from "effect"
import { fileURLToPath } from "node:url"
import { make } from "../../src/simulator/Simulator.ts"

const Options = Schema.Struct({
  accounts: Schema.Int,
  seed: Schema.Int,
  mode: Schema.Literals(["microsoft", "strict"]),
  messages: Schema.Int,
  latency: Schema.Int,
})

const Clients = Schema.Struct({
  /** Requests that arrived while another one of the same account had no answer yet. */
  overlapping: Schema.Int,
  /** The last requests of each account: which client sent it, and when it arrived (epoch milliseconds). */
  requests: Schema.Record(
    Schema.String,
    Schema.Array(Schema.Struct({ client: Schema.Int, at: Schema.Number })),
  ),
})
export type Clients = typeof Clients.Type

const Wire = Schema.Array(Schema.Struct({
  email: Schema.String,
  arrivedAt: Schema.Number,
  answeredAt: Schema.NullOr(Schema.Number),
  confirmed: Schema.Boolean,
}))
export type WireEntry = typeof Wire.Type[number]

const Counters = Schema.Struct({ redemptions: Schema.Int, violations: Schema.Record(Schema.String, Schema.Int) })

export interface Provider {
  /** One for each client. */
  readonly origins: ReadonlyArray<string>
  readonly clients: Effect.Effect<typeof Clients.Type>
  readonly counters: Effect.Effect<typeof Counters.Type>
  /** Accounts whose newest token was on the wire at a moment, or left at most `slack` milliseconds before it. */
  readonly wire: (at: number, slack: number) => Effect.Effect<ReadonlyArray<WireEntry>>
  /** Grants that were revoked for reuse of a spent token. */
  readonly revoked: Effect.Effect<ReadonlyArray<WireEntry>>
  readonly setLatency: (millis: number) => Effect.Effect<void>
  readonly csv: Effect.Effect<string>
}

class ProviderFailed extends Data.TaggedError("ProviderFailed")<{ readonly message: string }> {}

/** Starts the process; it is killed with the scope. */
export const startProvider = (
  options: typeof Options.Type,
  clients: number,
): Effect.Effect<Provider, ProviderFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", fileURLToPath(import.meta.url), JSON.stringify(options), String(clients)],
          stdin: "null",
          stdout: "piped",
          stderr: "inherit",
        }).spawn()
      ),
      (child) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return child.status
        }),
    )
    const first = yield* Effect.promise(() => child.stdout.getReader().read())
    if (first.value === undefined) return yield* new ProviderFailed({ message: "the provider did not start" })
    const origins = Schema.decodeUnknownSync(Schema.Array(Schema.String))(
      JSON.parse(new TextDecoder().decode(first.value)),
    )
    const ask = (path: string, init: RequestInit = {}) =>
      Effect.promise(async () => {
        const response = await fetch(`${origins[0]}/${path}`, init)
        return await response.text()
      })
    const get = <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string) =>
      Effect.map(ask(path), (text): S["Type"] => Schema.decodeUnknownSync(schema)(JSON.parse(text)))
    return {
      origins,
      clients: get(Clients, "_clients"),
      counters: get(Counters, "_simulator/counters"),
      wire: (at, slack) => get(Wire, `_simulator/wire?at=${at}&slack=${slack}`),
      revoked: get(Wire, "_simulator/grants?revoked=true"),
      setLatency: (millis) =>
        Effect.asVoid(ask("_simulator/options", { method: "PATCH", body: JSON.stringify({ latency: millis }) })),
      csv: ask("_simulator/import?format=csv"),
    }
  })

/** Whose refresh token it is; its fifth part is the number of the account, from 0 (`Grants.refreshToken`). */
export const emailOf = (form: string): string | undefined => {
  const token = new URLSearchParams(form).get("refresh_token")
  const number = token?.split(".")[4]
  return number === undefined ? undefined : `sim${String(parseInt(number, 36) + 1).padStart(5, "0")}@sim.example`
}

/** As many as tell whose the newest token is, and who showed an old one after that. */
const kept = 4

const serve = Effect.gen(function* () {
  const [options, clients] = Deno.args
  const simulator = yield* make(Schema.decodeUnknownSync(Schema.fromJsonString(Options))(options))
  const unanswered = new Map<string, number>()
  const requests = new Map<string, ReadonlyArray<{ readonly client: number; readonly at: number }>>()
  let overlapping = 0

  const watch = async (client: number, request: Request, info: Deno.ServeHandlerInfo) => {
    if (request.url.endsWith("/_clients")) {
      return Response.json({ overlapping, requests: Object.fromEntries(requests) })
    }
    if (!request.url.endsWith("/token")) return simulator.handler(request, info)
    const at = Date.now()
    const email = emailOf(await request.clone().text())
    if (email === undefined) return simulator.handler(request, info)
    const others = unanswered.get(email) ?? 0
    if (others > 0) overlapping++
    unanswered.set(email, others + 1)
    requests.set(email, [...(requests.get(email) ?? []).slice(1 - kept), { client, at }])
    const response = await simulator.handler(request, info)
    unanswered.set(email, (unanswered.get(email) ?? 1) - 1)
    return response
  }
  const servers = Array.from(
    { length: Number(clients) },
    (_, client) =>
      Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        (request, info) => watch(client, request, info),
      ),
  )
  console.log(JSON.stringify(servers.map(({ addr }) => `http://127.0.0.1:${addr.port}`)))
  return yield* Effect.never
})

if (import.meta.main) await Effect.runPromise(Effect.scoped(serve))
