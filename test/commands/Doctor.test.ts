/** `doctor` on a machine where all is well, and where each thing in turn is not. */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { Finding } from "../../src/commands/Finding.ts"
import { usableEngines } from "../support/databases.ts"
import { postgresUrl } from "../support/engines.ts"
import { cli, folder } from "./cli.ts"

/** Stands for every provider: answers anything, an hour late where it is asked to. */
class Provider extends Context.Service<Provider, { readonly port: number }>()("test/Provider") {
  static readonly layer = Layer.effect(
    Provider,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() =>
          Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, ({ url }) =>
            new Response("no", {
              status: 401,
              headers: url.includes("/late/") ? { date: new Date(Date.now() - 3_600_000).toUTCString() } : {},
            }))
        ),
        (server) => Effect.promise(() => server.shutdown()),
      ),
      (server) => ({ port: server.addr.port }),
    ),
  )
}

const environment = ({ port }: { readonly port: number }) => ({
  MAILFLEET_MICROSOFT_AUTHORITY: `http://127.0.0.1:${port}`,
  MAILFLEET_GRAPH_URL: `http://127.0.0.1:${port}/v1.0`,
  MAILFLEET_OUTLOOK_IMAP: `imap://127.0.0.1:${port}`,
  MAILFLEET_GOOGLE_TOKEN_URL: `http://127.0.0.1:${port}/token`,
  MAILFLEET_GMAIL_URL: `http://127.0.0.1:${port}/gmail/v1`,
  MAILFLEET_GMAIL_IMAP: `imap://127.0.0.1:${port}`,
})

const examine = Effect.fnUntraced(function* (env: Record<string, string>, cwd: string) {
  const { code, stderr, stdout } = yield* cli(["doctor", "--json"], { cwd, env })
  assert.strictEqual(stderr, "")
  const findings = Schema.decodeUnknownSync(Schema.Array(Finding))(JSON.parse(stdout))
  assert.strictEqual(code, findings.some(({ state }) => state === "fail") ? 1 : 0)
  return new Map(findings.map((finding) => [finding.check, finding]))
})

const key = `k1:${btoa("k".repeat(32))}`
const engines = await usableEngines

layer(Provider.layer)("doctor", (it) => {
  it.effect("finds nothing before the first start, and makes nothing", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const found = yield* examine(environment(yield* Provider), cwd)
      assert.isTrue([...found.values()].every(({ state }) => state === "ok"), JSON.stringify([...found.values()]))
      assert.strictEqual(found.get("admin key")?.message, "made at the first start, in .mailfleet/admin.key")
      const { stdout } = yield* cli(["doctor"], { cwd, env: environment(yield* Provider) })
      assert.match(stdout, /\n\nNothing stands in the way of a server: deno task start\.\n$/)
      assert.deepStrictEqual([...Deno.readDirSync(cwd)], [])
    }).pipe(Effect.scoped), 60_000)

  it.effect("names what does not work, and what to do", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      yield* Effect.promise(() => Deno.mkdir(`${cwd}/.mailfleet`, { mode: 0o755 }))
      const { port } = yield* Provider
      const found = yield* examine({
        ...environment({ port }),
        MAILFLEET_GRAPH_URL: `http://127.0.0.1:${port}/late/`,
        MAILFLEET_OUTLOOK_IMAP: "imap://127.0.0.1:1",
        MAILFLEET_ENCRYPTION_KEYS: "k1:short",
      }, cwd)
      assert.include(found.get("Outlook IMAP")?.todo, "correct MAILFLEET_OUTLOOK_IMAP")
      for (const check of ["data folder", "encryption keys", "Outlook IMAP", "Microsoft Graph clock"]) {
        assert.strictEqual(found.get(check)?.state, "fail", check)
      }
      assert.strictEqual(found.get("data folder")?.todo, "chmod -R go-rwx .mailfleet")
      assert.include(found.get("Microsoft Graph clock")?.message, "1 h off")
      assert.notInclude(JSON.stringify([...found.values()]), "short")
    }).pipe(Effect.scoped), 60_000)

  it.effect("a wrong setting is all that is told", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const { code, stdout } = yield* cli(["doctor"], { cwd, env: { MAILFLEET_PORT: "x" } })
      assert.strictEqual(code, 1)
      assert.match(stdout, /^fail +settings +MAILFLEET_PORT must be/)
      assert.include(stdout, "to do:")
    }).pipe(Effect.scoped), 60_000)

  it.effect.skipIf(!engines.includes("postgres"))(
    "a Postgres before its first start, and one that is not there",
    () =>
      Effect.gen(function* () {
        const cwd = yield* folder
        const env = {
          ...environment(yield* Provider),
          MAILFLEET_DATABASE_SCHEMA: "doctor_finds_none",
          MAILFLEET_ENCRYPTION_KEYS: key,
          MAILFLEET_ADMIN_KEY: "mf_1",
        }
        const found = yield* examine({ ...env, DATABASE_URL: postgresUrl }, cwd)
        assert.strictEqual(found.get("database")?.state, "ok")
        assert.strictEqual(found.get("database clock")?.state, "ok")
        assert.deepInclude(found.get("migrations"), {
          state: "ok",
          message: "no tables yet; the first start makes them",
        })
        const bare = yield* examine({ ...environment(yield* Provider), DATABASE_URL: postgresUrl }, cwd)
        assert.include(bare.get("admin key")?.todo, "new-admin-key")
        assert.include(bare.get("encryption keys")?.message, "openssl rand -base64 32")
        assert.isDefined(bare.get("encryption keys")?.todo)
        const gone = yield* examine({ ...env, DATABASE_URL: "postgres://who:secret@127.0.0.1:1/none" }, cwd)
        assert.strictEqual(gone.get("database")?.state, "fail")
        assert.notInclude(JSON.stringify([...gone.values()]), "secret@")
      }).pipe(Effect.scoped),
    60_000,
  )
})
