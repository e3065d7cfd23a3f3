/** The commands against a real server and a real simulator, each a process of its own. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { get } from "node:http"
import { Account } from "../../src/domain/Account.ts"
import { Run } from "../../src/domain/Run.ts"
import { cli, type Ended, type Environment, folder, started } from "./cli.ts"

class Fleet extends Context.Service<Fleet, {
  readonly cwd: string
  readonly simulator: string
  /** Of the server. */
  readonly url: string
  /** The import that filled the server. */
  readonly imported: Ended
  readonly mailfleet: (
    args: ReadonlyArray<string>,
    options?: Partial<Environment>,
  ) => ReturnType<typeof cli>
  readonly start: (args: ReadonlyArray<string>) => ReturnType<typeof started>
}>()("test/commands/Fleet") {
  static readonly layer = Layer.effect(
    Fleet,
    Effect.gen(function* () {
      const cwd = yield* folder
      const simulate = yield* started(["simulate", "--accounts", "40", "--messages", "3", "--file", "accounts.csv"], {
        cwd,
      })
      const [, simulator = ""] = yield* simulate.line(/^simulator listening on (http:\/\/127\.0\.0\.1:\d+)$/m)
      const [, authority = ""] = yield* simulate.line(/^MAILFLEET_MICROSOFT_AUTHORITY=(\S+)$/m)
      const [, graph = ""] = yield* simulate.line(/^MAILFLEET_GRAPH_URL=(\S+)$/m)
      const serve = yield* started(["serve"], {
        cwd,
        env: {
          MAILFLEET_PORT: "0",
          MAILFLEET_MICROSOFT_AUTHORITY: authority,
          MAILFLEET_GRAPH_URL: graph,
          MAILFLEET_SCHEDULES: "off",
        },
      })
      const [, url = ""] = yield* serve.line(/^listening on (\S+)$/m)
      // No key: beside an embedded server there is one in its data folder.
      const env = { MAILFLEET_URL: url }
      const fleet: Fleet["Service"] = {
        cwd,
        simulator,
        url,
        imported: yield* cli(["import", "accounts.csv", "--tag", "eu", "--tag", "demo"], { cwd, env }),
        mailfleet: (args, options = {}) => cli(args, { cwd, ...options, env: { ...env, ...options.env } }),
        start: (args) => started(args, { cwd, env }),
      }
      return fleet
    }),
  )
}

const decodeRun = Schema.decodeUnknownSync(Schema.fromJsonString(Run))
const decodeRuns = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ items: Schema.Array(Run) })))
const decodeAccounts = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Struct({ items: Schema.Array(Account) })))

const setLatency = (simulator: string, latency: number) =>
  Effect.promise(() => fetch(`${simulator}/_simulator/options`, { method: "PATCH", body: JSON.stringify({ latency }) }))

describe("The commands at a running server", () => {
  layer(Fleet.layer, { timeout: 60_000, excludeTestServices: true })((it) => {
    it.effect("import a file, in plain lines and with exit code 0", () =>
      Effect.gen(function* () {
        const { cwd, imported, mailfleet } = yield* Fleet
        const { code, stdout, stderr } = imported
        assert.strictEqual(stderr, "")
        assert.strictEqual(code, 0)
        assert.match(stdout, /^import: 40 of 40 \(100 %\), 40 succeeded, 0 failed, 0 skipped, .*$/m)
        assert.match(stdout, /^import [0-9a-f-]{36}: completed in/m)
        assert.notMatch(stdout, /\p{Cc}(?<!\n)/u)
        const accounts = decodeAccounts((yield* mailfleet(["accounts", "--tag", "eu", "--json"])).stdout)
        assert.lengthOf(accounts.items, 40)
        assert.deepStrictEqual([...accounts.items[0]?.tags ?? []].sort(), ["demo", "eu"])
        const file = yield* Effect.promise(() => Deno.stat(`${cwd}/accounts.csv`))
        assert.strictEqual((file.mode ?? 0) & 0o777, 0o600)
      }), 60_000)

    it.effect("tell the line and the reason of rows that failed, with exit code 1", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const client = "776f14ec-cbe6-4cb2-a7f3-9a4c3d8dc942"
        const stdin = `# two bad rows\nnobody\n\nghost@sim.example----CANARY-pw----${client}----CANARY-token\n`
        const { code, stdout, stderr } = yield* mailfleet(["import", "-", "--format", "lines"], { stdin })
        assert.strictEqual(code, 1, stderr)
        assert.match(stdout, /2 of 2 rows: 0 succeeded, 2 failed, 0 skipped/)
        assert.match(stdout, /^ {2}line 2 .+$/m)
        assert.match(stdout, /^ {2}line 4 +ghost@sim\.example +\w+: .+$/m)
        assert.notInclude(stdout + stderr, "CANARY")
        const [latest] = decodeRuns((yield* mailfleet(["runs", "--kind", "import", "--json"])).stdout).items
        const shown = yield* mailfleet(["runs", "show", latest?.id ?? "", "--failed"])
        assert.match(shown.stdout, /line 2 [^]*line 4 /)
        assert.strictEqual(shown.code, 0)
      }), 60_000)

    it.effect("leave standard output to JSON where it is asked for", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const { code, stdout, stderr } = yield* mailfleet(["import", "accounts.csv", "--dry-run", "--json"])
        const run = decodeRun(stdout)
        assert.deepInclude(run, { kind: "import", state: "completed", total: 40, skipped: 40, dryRun: true })
        assert.match(stderr, /^import: 40 of 40/m)
        assert.strictEqual(code, 0)
      }), 60_000)

    it.effect("refuse a file that cannot be read as a whole", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        for (
          const [stdin, reason] of [["", /the file holds no rows/], ["a,b\n1,2\n", /columns email, client_id/]] as const
        ) {
          const { code, stdout, stderr } = yield* mailfleet(["import", "-", "--format", "csv"], { stdin })
          assert.match(stderr, reason)
          assert.strictEqual(stdout, "")
          assert.strictEqual(code, 2)
        }
      }), 60_000)

    it.effect("refresh and sync a selection, and show what came of it", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const refreshed = yield* mailfleet([
          "refresh",
          "--account",
          "SIM00001@sim.example",
          "--account",
          "sim00002@sim.example",
        ])
        assert.match(refreshed.stdout, /2 of 2 accounts: 2 succeeded/)
        assert.strictEqual(refreshed.code, 0, refreshed.stderr)
        const synced = yield* mailfleet(["sync", "--search", "sim00001"])
        assert.match(synced.stdout, /1 of 1 account: 1 succeeded/)
        assert.strictEqual(synced.code, 0, synced.stderr)
        const list = yield* mailfleet(["accounts", "--limit", "2"])
        assert.match(
          list.stdout,
          /^STATUS +SINCE +ADDRESS +CHANNEL +TAGS +NEXT REFRESH +SYNCED +CAUSE\nactive +\d+ \w+ ago +sim00001@sim\.example +graph +/,
        )
        assert.strictEqual(list.stdout.trimEnd().split("\n").length, 3)
        assert.match(list.stderr, /the first 2/)
        const one = yield* mailfleet(["accounts", "show", "sim00001@sim.example"])
        assert.match(one.stdout, /^messages +3$/m)
        assert.match(one.stdout, /^synced +20\d\d-.* ago\)$/m)
      }), 60_000)

    it.effect("show stored mail, what changed, the fleet and its events", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const list = yield* mailfleet(["messages", "--account", "sim00001@sim.example", "--limit", "2"])
        assert.strictEqual(list.code, 0, list.stderr)
        const [header, first] = list.stdout.split("\n")
        assert.match(header!, /^RECEIVED +FROM +ID +SUBJECT$/)
        const [id] = /[\da-f]{8}-[\da-f-]{27}/.exec(first!)!
        assert.match(list.stderr, /the first 2 messages/)
        const found = yield* mailfleet(["messages", "--account", "sim00001@sim.example", "--folder", "inbox", "--json"])
        assert.isNotEmpty(JSON.parse(found.stdout).items)
        const shown = yield* mailfleet(["messages", "show", id])
        assert.match(shown.stdout, /^subject .+\nfrom .+\nto /)
        assert.strictEqual(JSON.parse((yield* mailfleet(["messages", "show", id, "--json"])).stdout).id, id)

        const changes = yield* mailfleet(["changes", "--limit", "1000"])
        assert.include(changes.stdout, `message=${id}`)
        const [, last] = /--after (\S+)/.exec(changes.stderr)!
        assert.strictEqual((yield* mailfleet(["changes", "--after", last!])).stdout, "")
        assert.include((yield* mailfleet(["changes", "--after", "latest"])).stderr, `--after ${last}`)
        for (const follow of [[], ["--follow"]]) {
          const expired = yield* mailfleet(["changes", "--after", "0000-0000000000000000001", ...follow])
          assert.strictEqual(expired.code, 2)
          assert.match(expired.stderr, /list the messages anew .*, then go on from 0001-\d{19}/)
        }
        const [line] = (yield* mailfleet(["changes", "--json", "--limit", "1"])).stdout.split("\n")
        assert.property(JSON.parse(line!), "position")

        assert.match((yield* mailfleet(["stats"])).stdout, /^accounts +4\d: active 40/m)
        assert.isAtLeast(JSON.parse((yield* mailfleet(["stats", "--json"])).stdout).accounts.total, 40)
        assert.isArray(JSON.parse((yield* mailfleet(["events", "--json"])).stdout).items)
      }), 60_000)

    it.effect(
      "are served by answers that are compressed for those who take it, and streams that are not",
      () =>
        Effect.gen(function* () {
          const { cwd, url } = yield* Fleet
          const key = (yield* Effect.promise(() => Deno.readTextFile(`${cwd}/.mailfleet/admin.key`))).trim()
          // Not fetch, which asks for it by itself and hides what it got.
          const encodingOf = (path: string, accepted: Record<string, string>) =>
            Effect.callback<string | undefined>((resume) => {
              const request = get(
                `${url}${path}`,
                { headers: { authorization: `Bearer ${key}`, ...accepted } },
                (answer) => {
                  answer.on("error", () => {})
                  resume(Effect.succeed(answer.headers["content-encoding"]))
                  request.destroy()
                },
              )
            })
          const gzip = { "accept-encoding": "gzip" }
          assert.strictEqual(yield* encodingOf("/v1/accounts", gzip), "gzip")
          assert.isUndefined(yield* encodingOf("/v1/accounts", {}))
          assert.isUndefined(yield* encodingOf("/v1/accounts", { "accept-encoding": "gzip;q=0" }))
          assert.isUndefined(yield* encodingOf("/v1/changes/stream", gzip))
        }),
      60_000,
    )

    it.effect("follow the change log until Ctrl-C", () =>
      Effect.gen(function* () {
        const { start } = yield* Fleet
        const follow = yield* start(["changes", "--follow"])
        yield* follow.line(/ message\.created /)
        yield* follow.signal("SIGINT")
        assert.deepInclude(yield* follow.ended, { code: 0, stderr: "" })
      }), 60_000)

    it.effect("tell of an account that died what it needs, why, and since when", () =>
      Effect.gen(function* () {
        const { mailfleet, simulator } = yield* Fleet
        const email = "sim00040@sim.example"
        yield* Effect.promise(() =>
          fetch(`${simulator}/_simulator/accounts/${email}/revoke`, {
            method: "POST",
            body: JSON.stringify({ code: 700082 }),
          })
        )
        assert.strictEqual((yield* mailfleet(["refresh", "--account", email])).code, 1)
        const { stdout } = yield* mailfleet(["accounts", "show", email])
        const time = "20\\d\\d-\\S+Z \\(.+\\)"
        for (
          const line of [
            `status +needs_reauth since ${time}`,
            "cause +.*90 days.*",
            "to do +have its user open the reconnect link and sign in",
            "reconnect link +http://127\\.0\\.0\\.1:(?!0/)\\d+/reconnect/[\\w-]+\\.[\\w-]+",
            "access +read by its user's own right",
            `next refresh +${time}`,
            "last failure +AADSTS700082: .+",
            `failed +${time}`,
            `failing +needs_user, 1 time since ${time}`,
            "trace id +[\\da-f-]{36}",
            "correlation id +[\\da-f-]{36}",
          ]
        ) assert.match(stdout, new RegExp(`^${line}$`, "m"))
        assert.notMatch(stdout, /^token ends/m)
        const list = yield* mailfleet(["accounts", "--status", "needs_reauth"])
        assert.match(list.stdout, /^needs_reauth +\S+ \w+( ago)? +sim00040@sim\.example .* AADSTS700082$/m)
        const [account] =
          decodeAccounts((yield* mailfleet(["accounts", "--status", "needs_reauth", "--json"])).stdout).items
        assert.include(stdout, account!.reconnectUrl!)

        const ending = yield* mailfleet(["accounts", "--ends-before", "100 days", "--limit", "500"])
        assert.match(ending.stdout, /^STATUS .* TOKEN ENDS +SYNCED +CAUSE\nactive .* in (89|90) d /)
        assert.strictEqual(ending.stdout.trimEnd().split("\n").length, 40)
        const none = yield* mailfleet(["accounts", "--ends-before", "7 days"])
        assert.deepStrictEqual([none.stdout, none.stderr, none.code], ["", "no accounts\n", 0])
        for (const wrong of ["soon", "7", "2026-99-99"]) {
          const { code, stderr } = yield* mailfleet(["accounts", "--ends-before", wrong])
          assert.strictEqual(code, 2)
          assert.match(stderr, /--ends-before takes a duration such as "7 days" or a time/)
        }
      }), 60_000)

    it.effect("know what nothing has", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const unknown = "0199a4c2-8e2f-7bd0-9b9f-0a3c1f1d2e4b"
        const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
          [["runs", "show", unknown], /no run has the id 0199/],
          [["runs", "watch", "x"], /no run has the id x/],
          [["runs", "cancel", unknown], /no run has the id/],
          [["accounts", "show", "who@sim.example"], /no account has the id or address who@sim\.example/],
          [["accounts", "show", unknown], /no account/],
          [["sync", "--account", "who@sim.example"], /no account/],
        ]
        yield* Effect.forEach(cases, ([args, reason]) =>
          Effect.map(mailfleet(args), ({ code, stderr }) => {
            assert.match(stderr, reason)
            assert.strictEqual(code, 2)
          }), { concurrency: 3 })
      }), 60_000)

    it.effect("say that the key is wrong, and never the key", () =>
      Effect.gen(function* () {
        const { mailfleet } = yield* Fleet
        const { code, stderr } = yield* mailfleet(["import", "accounts.csv"], { env: { MAILFLEET_API_KEY: "CANARY" } })
        assert.match(stderr, /does not accept the key from MAILFLEET_API_KEY/)
        assert.notInclude(stderr, "CANARY")
        assert.strictEqual(code, 2)
      }), 60_000)

    it.effect(
      "cancel what they started at Ctrl-C, and only stop to look at what they did not",
      () =>
        Effect.gen(function* () {
          const { mailfleet, simulator, start } = yield* Fleet
          yield* setLatency(simulator, 2_000)
          const refresh = yield* start(["refresh", "--all"])
          yield* refresh.line(/^refresh: \d+ of 4\d /m)
          yield* refresh.signal("SIGINT")
          const { code, stderr } = yield* refresh.ended
          const [, id = ""] = /^cancelled refresh (\S+): /m.exec(stderr) ?? []
          assert.strictEqual(code, 1, stderr)
          assert.strictEqual(decodeRun((yield* mailfleet(["runs", "watch", id, "--json"])).stdout).state, "cancelled")

          const other = decodeRun((yield* mailfleet(["refresh", "--search", "sim", "--no-wait", "--json"])).stdout)
          const watch = yield* start(["runs", "watch", other.id])
          yield* watch.line(/^refresh: \d+ of /m)
          yield* watch.signal("SIGINT")
          const left = yield* watch.ended
          assert.match(left.stderr, /goes on/)
          assert.strictEqual(left.code, 1)
          const going = decodeRun((yield* mailfleet(["runs", "show", other.id, "--json"])).stdout)
          assert.strictEqual(going.state, "running")
          const cancelled = yield* mailfleet(["runs", "cancel", other.id])
          assert.match(cancelled.stdout, /^cancelled refresh /)
          assert.strictEqual(cancelled.code, 0)
          yield* setLatency(simulator, 0)
        }),
      60_000,
    )

    it.effect("leave at a second Ctrl-C where the server does not answer the first", () =>
      Effect.gen(function* () {
        const { cwd } = yield* Fleet
        const run = {
          id: "0199c1f2-0b7d-7a10-8a5e-6d5c4b3a2910",
          kind: "refresh",
          state: "running",
          trigger: "api",
          ...{ total: 1, processed: 0, succeeded: 0, failed: 0, skipped: 0 },
          ...{ createdAt: "2026-03-01T09:30:00Z", startedAt: null, finishedAt: null },
        }
        const watched = Promise.withResolvers<void>()
        const server = yield* Effect.acquireRelease(
          Effect.sync(() =>
            Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, ({ url }) => {
              if (url.endsWith("/v1/refreshes")) {
                return Response.json(run, { status: 202, headers: { location: `/v1/runs/${run.id}` } })
              }
              watched.resolve()
              return new Promise<Response>(() => {})
            })
          ),
          (server) =>
            Effect.timeoutOption(
              Effect.promise(() => server.shutdown()),
              "1 second",
            ),
        )
        const refresh = yield* started(["refresh", "--all"], {
          cwd,
          env: { MAILFLEET_URL: `http://127.0.0.1:${server.addr.port}`, MAILFLEET_API_KEY: "x" },
        })
        yield* Effect.promise(() => watched.promise)
        yield* refresh.signal("SIGINT")
        yield* refresh.errorLine(/Ctrl-C again/)
        yield* refresh.signal("SIGINT")
        const { code, stderr } = yield* refresh.ended
        assert.strictEqual(code, 130)
        assert.notMatch(stderr, /could not be cancelled/)
      }).pipe(Effect.scoped), 60_000)

    it.effect("simulate overwrites its own files only, and ends well at a signal", () =>
      Effect.gen(function* () {
        const { cwd, mailfleet, start } = yield* Fleet
        const real = "email,client_id,refresh_token\nada@example.com,x,y\n"
        yield* Effect.promise(() => Deno.writeTextFile(`${cwd}/real.csv`, real))
        const refused = yield* mailfleet(["simulate", "--file", "real.csv"])
        assert.match(refused.stderr, /holds accounts of somebody else/)
        assert.strictEqual(refused.code, 2)
        const again = yield* start(["simulate", "--accounts", "3", "--latency", "2 seconds", "--file", "accounts.csv"])
        yield* again.line(/^MAILFLEET_GRAPH_URL=/m)
        yield* again.signal("SIGTERM")
        assert.deepInclude(yield* again.ended, { code: 0, stderr: "" })
        const rows = yield* Effect.promise(() => Deno.readTextFile(`${cwd}/accounts.csv`))
        assert.strictEqual(rows.trimEnd().split("\n").length, 4)
      }), 60_000)
  })
})
