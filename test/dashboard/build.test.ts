/** The committed script and style are what their sources give. */
import { assert, it } from "@effect/vitest"
import { script, style } from "../../src/dashboard/Assets.ts"
import { build } from "../../src/dashboard/build.ts"

it("Assets.ts is what `deno task dashboard` makes", async () => {
  const committed = Deno.readTextFileSync(new URL("../../src/dashboard/Assets.ts", import.meta.url))
  // Not by equality: the difference of two bundles is nothing to be read.
  assert.isTrue(committed === await build(), "run `deno task dashboard`, and commit what it makes")
}, 60_000)

it("nothing is loaded from elsewhere", () => {
  const addresses = [...`${script}${style}`.matchAll(/https?:\/\/[\w.-]+/g)].map(([address]) => address)
  // Namespaces, which are names and not addresses.
  assert.deepStrictEqual([...new Set(addresses)].filter((address) => address !== "http://www.w3.org"), [])
  assert.notMatch(script, /\beval\(|new Function\(/)
})
