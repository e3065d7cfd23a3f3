/** `grants` against a real server and a simulated provider, each command a process of its own. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Provider } from "../support/simulator.ts"
import { cli, type Environment, folder, started } from "./cli.ts"

class Server extends Context.Service<Server, {
  readonly mailfleet: (args: ReadonlyArray<string>, options?: Partial<Environment>) => ReturnType<typeof cli>
}>()("test/commands/GrantsServer") {
  static readonly layer = Layer.effect(
    Server,
    Effect.gen(function* () {
      const cwd = yield* folder
      const { origin } = yield* Provider
      const serve = yield* started(["serve"], {
        cwd,
        env: {
          MAILFLEET_PORT: "0",
          MAILFLEET_SCHEDULES: "off",
          MAILFLEET_MICROSOFT_AUTHORITY: origin,
          MAILFLEET_GRAPH_URL: `${origin}/v1.0`,
        },
      })
      const [, url = ""] = yield* serve.line(/^listening on (\S+)$/m)
      return {
        mailfleet: (args, options = {}) => cli(args, { cwd, ...options, env: { MAILFLEET_URL: url, ...options.env } }),
      }
    }),
  ).pipe(Layer.provideMerge(Provider.layer({ accounts: 12, personal: 0 })))
}

describe("grants", () => {
  layer(Server.layer, { timeout: 60_000, excludeTestServices: true })((it) => {
    const mailfleet = (args: ReadonlyArray<string>, options?: Partial<Environment>) =>
      Effect.flatMap(Server, ({ mailfleet }) => mailfleet(args, options))

    it.effect("of a tenant are added, and its mailboxes with them", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const clientId = newId()
        const tenant = simulator.account("sim00001@sim.example").tenant ?? ""
        simulator.registerApp({ clientId, secret: "a secret", consentedTenants: [tenant] })
        assert.match((yield* mailfleet(["grants"])).stderr, /no grants/)
        yield* mailfleet(["apps", "add", "microsoft", clientId, "--confidential"], { stdin: "a secret\n" })

        const added = yield* mailfleet(["grants", "add", clientId, "--tenant", tenant])
        assert.strictEqual(added.code, 0, added.stderr)
        assert.match(added.stdout, /^KIND .*\nclient_credentials +\S+ +\S+ +0 +never +- +- +\S+/)
        const id = /(\S+)\s*$/.exec(added.stdout)?.[1] ?? ""
        const found = yield* mailfleet(["grants", "mailboxes", id, "--limit", "3"])
        assert.match(found.stdout, /^ADDRESS +NAME +ACCOUNT\nsim00001@sim.example .*-\n/)
        assert.match(found.stderr, /the first 3/)
        const some = yield* mailfleet(["grants", "accounts", id, "sim00001@sim.example", "no address"])
        assert.strictEqual(some.code, 1)
        assert.match(some.stdout, /2 accounts: 1 added, 0 there already, 1 failed\n +no address: Expected the address/)
        const all = yield* mailfleet(["grants", "accounts", id, "--all", "--tag", "tenant"])
        assert.deepInclude(all, { code: 0, stdout: "12 accounts: 11 added, 1 there already, 0 failed\n" })
        assert.match((yield* mailfleet(["grants", "list", "--app", clientId])).stdout, /client_credentials .* 12 /)
        const kept = yield* mailfleet(["grants", "remove", id])
        assert.strictEqual(kept.code, 2)
        assert.match(kept.stderr, /12 accounts: delete them first/)
      }), 60_000)

    it.effect("are refused with a reason", () =>
      Effect.gen(function* () {
        const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
          [["grants", "add", "nobody", "--tenant", "contoso.example"], /no app has the id or client id nobody/],
          [["grants", "add", "nobody"], /name either a --tenant/],
          [["grants", "add", "nobody", "--tenant", "a.example", "--mailbox", "b@a.example"], /name either a --tenant/],
          [["grants", "accounts", "nothing"], /name mailboxes, or take --all/],
          [["grants", "accounts", "nothing", "--all"], /no grant with this id/],
          [["grants", "mailboxes", newId()], /no grant with this id/],
          [["grants", "remove", "nothing"], /no grant with this id/],
          [["grants", "--kind", "other"], /kind/],
        ]
        for (const [args, reason] of wrong) {
          const { code, stderr } = yield* mailfleet(args)
          assert.strictEqual(code, 2, args.join(" "))
          assert.match(stderr, reason)
        }
      }), 60_000)
  })
})
