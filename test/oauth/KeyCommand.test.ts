/** The program that wraps keys, where it does not do what it should. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { runKeyCommand } from "../../src/oauth/KeyCommand.ts"

describe("The key command", () => {
  it.effect("is ended where it does not answer in time", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => Deno.makeTempDir()),
        (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
      )
      const program = `${folder}/slow`
      yield* Effect.promise(() => Deno.writeTextFile(program, "#!/bin/sh\nexec sleep 60\n", { mode: 0o700 }))
      const asked = yield* Effect.forkChild(Effect.flip(runKeyCommand(program, "wrap", new Uint8Array(32))))
      yield* TestClock.adjust("10 seconds")
      const { message } = yield* Fiber.join(asked)
      assert.strictEqual(
        message,
        "MAILFLEET_KEY_COMMAND did not wrap a key within 10 seconds; run it by hand to see why",
      )
    }))
})
