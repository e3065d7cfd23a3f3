/** `apps` and `policies` against a real server, each command a process of its own. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { App } from "../../src/domain/App.ts"
import { privateKey } from "../simulator/certificate.ts"
import { certified } from "../support/certificates.ts"
import { cli, type Environment, folder, started } from "./cli.ts"

class Server extends Context.Service<Server, {
  readonly cwd: string
  readonly mailfleet: (args: ReadonlyArray<string>, options?: Partial<Environment>) => ReturnType<typeof cli>
}>()("test/commands/Server") {
  static readonly layer = Layer.effect(
    Server,
    Effect.gen(function* () {
      const cwd = yield* folder
      const serve = yield* started(["serve"], { cwd, env: { MAILFLEET_PORT: "0", MAILFLEET_SCHEDULES: "off" } })
      const [, url = ""] = yield* serve.line(/^listening on (\S+)$/m)
      return {
        cwd,
        mailfleet: (args, options = {}) => cli(args, { cwd, ...options, env: { MAILFLEET_URL: url, ...options.env } }),
      }
    }),
  )
}

const decodeApp = Schema.decodeUnknownSync(Schema.fromJsonString(App))

describe("apps and policies", () => {
  layer(Server.layer, { timeout: 60_000, excludeTestServices: true })((it) => {
    const mailfleet = (args: ReadonlyArray<string>, options?: Partial<Environment>) =>
      Effect.flatMap(Server, ({ mailfleet }) => mailfleet(args, options))

    it.effect("take a secret from standard input or the environment, and never show it", () =>
      Effect.gen(function* () {
        const clientId = "123-abc.apps.googleusercontent.com"
        assert.match((yield* mailfleet(["apps"])).stderr, /no apps/)
        const added = yield* mailfleet(["apps", "add", "google", clientId, "--confidential", "--json"], {
          stdin: "CANARY-one\n",
        })
        assert.strictEqual(added.code, 0, added.stderr)
        const app = decodeApp(added.stdout)
        assert.deepInclude(app, { provider: "google", clientId, tenant: "", hasSecret: true })
        const again = yield* mailfleet(["apps", "add", "google", clientId])
        assert.include(again.stderr, `mailfleet apps set-secret ${app.id}`)
        assert.strictEqual(again.code, 2)

        const removed = yield* mailfleet(["apps", "set-secret", clientId.toUpperCase(), "--remove"])
        assert.match(removed.stdout, /google +123-abc\S+ +- +no +/)
        const set = yield* mailfleet(["apps", "set-secret", app.id], { env: { MAILFLEET_APP_SECRET: "CANARY-two" } })
        assert.match(set.stdout, /google +123-abc\S+ +- +yes +/)
        const listed = yield* mailfleet(["apps", "list"])
        assert.match(listed.stdout, /^PROVIDER +CLIENT ID +TENANT +SECRET +EXPIRES +ID +CREATED\ngoogle .* yes +- /)
        assert.strictEqual(listed.code, 0)
        for (const { stdout, stderr } of [added, again, removed, set, listed]) {
          assert.notInclude(stdout + stderr, "CANARY")
        }
      }), 60_000)

    it.effect("take what else an app has from flags and files, and change it by itself", () =>
      Effect.gen(function* () {
        const clientId = "33333333-4444-5555-6666-777777777777"
        const { cwd } = yield* Server
        const file = (name: string, text: string) =>
          Effect.map(Effect.promise(() => Deno.writeTextFile(`${cwd}/${name}`, text)), () => name)
        const pem = yield* file("app.pem", certified)
        const key = yield* file(
          "key.json",
          JSON.stringify({ type: "service_account", client_email: "a@b.example", private_key: privateKey }),
        )
        const ended = yield* mailfleet(
          [
            ...["apps", "add", "microsoft", clientId, "--confidential", "--secret-expires", "2026-01-31", "--json"],
            ...["--authority", "https://login.microsoftonline.us", "--redirect-uri", "https://mail.example/callback"],
            ...["--scopes", "graph=Mail.Read User.Read", "--registration", "spa"],
            ...["--scopes", "imap=https://outlook.office.com/IMAP.AccessAsUser.All"],
          ],
          { stdin: "CANARY" },
        )
        assert.strictEqual(ended.code, 0, ended.stderr)
        const app = decodeApp(ended.stdout)
        assert.deepInclude(app, {
          authority: "https://login.microsoftonline.us",
          redirectUri: "https://mail.example/callback",
          scopes: { graph: "Mail.Read User.Read", imap: "https://outlook.office.com/IMAP.AccessAsUser.All" },
          registration: "spa",
          hasSecret: true,
        })
        assert.match((yield* mailfleet(["apps"])).stdout, /microsoft +33333333\S+ +common +yes +\d+ d ago /)
        const certifiedNow = yield* mailfleet([
          "apps",
          "update",
          clientId,
          "--certificate",
          pem,
          "--remove",
          "secret",
          "--remove",
          "scopes",
        ])
        assert.strictEqual(certifiedNow.code, 0, certifiedNow.stderr)
        assert.match(certifiedNow.stdout, /microsoft +33333333\S+ +common +certificate +in \d+ d /)
        const secretNow = yield* mailfleet(
          ["apps", "update", app.id, "--secret", "--remove", "certificate", "--secret-expires", "2126-01-31", "--json"],
          { env: { MAILFLEET_APP_SECRET: "CANARY" } },
        )
        assert.deepInclude(decodeApp(secretNow.stdout), { hasSecret: true, scopes: {}, registration: "spa" })
        assert.notProperty(decodeApp(secretNow.stdout), "certificate")
        const google = yield* mailfleet([
          "apps",
          "add",
          "google",
          "9.apps.googleusercontent.com",
          "--service-account-key",
          key,
        ])
        assert.match(google.stdout, /google +9\S+ +- +key +- /)
        for (const { stderr, stdout } of [ended, certifiedNow, secretNow, google]) {
          assert.notMatch(stdout + stderr, /CANARY|PRIVATE/)
        }
      }), 60_000)

    it.effect("say what is missing or wrong, in one line", () =>
      Effect.gen(function* () {
        const client = "22222222-3333-4444-5555-666666666666"
        const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string | undefined, RegExp]> = [
          [
            ["apps", "add", "google", "x.apps.googleusercontent.com", "--confidential"],
            undefined,
            /MAILFLEET_APP_SECRET/,
          ],
          [["apps", "add", "google", "x.apps.googleusercontent.com", "--confidential"], " \n", /on standard input/],
          [
            ["apps", "add", "google", "x.apps.googleusercontent.com", "--confidential"],
            "CANARY".repeat(200),
            /secret: Expected a secret of 1 to 1000/,
          ],
          [["apps", "add", "microsoft", "x"], undefined, /clientId: Expected a UUID/],
          [["apps", "add", "microsoft", client, "--tenant", "a/b"], undefined, /tenant: Expected a UUID, a domain/],
          [["apps", "set-secret", client], "CANARY", /no app has the id or client id 2222/],
          [["apps", "update", client], undefined, /say what to change/],
          [["apps", "update", client, "--registration", "spa"], undefined, /no app has the id or client id 2222/],
          [
            ["apps", "add", "microsoft", client, "--certificate", "none.pem"],
            undefined,
            /the file none\.pem cannot be read/,
          ],
          [
            ["apps", "add", "microsoft", client, "--authority", "x"],
            undefined,
            /authority: Expected an http or https URL/,
          ],
          [
            ["apps", "add", "microsoft", client, "--scopes", "pop=x"],
            undefined,
            /"pop=x".*channel=scopes, where the channel is graph, imap or gmail/,
          ],
          [["policies", "set", "vip", "hot"], undefined, /keep-alive/],
          [["policies", "set", "a,b", "warm"], undefined, /1 to 64 characters/],
          [["policies", "unset", "nobody"], undefined, /the tag nobody has no policy/],
        ]
        yield* Effect.forEach(cases, ([args, stdin, reason]) =>
          Effect.map(mailfleet(args, stdin === undefined ? {} : { stdin }), ({ code, stderr, stdout }) => {
            assert.match(stderr, reason)
            assert.strictEqual(stderr.trimEnd().split("\n").length, 1, stderr)
            assert.notInclude(stdout + stderr, "CANARY")
            assert.strictEqual(code, 2)
          }), { concurrency: 2 })
      }), 90_000)

    it.effect("set, list and unset the policy of a tag", () =>
      Effect.gen(function* () {
        assert.match((yield* mailfleet(["policies"])).stderr, /no tag has a policy/)
        assert.match((yield* mailfleet(["policies", "set", "vip", "warm"])).stdout, /^accounts tagged vip: warm$/m)
        assert.match((yield* mailfleet(["policies", "list"])).stdout, /^TAG +POLICY\nvip +warm$/m)
        const unset = yield* mailfleet(["policies", "unset", "vip"])
        assert.strictEqual(unset.code, 0, unset.stderr)
      }), 60_000)
  })
})
