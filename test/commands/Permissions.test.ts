/** The service under the narrowest flags, and what somebody in its process could do with them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import pg from "pg"
import { engines, postgresUrl } from "../support/engines.ts"
import { cli, folder, started } from "./cli.ts"

const keys = { MAILFLEET_ENCRYPTION_KEYS: `k1:${btoa("k".repeat(32))}`, MAILFLEET_ADMIN_KEY: "an-admin-key" }
const probe = new URL("./breakout/probe.ts", import.meta.url).pathname

const flagsOf = Effect.fnUntraced(
  function* (cwd: string, env: Record<string, string>, args: ReadonlyArray<string> = []) {
    const { code, stderr, stdout } = yield* cli(["permissions", ...args], { cwd, env })
    assert.deepStrictEqual([code, stderr], [0, ""])
    return stdout.trim().split(" ")
  },
)

const dropSchema = (schema: string) =>
  Effect.promise(async () => {
    const client = new pg.Client(postgresUrl)
    await client.connect()
    await client.query(`drop schema if exists ${schema} cascade`)
    await client.end()
  })

describe("Permissions", () => {
  it.live("are the configured hosts, the folders and variables of the settings; no program, no library", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const env = {
        DATABASE_URL: "postgres://mail:secret@db.internal.example/mail",
        MAILFLEET_HOST: "0.0.0.0",
        MAILFLEET_OUTLOOK_IMAP: "imap://mail.example",
        ...keys,
      }
      const flags = yield* flagsOf(cwd, env, ["--host", "login.microsoftonline.us:443"])
      const net = flags.find((flag) => flag.startsWith("--allow-net="))!.slice(12).split(",")
      assert.includeMembers(net, [
        "0.0.0.0:8080",
        "db.internal.example:5432",
        "mail.example:143",
        "imap.gmail.com:993",
        "login.microsoftonline.com:443",
        "login.microsoftonline.us:443",
      ])
      const text = flags.join(" ")
      assert.match(text, /--allow-env=DATABASE_URL,MAILFLEET_ADMIN_KEY,[A-Z_,]+ --ignore-env/)
      for (const none of ["secret", "--allow-write", "--allow-run", "--allow-ffi", "--allow-all", "-A"]) {
        assert.notInclude(text, none)
      }
    }))

  for (const engine of engines) {
    it.live(`are enough to serve (${engine}), and for nothing else`, () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        const schema = `test_${crypto.randomUUID().replaceAll("-", "")}`
        if (engine === "postgres") yield* Effect.addFinalizer(() => dropSchema(schema))
        const env = {
          ...keys,
          CANARY: "a secret of somebody else",
          MAILFLEET_PORT: "0",
          MAILFLEET_DATA_DIR: `${cwd}/data`,
          ...(engine === "postgres" ? { DATABASE_URL: postgresUrl, MAILFLEET_DATABASE_SCHEMA: schema } : {}),
        }
        const flags = yield* flagsOf(cwd, env)
        const { stdout } = yield* cli([], { cwd, env, permissions: flags, program: probe })
        assert.strictEqual(stdout, "done\n")

        const server = yield* started(["serve"], { cwd, env, permissions: flags })
        const url = (yield* server.line(/listening on (\S+)/))[1]!
        const call = (path: string, init: RequestInit = {}) =>
          Effect.promise(() =>
            fetch(`${url}${path}`, {
              ...init,
              headers: { authorization: `Bearer ${keys.MAILFLEET_ADMIN_KEY}`, ...init.headers },
            })
              .then(async (response) => ({ status: response.status, text: await response.text() }))
          )
        assert.strictEqual((yield* call("/health/ready")).status, 200)
        assert.strictEqual((yield* call("/")).status, 200)
        const csv = "email,client_id,refresh_token\nada@example.com,11111111-2222-3333-4444-555555555555,x"
        const imported = yield* call("/v1/imports?verify=false", {
          method: "POST",
          body: csv,
          headers: { "content-type": "text/csv" },
        })
        assert.strictEqual(imported.status, 202, imported.text)
        yield* server.signal("SIGTERM")
        assert.deepInclude({ ...(yield* server.ended) }, { code: 0 })
      }), 60_000)
  }

  it.live("with webhooks: any host but private ones, of which those stay open that our own hosts are in", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const env = { ...keys, DATABASE_URL: "postgres://mail@10.1.2.3/mail", MAILFLEET_HOST: "127.0.0.1" }
      const flags = yield* flagsOf(cwd, env, ["--webhooks"])
      assert.include(flags, "--allow-net")
      assert.include(flags, "--deny-net=0.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16")
      const source =
        `try { await Deno.connect({ hostname: "169.254.169.254", port: 80 }) } catch (error) { console.log(error.name) }`
      const file = `${cwd}/metadata.ts`
      Deno.writeTextFileSync(file, source)
      assert.strictEqual((yield* cli([], { cwd, env, permissions: flags, program: file })).stdout, "NotCapable\n")
    }))
})
