/** `connect` against a real server and a simulated provider, with a real Chromium where somebody signs in. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { browser } from "../support/browser.ts"
import { Provider } from "../support/simulator.ts"
import { cli, type Environment, folder, started } from "./cli.ts"

const address = (n: number): string => `sim${String(n).padStart(5, "0")}@sim.example`

class Server extends Context.Service<Server, { readonly environment: Environment }>()("test/commands/ConnectServer") {
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
      return { environment: { cwd, env: { MAILFLEET_URL: url } } }
    }),
  ).pipe(Layer.provideMerge(Provider.layer({ accounts: 6, personal: 0 })))
}

/** An app that is registered as command lines are, there and here. */
const newApp = Effect.gen(function* () {
  const { simulator } = yield* Provider
  const { environment } = yield* Server
  const clientId = newId()
  simulator.registerApp({ clientId, redirectUris: ["http://localhost"] })
  const { code, stderr } = yield* cli(["apps", "add", "microsoft", clientId], environment)
  assert.strictEqual(code, 0, stderr)
  return clientId
})

/** Signs in where a command says, and answers with what the page says in the end. */
const signInAt = Effect.fnUntraced(function* (url: string, who: string, locale = "en-GB") {
  const chromium = yield* browser
  return yield* Effect.promise(async () => {
    const page = await (await chromium.newContext({ locale })).newPage()
    await page.goto(url)
    await page.getByLabel("E-mail address").fill(who)
    await page.getByRole("button", { name: "Next" }).click()
    const accept = page.getByRole("button", { name: "Accept" })
    await accept.or(page.getByRole("heading", { level: 1 })).first().waitFor()
    if (await accept.isVisible()) await accept.click()
    await page.waitForURL(/^http:\/\/localhost:/)
    return await page.getByRole("heading").first().innerText()
  })
})

describe("connect", () => {
  layer(Server.layer, { timeout: 60_000, excludeTestServices: true })((it) => {
    it.effect(
      "takes a mailbox by way of a browser, refuses the wrong person, and revives an account",
      () =>
        Effect.scoped(Effect.gen(function* () {
          const { environment } = yield* Server
          const clientId = yield* newApp
          const command = yield* started(["connect", clientId, "--tag", "new"], environment)
          const [, url = ""] = yield* command.errorLine(/^sign in here: (\S+)$/m)
          // Whatever else on this machine asks there is told nothing, and ends nothing.
          const back = new URL(url).searchParams.get("redirect_uri") ?? ""
          for (const query of ["", "?state=another&code=x", "?state="]) {
            const stray = yield* Effect.promise(() => fetch(`${back.replace("localhost", "127.0.0.1")}/${query}`))
            assert.strictEqual(stray.status, 404)
            yield* Effect.promise(() => stray.text())
          }
          assert.strictEqual(yield* signInAt(url, address(1)), "Your mailbox is connected")
          const connected = yield* command.ended
          assert.strictEqual(connected.code, 0, connected.stderr)
          assert.match(connected.stdout, /^connected: sim00001@sim.example \(([0-9a-f-]{36})\), active\n$/)
          const id = /\(([^)]+)\)/.exec(connected.stdout)?.[1]

          const wrong = yield* started(["connect", address(1)], environment)
          const [, again = ""] = yield* wrong.errorLine(/^sign in here: (\S+)$/m)
          assert.strictEqual(yield* signInAt(again, address(2), "de-DE"), "Es wurde jemand anderes erwartet")
          const refused = yield* wrong.ended
          assert.deepInclude(refused, { code: 1 })
          assert.match(refused.stdout, /^refused: wrong_person: /)

          const revived = yield* started(["connect", address(1), "--json"], environment)
          const [, last = ""] = yield* revived.errorLine(/^sign in here: (\S+)$/m)
          yield* signInAt(last, address(1))
          const { code, stdout } = yield* revived.ended
          assert.strictEqual(code, 0)
          assert.deepInclude(JSON.parse(stdout), { state: "connected", connectedAccountId: id })
        })),
      120_000,
    )

    it.effect("takes a mailbox by a code that is entered elsewhere", () =>
      Effect.scoped(Effect.gen(function* () {
        const { environment } = yield* Server
        const clientId = yield* newApp
        const enter = Effect.fnUntraced(function* (url: string, code: string, decision: "Accept" | "Cancel") {
          const chromium = yield* browser
          yield* Effect.promise(async () => {
            const page = await chromium.newPage()
            await page.goto(url)
            await page.getByRole("textbox").fill(code.toLowerCase())
            await page.getByRole("button", { name: "Next" }).click()
            await page.getByLabel("E-mail address").fill(address(3))
            await page.getByRole("button", { name: "Next" }).click()
            await page.getByRole("button", { name: decision }).click()
            await page.getByRole("heading", { name: decision === "Accept" ? "You are signed in" : "Cancelled" })
              .waitFor()
          })
        })
        const prompt = /^open (\S+) and enter the code (\S+)$/m
        const command = yield* started(["connect", clientId, "--device", "--expect", address(3)], environment)
        const [, url = "", code = ""] = yield* command.errorLine(prompt)
        yield* enter(url, code, "Accept")
        const connected = yield* command.ended
        assert.strictEqual(connected.code, 0, connected.stderr)
        assert.match(connected.stdout, /^connected: sim00003@sim.example /)

        const declined = yield* started(["connect", address(3), "--device"], environment)
        const [, there = "", other = ""] = yield* declined.errorLine(prompt)
        yield* enter(there, other, "Cancel")
        const ended = yield* declined.ended
        assert.deepInclude(ended, { code: 1 })
        assert.match(ended.stdout, /^refused: access_denied: /)
      })), 120_000)

    it.effect("says what is wrong", () =>
      Effect.gen(function* () {
        const { environment } = yield* Server
        const google = `${newId()}.apps.googleusercontent.com`
        yield* cli(["apps", "add", "google", google], environment)
        const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
          [["connect"], /app-or-address/i],
          [["connect", "nobody"], /no app has the id or client id nobody/],
          [["connect", "nobody@sim.example"], /no account has the id or address/],
          [["connect", google, "--device"], /Google lets no device ask for mail/],
          [["connect", google, "--channel", "graph"], /channel: Expected gmail or imap/],
        ]
        for (const [args, reason] of wrong) {
          const { code, stderr } = yield* cli(args, environment)
          assert.strictEqual(code, 2, args.join(" "))
          assert.match(stderr, reason)
        }
      }), 60_000)
  })
})
