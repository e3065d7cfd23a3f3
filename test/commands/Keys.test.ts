/** API keys from the command line, at a real server process. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { cli, started } from "./cli.ts"

it.live("a key is made, used, listed and revoked", () =>
  Effect.gen(function* () {
    const cwd = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempDir()),
      (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
    )
    const server = yield* started(["serve"], { cwd, env: { MAILFLEET_PORT: "0", MAILFLEET_SCHEDULES: "off" } })
    const [, url] = yield* server.line(/^listening on (http:\S+)$/m)
    const run = (args: ReadonlyArray<string>, key?: string) =>
      cli(args, { cwd, env: { MAILFLEET_URL: url!, ...(key === undefined ? {} : { MAILFLEET_API_KEY: key }) } })

    const made = yield* run(["keys", "create", "reporting", "--scope", "accounts:read", "--scope", "messages:read"])
    assert.strictEqual(made.code, 0, made.stderr)
    const key = made.stdout.trim()
    assert.match(key, /^mf_[0-9a-f]{48}$/)

    assert.strictEqual((yield* run(["accounts"], key)).code, 0)
    const beyond = yield* run(["keys", "list"], key)
    assert.strictEqual(beyond.code, 2)
    assert.include(beyond.stderr, "the key has not the scope that this call needs: admin")
    assert.notInclude(beyond.stderr, key)

    const listed = yield* run(["keys", "list"])
    assert.match(listed.stdout, /reporting +mf_[0-9a-f]{5}… +accounts:read messages:read/)
    const id = listed.stdout.trim().split(/\s+/).at(-1)!
    assert.strictEqual((yield* run(["keys", "revoke", id])).code, 0)
    assert.strictEqual((yield* run(["accounts"], key)).code, 2)
    const again = yield* run(["keys", "revoke", id])
    assert.strictEqual(again.code, 2)
    assert.include(again.stderr, "there is no API key with this id")
  }).pipe(Effect.scoped), 180_000)
