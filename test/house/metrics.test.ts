/** docs/metrics.md, the alert rules and the dashboard name the metrics that there are, and no other. */
import { assert, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url)

const sources = (folder: string): ReadonlyArray<string> =>
  [...Deno.readDirSync(new URL(folder, root))].flatMap(({ isDirectory, name }) =>
    isDirectory ? sources(`${folder}${name}/`) : [Deno.readTextFileSync(new URL(`${folder}${name}`, root))]
  )

const read = (path: string): string => Deno.readTextFileSync(new URL(path, root))

const defined = sources("src/").flatMap((source) =>
  Array.from(source.matchAll(/Metric\.(\w+)\(\s*"(\w+)"/g), ([, kind, name = ""]) => ({ kind, name }))
)
const names = defined.map(({ name }) => name)

/** As Prometheus stores them: a histogram has three. */
const series = new Set(
  defined.flatMap(({ kind, name }) =>
    kind === "histogram" ? ["_bucket", "_count", "_sum"].map((suffix) => name + suffix) : [name]
  ),
)

it("docs/metrics.md names every metric", () => {
  const rows = Array.from(read("docs/metrics.md").matchAll(/^\| `(\w+)`/gm), ([, name]) => name!)
  assert.isNotEmpty(names)
  assert.sameMembers(rows, names)
})

it("metrics have sane names: counters end in _total, and what is measured in time in its unit", () => {
  for (const { kind, name } of defined) {
    assert.match(name, /^mailfleet_[a-z_]+$/)
    assert.strictEqual(kind === "counter", name.endsWith("_total"), name)
    assert.notMatch(name, /_(?:ms|millis|minutes|hours|days)$/)
  }
})

for (const path of ["ops/prometheus/alerts.yml", "ops/grafana/mailfleet.json"]) {
  it(`${path} asks for metrics that there are`, () => {
    const asked = new Set(read(path).match(/\bmailfleet_(?!admin_key)\w+/g))
    assert.isAbove(asked.size, 8)
    assert.deepStrictEqual([...asked].filter((name) => !series.has(name)), [])
  })
}

it("alert rules tell of what an operator must not miss", () => {
  const rules = read("ops/prometheus/alerts.yml")
  for (const name of ["refresh_lag_seconds", "sync_lag_seconds", 'status="needs_reauth"', "app_secrets_ending"]) {
    assert.include(rules, name)
  }
  const alerts = rules.match(/- alert: /g)?.length
  assert.strictEqual(rules.match(/summary: \S/g)?.length, alerts)
  assert.strictEqual(rules.match(/severity: (?:critical|warning) /g)?.length, alerts)
})
