/** A fiber that never ends must not hold on to what it has passed. */
import { assert, describe, it } from "@effect/vitest"

const script = new URL("../support/passing.ts", import.meta.url).pathname

describe("the fibers of a process", () => {
  it("hold on to nothing that they have passed", async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--v8-flags=--expose-gc", script, "100000"],
    }).output()
    assert.strictEqual(code, 0, new TextDecoder().decode(stderr))
    // It was 33 MB.
    assert.isBelow(Number(new TextDecoder().decode(stdout)), 3)
  }, 60_000)
})
