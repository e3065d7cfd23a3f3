/** What is exported is documented, and leads to nothing that is not exported. `deno doc --lint` finds the gaps. */
import { assert, it } from "@effect/vitest"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const entries: { readonly exports: Record<string, string> } = JSON.parse(Deno.readTextFileSync(`${root}deno.json`))

interface Finding {
  readonly kind: string
  readonly message: string
  readonly file: string
  readonly line: number
}

const { stderr, stdout } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", ...Object.values(entries.exports)],
  cwd: root,
  env: { NO_COLOR: "1" },
}).output()
const report = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr)

const findings = Array.from(
  report.matchAll(/^error\[([\w-]+)\]: (.*)\n\s*--> (\S+?):(\d+):\d+$/gm),
  ([, kind = "", message = "", file = "", line]): Finding => ({ kind, message, file, line: Number(line) }),
)

const sources = (folder: string): ReadonlyArray<string> =>
  [...Deno.readDirSync(folder)].flatMap(({ isDirectory, name }) =>
    isDirectory ? sources(`${folder}/${name}`) : [Deno.readTextFileSync(`${folder}/${name}`)]
  )

/** All names that are ours; others are of Effect and its like. */
const ours = new Set(
  sources(`${root}src`).flatMap((source) =>
    Array.from(source.matchAll(/^(?:export )?(?:class|interface|type|const) (\w+)/gm), ([, name]) => name)
  ),
)

/**
 * Put together from parts that show in the page of the whole: the groups of the API, each described in the OpenAPI document, and
 * the services of the library, of which only the picked methods are public.
 */
const composed = ["Api", "Mailfleet", "MailfleetClient"]

/** A schema and its type have one name, and one text: that of the schema. */
const isTypeOfSchema = ({ file, line }: Finding): boolean =>
  /^export type (\w+) = typeof \1\.Type$/.test(Deno.readTextFileSync(file).split("\n")[line - 1] ?? "")

it("is linted at all", () => {
  assert.isAbove(findings.length, 20, report)
  // Types of schemas are inferred: written out, each would stand there twice.
  assert.sameMembers([...new Set(findings.map(({ kind }) => kind))].filter((kind) => kind !== "missing-jsdoc"), [
    "missing-explicit-type",
    "private-type-ref",
  ])
})

it("documents everything that is public", () => {
  const gaps = findings.filter((finding) => finding.kind === "missing-jsdoc" && !isTypeOfSchema(finding))
  assert.deepStrictEqual(gaps.map(({ file, line }) => `${file.slice(root.length)}:${line}`), [])
})

it("has the types of schemas inferred, and all others written out", () => {
  const gaps = findings.filter(({ file, kind, line }) =>
    kind === "missing-explicit-type" &&
    !/^export const [A-Z]\w* =/.test(Deno.readTextFileSync(file).split("\n")[line - 1] ?? "")
  )
  assert.deepStrictEqual(gaps.map(({ file, line }) => `${file.slice(root.length)}:${line}`), [])
})

it("leads to no type of ours that is not exported", () => {
  const leaks = findings.flatMap(({ kind, message }) => {
    const [, from = "", to = ""] = /'([^']+)' references private type '([^']+)'/.exec(message) ?? []
    return kind === "private-type-ref" && ours.has(to) && !composed.includes(from) ? [`${from} → ${to}`] : []
  })
  assert.deepStrictEqual(leaks, [])
})
