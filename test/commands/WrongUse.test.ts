/** Wrong use, help and keys: what needs no server. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cli, type Ended, folder } from "./cli.ts"

const secret = "CANARY-key"

/** One line that says what is wrong, on standard error only. */
const assertRefused = ({ code, stdout, stderr }: Ended, reason: RegExp, command: ReadonlyArray<string>) => {
  const name = command.join(" ")
  assert.match(stderr, reason, name)
  assert.strictEqual(stderr.trimEnd().split("\n").length, 1, `${name}: ${stderr}`)
  assert.match(stderr, /^mailfleet: /, name)
  assert.notMatch(stderr, /\bat .*\.ts|CANARY/, name)
  assert.strictEqual(stdout, "", name)
  assert.strictEqual(code, 2, name)
}

const wrong: ReadonlyArray<readonly [command: ReadonlyArray<string>, reason: RegExp]> = [
  [["imprt", "x.csv"], /unknown command imprt; did you mean import\?/],
  [["import"], /Missing required argument: file/],
  [["import", "--dry-rnu", "x.csv"], /unknown flag --dry-rnu; did you mean --dry-run\?/],
  [["import", "x.csv", "y.csv"], /Unexpected positional argument: "y\.csv"/],
  [["import", "x.csv"], /there is no file x\.csv/],
  [["import", ".", "--format", "csv"], /is a folder/],
  [["import", "-"], /say the form of standard input: --format/],
  [["import", "accounts"], /--format csv, ndjson, json or lines/],
  [["import", "x.csv", "--format", "xml"], /"csv" \| "ndjson"/],
  [["import", "x.csv", "--tag", "a,b"], /without commas/],
  [["refresh"], /say which accounts: --all, --account/],
  [["sync", "--all", "--tag", "eu"], /exclude each other/],
  [["accounts", "--status", "dead"], /"needs_reauth"/],
  [["accounts", "--limit", "0"], /a whole number from 1/],
  [["simulate", "--latency", "soon"], /a duration such as "1s"/],
  [["simulate", "--fault-rate", "2"], /a number from 0 to 1/],
  [["simulate", "--file", "accounts.xlsx"], /must end in \.csv/],
  [["keys", "new-encryption-key", "--id", "a:b"], /letters, digits/],
  // Port 9 (discard) is one that nothing listens on.
  [["accounts"], /no server answers at http:\/\/127\.0\.0\.1:9: start one/],
]

describe.concurrent("Wrong use", () => {
  it.live("exits with 2 and one line that says what is wrong", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const env = { MAILFLEET_URL: "http://127.0.0.1:9", MAILFLEET_API_KEY: secret }
      yield* Effect.forEach(
        wrong,
        ([command, reason]) => Effect.map(cli(command, { cwd, env }), (ended) => assertRefused(ended, reason, command)),
        { concurrency: 4, discard: true },
      )
    }), 120_000)

  it.live("names the setting that is missing or wrong", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const settings: ReadonlyArray<readonly [env: Record<string, string>, reason: RegExp]> = [
        [{ MAILFLEET_URL: "ftp://x" }, /MAILFLEET_URL must be/],
        [{}, /no key for the server at http:\/\/127\.0\.0\.1:8080: set MAILFLEET_API_KEY.*\.mailfleet\/admin\.key/],
        [{ MAILFLEET_API_KEY: `${secret} \n x` }, /MAILFLEET_API_KEY must be/],
      ]
      for (const [env, reason] of settings) assertRefused(yield* cli(["runs"], { cwd, env }), reason, ["runs"])
    }), 60_000)

  it.live("the key of a local server is sent to no other machine", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      yield* Effect.promise(() => Deno.mkdir(`${cwd}/.mailfleet`))
      yield* Effect.promise(() => Deno.writeTextFile(`${cwd}/.mailfleet/admin.key`, secret))
      const env = { MAILFLEET_URL: "http://mailfleet.invalid" }
      assertRefused(yield* cli(["runs"], { cwd, env }), /set MAILFLEET_API_KEY to its MAILFLEET_ADMIN_KEY/, ["runs"])
    }), 60_000)
})

describe.concurrent("Help", () => {
  const commands = ["serve", "simulate", "import", "refresh", "sync", "accounts", "runs", "keys", "migrate"]

  it.live("lists the commands, and says of each what it does, with an example", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const all = yield* cli(["--help"], { cwd })
      assert.strictEqual(all.code, 0)
      for (const name of commands) assert.match(all.stdout, new RegExp(`^ +${name} +\\S`, "m"))
      yield* Effect.forEach(commands, (name) =>
        Effect.map(cli([name, "--help"], { cwd }), ({ code, stdout, stderr }) => {
          assert.strictEqual(code, 0, name)
          assert.strictEqual(stderr, "", name)
          assert.match(stdout, /DESCRIPTION\n {2}\S/, name)
          assert.match(stdout, new RegExp(`EXAMPLES\\n[^]*mailfleet ${name}`), name)
        }), { concurrency: 4, discard: true })
    }), 120_000)
})

describe.concurrent("keys", () => {
  it.live("prints keys in the form that the settings take, each time another", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const encryption = yield* cli(["keys", "new-encryption-key", "--id", "k2"], { cwd })
      const [, id, value = ""] = /^([\w.-]+):(\S+)\n$/.exec(encryption.stdout) ?? []
      assert.strictEqual(id, "k2")
      assert.lengthOf(atob(value), 32)
      const admin = yield* cli(["keys", "new-admin-key"], { cwd })
      assert.match(admin.stdout, /^mf_[0-9a-f]{48}\n$/)
      assert.notStrictEqual((yield* cli(["keys", "new-admin-key"], { cwd })).stdout, admin.stdout)
    }), 60_000)
})
