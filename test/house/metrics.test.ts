/** docs/metrics.md names the metrics that there are, and no other. */
import { assert, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url)

const sources = (folder: string): ReadonlyArray<string> =>
  [...Deno.readDirSync(new URL(folder, root))].flatMap(({ isDirectory, name }) =>
    isDirectory ? sources(`${folder}${name}/`) : [Deno.readTextFileSync(new URL(`${folder}${name}`, root))]
  )

it("docs/metrics.md names every metric", () => {
  const defined = sources("src/").flatMap((source) =>
    Array.from(source.matchAll(/Metric\.\w+\(\s*"(\w+)"/g), ([, name]) => name!)
  )
  const document = Deno.readTextFileSync(new URL("docs/metrics.md", root))
  const rows = Array.from(document.matchAll(/^\| `(\w+)`/gm), ([, name]) => name!)
  assert.isNotEmpty(defined)
  assert.sameMembers(rows, defined)
})
