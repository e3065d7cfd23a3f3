/** The HTTP API under load, beside the barest handler over the same SQL. */
import { Console, Data, Effect, Redacted, Schema } from "effect"
import { fileURLToPath } from "node:url"
import { CreatedApiKey } from "../../../src/api/Keys.ts"
import { postgresUrl } from "../../support/engines.ts"
import { eventually, install, type Installation } from "../../support/processes.ts"
import { count, load, machine, markdown, millis, ratio } from "../refresh/figures.ts"
import { fill } from "../sync/search.ts"

/** Connections that are kept alive; each asks again once it has its answer. */
const connections = 16

class LoadFailed extends Data.TaggedError("LoadFailed")<{ readonly message: string }> {}

/** What autocannon reports. */
const Report = Schema.Struct({
  requests: Schema.Struct({ average: Schema.Finite }),
  latency: Schema.Struct({ p50: Schema.Finite, p99: Schema.Finite }),
  non2xx: Schema.Int,
  errors: Schema.Int,
})

const child = (args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", ...args],
    cwd: fileURLToPath(new URL("../../../", import.meta.url)),
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  })

/** Asks one question again and again, in a process of its own. */
const ask = Effect.fnUntraced(function* (url: string, key: string, seconds: number) {
  const { stdout } = yield* Effect.promise(() =>
    child([
      "npm:autocannon@9.0.0",
      ...["--json", "--connections", String(connections), "--duration", String(seconds)],
      ...["--headers", `authorization=Bearer ${key}`, url],
    ]).output()
  )
  const report = Schema.decodeUnknownSync(Schema.fromJsonString(Report))(new TextDecoder().decode(stdout))
  if (report.non2xx + report.errors > 0) {
    return yield* new LoadFailed({ message: `${url}: ${report.non2xx} refusals, ${report.errors} errors` })
  }
  return report
})

/** The floor as a process; answers with its URL. */
const startFloor = (installation: Installation) =>
  Effect.gen(function* () {
    let said = ""
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const process = child(["test/bench/api/floor.ts"], {
          DATABASE_URL: postgresUrl,
          MAILFLEET_DATABASE_SCHEMA: installation.schema,
          MAILFLEET_ADMIN_KEY: installation.adminKey,
          MAILFLEET_ENCRYPTION_KEYS: installation.encryptionKeys,
        }).spawn()
        process.stdout.pipeThrough(new TextDecoderStream()).pipeTo(
          new WritableStream({ write: (text) => void (said += text) }),
        ).catch(() => {})
        return process
      }),
      (process) =>
        Effect.promise(() => {
          process.kill("SIGKILL")
          return process.status
        }),
    )
    const listening = Effect.sync(() => /^listening on (\S+)$/m.exec(said)?.[1])
    return (yield* eventually("the floor listens", listening, (url) => url !== undefined))!
  })

export const benchApi = (quick: boolean) =>
  Effect.gen(function* () {
    const [accounts, messages, seconds] = quick ? [2_000, 20_000, 5] : [100_000, 1_000_000, 20]
    yield* Console.log(yield* machine)
    const installation = yield* install("postgres", "http://127.0.0.1:1", {
      MAILFLEET_SCHEDULES: "off",
      MAILFLEET_API_RATE: "off",
    })
    const service = yield* installation.start()
    const { account } = yield* Effect.acquireRelease(
      Effect.promise(() => fill(installation, messages, accounts)),
      ({ client }) => Effect.promise(() => client.end()),
    )
    const floor = yield* startFloor(installation)
    const { key } = yield* service.call(CreatedApiKey, "/v1/keys", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: "bench", scopes: ["accounts:read", "messages:read"] }),
      status: 201,
    })
    const rows: Array<ReadonlyArray<string>> = []
    for (
      const [name, path] of [
        ["one account", `/v1/accounts/${account}`],
        ["a page of 50 accounts", "/v1/accounts?limit=50"],
        ["a search of all messages", "/v1/messages?limit=50&q=rare7"],
      ] as const
    ) {
      const measure = Effect.fnUntraced(function* (origin: string) {
        yield* ask(origin + path, Redacted.value(key), 2)
        return yield* ask(origin + path, Redacted.value(key), seconds)
      })
      const ours = yield* measure(service.url)
      const barest = yield* measure(floor)
      rows.push([
        name,
        count(Math.round(ours.requests.average)),
        count(Math.round(barest.requests.average)),
        ratio(ours.requests.average / barest.requests.average),
        millis(ours.latency.p99, 0),
        millis(barest.latency.p99, 0),
      ])
    }
    yield* Console.log(
      `\nthe API over ${count(accounts)} accounts and ${
        count(messages)
      } messages, ${connections} connections, ${seconds} s each; ` +
        `${load()}\n\n` +
        markdown([["GET", "requests per s", "barest", "ratio", "p99", "barest p99"], ...rows]),
    )
  }).pipe(Effect.scoped)
