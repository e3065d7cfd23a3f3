/**
 * Makes the npm package in `dist/npm`, for programs on Node: JavaScript modules, their types, and a manifest. `npm pack dist/npm`
 * then makes the file that is published.
 *
 * What the library needs and what versions of it are read from the code and from deno.json: nothing is to be kept in step by hand.
 */
import { fileURLToPath } from "node:url"

const root = new URL("../", import.meta.url)
const out = new URL("dist/npm/", root)

interface Manifest {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly exports: Readonly<Record<string, string>>
  readonly imports: Readonly<Record<string, string>>
}

/** Shared with the program that uses us: two copies of Effect in one program do not know each other's values. */
const peers = ["@effect/sql-pg", "effect"]

const compile = async () => {
  const { code, stdout } = await new Deno.Command("node", {
    args: ["node_modules/typescript/bin/tsc", "-p", "packaging/tsconfig.json"],
    cwd: fileURLToPath(root),
    stderr: "inherit",
  }).output()
  if (code !== 0) throw new Error(new TextDecoder().decode(stdout))
}

const filesUnder = function* (folder: URL): Generator<URL> {
  for (const { isDirectory, name } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* filesUnder(new URL(`${name}/`, folder))
    else yield new URL(name, folder)
  }
}

/** What the compiler leaves as it was: paths in declarations, modules that workers run, and our manifest. */
const rewrite = (code: string): string =>
  code
    .replace(/((?:\bfrom|\bimport|\bimport\()\s*"\.{1,2}\/[^"]*)\.ts"/g, `$1.js"`)
    .replace(/(new URL\("\.[^"]*)\.ts"(?=, import\.meta\.url)/g, `$1.js"`)
    .replaceAll(`/deno.json"`, `/package.json"`)

/** Names of the packages that a module imports; comments hold examples, which import us. */
const packagesIn = (code: string): ReadonlyArray<string> =>
  Array.from(
    code.replace(/\/\*[\s\S]*?\*\//g, "").matchAll(
      /(?:\bfrom|^import|\bimport\()\s*"((?:@[a-z][\w.-]*\/)?[a-z][\w.-]*)(?=[/"])/gm,
    ),
    ([, name]) => name!,
  )

const build = async () => {
  const manifest: Manifest = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)))
  await Deno.remove(out, { recursive: true }).catch(() => {})
  await compile()
  Deno.removeSync(new URL("deno.json", out))

  const used = new Set<string>()
  for (const file of filesUnder(out)) {
    const code = rewrite(Deno.readTextFileSync(file))
    for (const name of packagesIn(code)) used.add(name)
    Deno.writeTextFileSync(file, code)
  }

  const versionOf = (name: string): string => {
    const version = /@([\d.]+)$/.exec(manifest.imports[name] ?? "")?.[1]
    if (version === undefined) throw new Error(`${name} is imported, and has no version in deno.json`)
    return version
  }
  const needed = [...used].toSorted()
  const versions = (names: ReadonlyArray<string>, range = "") =>
    Object.fromEntries(names.map((name) => [name, range + versionOf(name)]))
  const compiled = (path: string, extension: string) => path.replace(/\.ts$/, extension)

  Deno.writeTextFileSync(
    new URL("package.json", out),
    JSON.stringify(
      {
        name: manifest.name,
        version: manifest.version,
        description: "Keeps a fleet of OAuth mailboxes signed in and in sync, in your own Postgres",
        license: manifest.license,
        type: "module",
        engines: { node: ">=20.19" },
        exports: Object.fromEntries(
          Object.entries(manifest.exports).map(([name, path]) => [name, {
            types: compiled(path, ".d.ts"),
            default: compiled(path, ".js"),
          }]),
        ),
        dependencies: versions(needed.filter((name) => !peers.includes(name))),
        peerDependencies: versions(needed.filter((name) => peers.includes(name)), "^"),
      },
      undefined,
      2,
    ) + "\n",
  )
  for (const name of ["README.md", "CHANGELOG.md", "LICENSE"]) {
    Deno.copyFileSync(new URL(name, root), new URL(name, out))
  }
  return needed
}

const needed = await build()
console.log(`dist/npm is made; it needs ${needed.join(", ")}`)
