/** Real `serve` processes on a database of their own, to be killed, started again and asked over HTTP. */
import { PgClient } from "@effect/sql-pg"
import { Clock, Data, Duration, Effect, Layer, Option, Redacted, Schedule, Schema, type Scope } from "effect"
import type { Statement } from "effect/sql"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { fileURLToPath } from "node:url"
import { Run, type RunKind } from "../../src/domain/Run.ts"
import type { Simulator } from "../../src/simulator/Simulator.ts"
import { embeddedClient } from "../../src/storage/Embedded.ts"
import { type Engine, postgresUrl } from "./engines.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** What was waited for did not come. */
export class NotYet extends Data.TaggedError("NotYet")<{ readonly message: string }> {}

/** Looks again and again until `until` holds, at most `within`; fails with what it saw last. */
export const eventually = <A, E, R>(
  what: string,
  look: Effect.Effect<A, E, R>,
  until: (seen: A) => boolean,
  within: Duration.Input = "40 seconds",
): Effect.Effect<A, E | NotYet, R> =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(within)
    while (true) {
      const seen = yield* look
      if (until(seen)) return seen
      if ((yield* Clock.currentTimeMillis) > end) {
        return yield* new NotYet({ message: `${what}: not within ${Duration.toMillis(within)} ms; seen ${show(seen)}` })
      }
      yield* Effect.sleep("10 millis")
    }
  })

const show = (seen: unknown): string =>
  JSON.stringify(seen, (_key, value) => typeof value === "bigint" ? String(value) : value)?.slice(0, 600) ?? "nothing"

/** Serves a simulator; unlike a plain handler it tells the simulator which answers did not leave. Answers its origin. */
export const serveSimulator = (
  simulator: Simulator,
  wrap: (request: Request, next: () => Promise<Response>, host: string) => Promise<Response> = (_request, next) =>
    next(),
  hostname = "127.0.0.1",
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() =>
        Deno.serve(
          { port: 0, hostname, onListen: () => {} },
          (request, info) => wrap(request, () => simulator.handler(request, info), info.remoteAddr.hostname),
        )
      ),
      (server) =>
        Effect.andThen(
          Effect.sync(() => simulator.close()),
          Effect.timeoutOption(Effect.promise(() => server.shutdown()), "2 seconds"),
        ),
    ),
    (server) => `http://${hostname}:${server.addr.port}`,
  )

/** What a process answered with. */
export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** The process hung up, or was not there. */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{
  readonly cause: unknown
  /** What the process said last. */
  readonly output: string
}> {
  override readonly message = `the process does not answer: ${this.cause}\n${this.output.slice(-2_000)}`
}

/** A running process. */
export interface Service {
  readonly url: string
  readonly pid: number
  /** Milliseconds from the start of the process until it listened. */
  readonly startedIn: number
  /** All that it wrote to standard output and standard error so far. */
  readonly output: () => string
  /** SIGKILL: nothing is finished, nothing is handed back. Answers when the process is gone. */
  readonly kill: Effect.Effect<void>
  /** SIGTERM; answers with the exit code. */
  readonly stop: Effect.Effect<number>
  readonly send: (path: string, init?: RequestInit) => Effect.Effect<Answered, NoAnswer>
  /** Sends `init`, checks the status and decodes the body. */
  readonly call: <S extends Schema.Top & { readonly DecodingServices: never }>(
    schema: S,
    path: string,
    init?: RequestInit & { readonly status?: number },
  ) => Effect.Effect<S["Type"], NoAnswer | Refused>
}

/** Another status than the expected one. */
export class Refused extends Data.TaggedError("Refused")<{ readonly path: string; readonly answer: Answered }> {
  override readonly message = `${this.path}: ${this.answer.status} ${this.answer.text.slice(0, 500)}`
}

/** Statements over the tables of one installation. */
export type Use<A, E> = (sql: PgClient.PgClient, table: (name: string) => Statement.Identifier) => Effect.Effect<A, E>

/** A place where Mailfleet is installed: a database, keys and settings that outlive its processes. */
export interface Installation {
  readonly engine: Engine
  readonly schema: string
  /** The data folder; with Postgres nothing is written there. */
  readonly folder: string
  readonly adminKey: string
  /** As in the setting. */
  readonly encryptionKeys: string
  /** Starts a process and waits until it listens. It is killed at the end of the scope at the latest. */
  readonly start: (
    env?: Record<string, string>,
    args?: ReadonlyArray<string>,
    within?: ReadonlyArray<string>,
  ) => Effect.Effect<
    Service,
    NotYet,
    Scope.Scope
  >
  /** Uses the database beside the process, or on the embedded engine between two processes: it bears only one. */
  readonly query: <A, E>(use: Use<A, E>) => Effect.Effect<A, E>
}

/** Lets a minute and a half pass for leases, and for them only: those of processes that are gone have ended then. */
export const leasesEnd: Use<void, never> = (sql, table) => {
  const span = sql`make_interval(secs => 90)`
  return Effect.all([
    sql`update ${table("runs")} set owner_until = owner_until - ${span}`,
    sql`update ${table("grants")} set lease_until = lease_until - ${span}`,
    sql`update ${table("accounts")} set sync_lease_until = sync_lease_until - ${span}`,
    sql`update ${table("webhooks")} set lease_until = lease_until - ${span}`,
  ]).pipe(Effect.orDie, Effect.asVoid)
}

const postgres = PgClient.layer({
  url: Redacted.make(postgresUrl),
  applicationName: "mailfleet-test",
  maxConnections: 2,
  multiplex: false,
}).pipe(Layer.orDie)

/** Everything but our own settings, which a developer's shell may hold. */
const inherited = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(Deno.env.toObject()).filter(([name]) => !name.startsWith("MAILFLEET_") && name !== "DATABASE_URL"),
  )

/** Runs the command line, with no settings but `env`; with `within`, by a command that becomes what it is told to run. */
export const spawn = (
  args: ReadonlyArray<string>,
  env: Record<string, string>,
  within: ReadonlyArray<string> = [],
): Effect.Effect<Deno.ChildProcess, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const [command = "", ...rest] = [...within, Deno.execPath(), "run", "-A", "src/main.ts", ...args]
      return new Deno.Command(command, {
        args: rest,
        cwd: root,
        clearEnv: true,
        env: { ...inherited(), NO_COLOR: "1", ...env },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn()
    }),
    (child) => Effect.andThen(signal(child, "SIGKILL"), Effect.promise(() => child.status)),
  )

const signal = (child: Deno.ChildProcess, name: Deno.Signal) =>
  Effect.sync(() => {
    try {
      child.kill(name)
    } catch {
      // Gone already.
    }
  })

/** Collects a stream as text; `lines` is called with each piece. */
const collect = (stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> =>
  stream.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: take })).catch(() => {})

/** Runs a command to its end; answers with its exit code and all that it wrote. */
export const runToEnd = (args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.scoped(Effect.gen(function* () {
    const child = yield* spawn(args, env)
    let output = ""
    const add = (text: string) => void (output += text)
    const ended = Promise.all([child.status, collect(child.stdout, add), collect(child.stderr, add)])
    const [{ code }] = yield* Effect.promise(() => ended)
    return { code, output }
  }))

const startService = Effect.fnUntraced(
  function* (
    env: Record<string, string>,
    args: ReadonlyArray<string>,
    within: ReadonlyArray<string>,
    adminKey: string,
  ) {
    const begin = yield* Clock.currentTimeMillis
    const child = yield* spawn(["serve", ...args], env, within)
    let output = ""
    const add = (text: string) => void (output += text)
    const written = Promise.all([collect(child.stdout, add), collect(child.stderr, add)])
    let ended = false
    child.status.then(({ code, signal }) => {
      ended = true
      output += `\nended with ${signal ?? code}\n`
    })
    const url = yield* eventually(
      "the process listens",
      Effect.sync(() => /^listening on (\S+)$/m.exec(output)?.[1]),
      (url) => url !== undefined || ended,
      "90 seconds",
    )
    if (url === undefined) return yield* new NotYet({ message: `the process ended: ${output}` })

    const send = (path: string, init: RequestInit = {}) =>
      Effect.tryPromise({
        try: async (abort) => {
          const headers = new Headers(init.headers)
          if (!headers.has("authorization")) headers.set("authorization", `Bearer ${adminKey}`)
          const response = await fetch(`${url}${path}`, { signal: abort, ...init, headers })
          return { status: response.status, headers: response.headers, text: await response.text() }
        },
        catch: (cause) => new NoAnswer({ cause, output }),
      })
    const end = (name: Deno.Signal) =>
      Effect.andThen(signal(child, name), Effect.promise(() => Promise.all([child.status, written]))).pipe(
        Effect.map(([{ code }]) => code),
      )
    const service: Service = {
      url,
      pid: child.pid,
      startedIn: (yield* Clock.currentTimeMillis) - begin,
      output: () => output,
      kill: Effect.asVoid(end("SIGKILL")),
      stop: end("SIGTERM"),
      send,
      call: Effect.fnUntraced(function* (schema, path, { status = 200, ...init } = {}) {
        const answer = yield* send(path, init)
        if (answer.status !== status) return yield* new Refused({ path, answer })
        return Schema.decodeUnknownSync(Schema.toCodecJson(schema))(JSON.parse(answer.text))
      }),
    }
    return service
  },
)

/** A port that nobody listens on at the moment. */
export const freePort = (): number => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 })
  return listener.addr.port
}

const Ready = Schema.Struct({ members: Schema.Int })

/** Starts processes that know of each other, and waits until they do. Each has its settings beside those of the installation. */
export const startCluster = Effect.fnUntraced(function* (
  installation: Installation,
  settings: ReadonlyArray<Record<string, string>>,
  within: (n: number) => ReadonlyArray<string> = () => [],
) {
  const services = yield* Effect.forEach(
    settings,
    (more, n) =>
      installation.start(
        { MAILFLEET_CLUSTER: "on", MAILFLEET_CLUSTER_PORT: String(freePort()), ...more },
        [],
        within(n),
      ),
    { concurrency: "unbounded" },
  )
  for (const service of services) {
    yield* eventually(
      "the members know of each other",
      service.call(Ready, "/health/ready"),
      ({ members }) => members === services.length,
    )
  }
  return services
})

/** A new installation, against a provider at `origin`. Its data are removed with the scope. */
export const install = Effect.fnUntraced(function* (
  engine: Engine,
  origin: string,
  settings: Record<string, string> = {},
): Effect.fn.Return<Installation, never, Scope.Scope> {
  const schema = `test_${crypto.randomUUID().replaceAll("-", "")}`
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => Deno.makeTempDir({ prefix: "mailfleet-test-" })),
    // A process that was killed a moment ago may still be writing there.
    (folder) =>
      Effect.tryPromise(() => Deno.remove(folder, { recursive: true })).pipe(
        Effect.retry({ times: 20, schedule: Schedule.spaced("250 millis") }),
        Effect.orDie,
      ),
  )
  const adminKey = `mf_${randomBytes(24).toString("hex")}`
  const encryptionKeys = `k1:${Buffer.from(randomBytes(32)).toString("base64")}`
  const env = {
    ...(engine === "postgres" ? { DATABASE_URL: postgresUrl } : {}),
    MAILFLEET_DATABASE_SCHEMA: schema,
    MAILFLEET_DATA_DIR: folder,
    MAILFLEET_PORT: "0",
    MAILFLEET_ADMIN_KEY: adminKey,
    MAILFLEET_ENCRYPTION_KEYS: encryptionKeys,
    MAILFLEET_MICROSOFT_AUTHORITY: origin,
    MAILFLEET_GRAPH_URL: `${origin}/v1.0`,
    ...settings,
  }
  const query: Installation["query"] = (use) =>
    Effect.flatMap(PgClient.PgClient, (sql) => use(sql, (name) => sql(`${schema}.${name}`))).pipe(
      Effect.provide(engine === "postgres" ? postgres : Layer.orDie(embeddedClient(`${folder}/database`))),
    )
  if (engine === "postgres") {
    yield* Effect.addFinalizer(() => Effect.ignoreCause(query((sql) => sql`drop schema ${sql(schema)} cascade`)))
  }
  return {
    engine,
    schema,
    folder,
    adminKey,
    encryptionKeys,
    start: (more = {}, args = [], within = []) => startService({ ...env, ...more }, args, within, adminKey),
    query,
  }
})

// What tests ask of a process again and again.

const Page = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

/** All items of a list, page after page. */
export const all = Effect.fnUntraced(function* <S extends Schema.Top & { readonly DecodingServices: never }>(
  service: Service,
  item: S,
  path: string,
) {
  const items: Array<S["Type"]> = []
  for (let cursor: string | null = "";;) {
    const query: string = `${path.includes("?") ? "&" : "?"}limit=500${cursor === "" ? "" : `&cursor=${cursor}`}`
    const page: { readonly items: ReadonlyArray<S["Type"]>; readonly nextCursor: string | null } = yield* service.call(
      Page(item),
      `${path}${query}`,
    )
    items.push(...page.items)
    if (page.nextCursor === null || page.items.length === 0) return items
    cursor = page.nextCursor
  }
})

export const runOf = (service: Service, id: string) => service.call(Run, `/v1/runs/${id}`)

export const hasEnded = ({ state }: Run): boolean => state !== "queued" && state !== "running"

/** Waits for the end of a run. */
export const ended = (service: Service, id: string, within: Duration.Input = "60 seconds") =>
  eventually("the run ends", runOf(service, id), hasEnded, within)

/** Starts a refresh or a sync of all accounts. */
export const startOverAll = (service: Service, kind: Exclude<RunKind, "import">) =>
  service.call(Run, kind === "refresh" ? "/v1/refreshes" : "/v1/syncs", {
    method: "POST",
    status: 202,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ all: true }),
  })

/** Uploads a file of accounts. */
export const upload = (service: Service, body: BodyInit, headers: Record<string, string> = {}, query = "") =>
  service.call(Run, `/v1/imports${query}`, {
    method: "POST",
    status: 202,
    headers: { "content-type": "text/csv", ...headers },
    body,
  })

/** The value, or a test that fails. */
export const found = <A>(value: Option.Option<A> | A | undefined): A => {
  const option = Option.isOption(value) ? value : Option.fromUndefinedOr(value)
  return Option.getOrThrowWith(option, () => new Error("there is none"))
}
