/** Webhooks from the command line, at a real server process. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { startReceiver } from "../support/webhooks.ts"
import { cli, started } from "./cli.ts"

it.live("a webhook is made, tested, shown, changed, rotated, replayed and deleted", () =>
  Effect.gen(function* () {
    const cwd = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempDir()),
      (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
    )
    const receiver = yield* startReceiver
    const server = yield* started(["serve"], {
      cwd,
      env: { MAILFLEET_PORT: "0", MAILFLEET_SCHEDULES: "off", MAILFLEET_WEBHOOK_ALLOW_PRIVATE: "on" },
    })
    const [, url] = yield* server.line(/^listening on (http:\S+)$/m)
    const run = (...args: ReadonlyArray<string>) => cli(["webhooks", ...args], { cwd, env: { MAILFLEET_URL: url! } })
    const works = (...args: ReadonlyArray<string>) =>
      Effect.map(run(...args), (ran) => {
        assert.strictEqual(ran.code, 0, ran.stderr)
        return ran
      })

    assert.include((yield* works()).stderr, "no webhooks")
    const made = yield* works("create", receiver.url, "--event", "message.created", "--tag", "vip")
    receiver.secrets.push(made.stdout.trim())
    assert.match(made.stdout, /^whsec_\S{44}\n$/)
    const id = /webhook (\S+);/.exec(made.stderr)![1]!

    assert.match((yield* works("test", id)).stdout, /^delivered: it answered 200 in \d+ ms\n$/)
    assert.deepInclude({ ...receiver.received[0] }, { type: "webhook.test", signedWith: receiver.secrets })
    receiver.answer = () => 500
    const failed = yield* run("test", id)
    assert.notStrictEqual(failed.code, 0)
    assert.include(failed.stderr, "not delivered: it answered 500")

    const shown = yield* works("show", id)
    assert.match(shown.stdout, /^events +message\.created$/m)
    assert.match(shown.stdout, /^state +active$/m)
    assert.notInclude(shown.stdout, receiver.secrets[0]!)
    assert.match((yield* works("update", id, "--no-enable", "--origin", "backfill")).stdout, /^state +disabled$/m)
    assert.match((yield* works("list")).stdout, new RegExp(`disabled +0 +\\S+ +${id}`))
    const rotated = yield* works("rotate", id)
    assert.notStrictEqual(rotated.stdout, made.stdout)
    assert.match(rotated.stdout, /^whsec_\S{44}\n$/)
    assert.include((yield* works("deliveries", id)).stderr, "no deliveries")
    const position = /^position +(\S+)$/m.exec(shown.stdout)![1]!
    yield* works("replay", id, "--after", position)

    assert.include((yield* run("replay", id, "--after", "x")).stderr, "after: a position of the change log is expected")
    assert.include((yield* run("create", "ftp://example.com")).stderr, "url: an http or https URL")
    assert.include((yield* run("update", id)).stderr, "nothing to change")
    assert.include((yield* run("show", "none")).stderr, "there is no webhook with this id")
    yield* works("delete", id)
    assert.strictEqual((yield* run("delete", id)).code, 2)
  }).pipe(Effect.scoped), 180_000)
