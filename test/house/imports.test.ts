/** Keeps the direction of imports that the design page draws, by reading the import statements of every file. */
import { assert, describe, it } from "@effect/vitest"

const root = new URL("../../", import.meta.url)

/** What each part of the house may import of ours, itself aside. */
const allowed: Readonly<Record<string, ReadonlyArray<string>>> = {
  domain: [],
  promises: [],
  pacing: ["domain"],
  api: ["domain"],
  client: ["api", "domain", "promises"],
  oauth: ["domain", "pacing"],
  mail: ["domain", "pacing", "oauth"],
  // Of oauth and mail only what `portsForStorage` names.
  storage: ["domain", "pacing", "migrations", "oauth", "mail"],
  migrations: [],
  programs: ["domain", "pacing", "oauth", "mail", "storage"],
  schedules: ["domain", "promises", "pacing", "oauth", "mail", "storage", "programs"],
  server: ["api", "dashboard", "domain", "pacing", "oauth", "mail", "storage", "programs", "schedules"],
  simulator: [],
  // Types only: the bundle holds no schema.
  dashboard: ["api", "domain"],
  commands: [
    "api",
    "client",
    "domain",
    "pacing",
    "oauth",
    "mail",
    "storage",
    "programs",
    "schedules",
    "server",
    "simulator",
  ],
  main: ["commands", "api"],
  mod: ["api", "client", "domain", "promises", "pacing", "oauth", "mail", "storage", "programs", "schedules", "server"],
}

/** The ports that `storage/` implements, and the encryption that what it stores goes through. */
const portsForStorage = [
  "src/oauth/ConfiguredKeys.ts",
  "src/oauth/DataKeys.ts",
  "src/oauth/GrantStore.ts",
  "src/oauth/KeyProvider.ts",
  "src/oauth/KeyProviderError.ts",
  "src/oauth/KeyRing.ts",
  "src/oauth/Vault.ts",
  "src/mail/Mailbox.ts",
]

/** `Deno.*` beside `main` and `commands/`. */
const onDeno = /^src\/(?:main\.ts|commands\/.*|mail\/imap\/ImapTransport\.ts|storage\/Embedded[^/]*)$/

const filesUnder = (folder: string): ReadonlyArray<string> =>
  [...Deno.readDirSync(new URL(folder, root))].flatMap(({ isDirectory, name }) =>
    isDirectory ? filesUnder(`${folder}${name}/`) : /\.tsx?$/.test(name) ? [`${folder}${name}`] : []
  ).toSorted()

/** The part of the house that a file belongs to: `src/oauth/Vault.ts` → `oauth`, `src/main.ts` → `main`. */
const partOf = (path: string): string => path.replace(/^src\//, "").split("/")[0]!.replace(/\.ts$/, "")

const withoutComments = (source: string): string =>
  source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1")

const specifiers = (source: string): ReadonlyArray<string> =>
  [
    ...source.matchAll(/^(?:import|export)\s(?:[^"'`;]*?\sfrom\s+)?["']([^"']+)["']/gm),
    ...source.matchAll(/\bimport\(\s*["']([^"']+)["']/g),
    ...source.matchAll(/\bnew URL\(\s*["'](\.[^"']+)["']\s*,\s*import\.meta\.url/g),
  ].map(([, specifier]) => specifier!)

interface Source {
  readonly path: string
  readonly part: string
  readonly code: string
  readonly imports: ReadonlyArray<string>
}

const read = (path: string): Source => {
  const code = withoutComments(Deno.readTextFileSync(new URL(path, root)))
  const imports = specifiers(code).map((specifier) =>
    specifier.startsWith(".") ? new URL(specifier, new URL(path, root)).href.slice(root.href.length) : specifier
  )
  return { path, part: partOf(path), code, imports }
}

const sources = [...filesUnder("src/"), ...filesUnder("migrations/")].map(read)
const isOurs = (specifier: string) => /^(?:src|migrations)\//.test(specifier)

describe("The house", () => {
  it("has every part on the list", () => {
    assert.isAbove(sources.length, 100)
    assert.deepStrictEqual(sources.filter(({ part }) => !(part in allowed)).map(({ path }) => path), [])
  })

  it("reads every form of import", () => {
    const source = withoutComments(
      `import { a } from "./a.ts" // import { x } from "./x.ts"
/** import "./y.ts" */
import type {
  B,
} from './b.ts'
import "./c.ts"
export * from "./d.ts"
const e = await import("./e.ts")
new Worker(new URL("./f.ts", import.meta.url))`,
    )
    assert.deepStrictEqual(specifiers(source), ["./a.ts", "./b.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts"])
  })

  it("imports files that exist", () => {
    const known = new Set(sources.map(({ path }) => path))
    const missing = sources.flatMap(({ path, imports }) =>
      imports.filter((target) => isOurs(target) && /\.tsx?$/.test(target) && !known.has(target))
        .map((target) => `${path} → ${target}`)
    )
    assert.deepStrictEqual(missing, [])
  })

  for (const [part, others] of Object.entries(allowed)) {
    it(`${part} imports ${others.length === 0 ? "nothing of ours" : others.join(", ")}`, () => {
      const wrong = sources.filter((source) => source.part === part).flatMap(({ path, imports }) =>
        imports.filter((target) => {
          if (target.startsWith("@mailfleet/")) return true
          if (!isOurs(target)) return false
          const to = partOf(target)
          if (to === part) return false
          if (part === "storage" && (to === "oauth" || to === "mail")) return !portsForStorage.includes(target)
          return !others.includes(to)
        }).map((target) => `${path} → ${target}`)
      )
      assert.deepStrictEqual(wrong, [])
    })
  }

  it("uses Deno only where it starts, in IMAP's transport, and for the files of the embedded database", () => {
    const wrong = sources.filter(({ code, path }) => /\bDeno\s*[.[]/.test(code) && !onDeno.test(path))
    assert.deepStrictEqual(wrong.map(({ path }) => path), [])
  })

  it("has SQL only in storage and migrations", () => {
    const wrong = sources.filter(({ code, part }) =>
      /\bsql\s*[<`]/.test(code) && !/^(?:storage|migrations)$/.test(part)
    )
    assert.deepStrictEqual(wrong.map(({ path }) => path), [])
  })
})
