/** What the README and its neighbours say about variables, commands and files is so. */
import { assert, describe, it } from "@effect/vitest"
import { FailureClass } from "../src/domain/FailureClass.ts"

const root = new URL("../", import.meta.url)
const read = (path: string): string => Deno.readTextFileSync(new URL(path, root))

const pagesIn = (folder: string): ReadonlyArray<string> =>
  [...Deno.readDirSync(new URL(folder, root))].filter(({ isFile }) => isFile).map(({ name }) => `${folder}/${name}`)

const documents = ["README.md", "CHANGELOG.md", ...pagesIn("docs"), ...pagesIn("docs/decisions")]

const readme = read("README.md")

/** What people are told to type: the README and the pages that it leads to. */
const guide = ["README.md", ...pagesIn("docs")].map(read).join("\n")
const manifest: { readonly version: string; readonly tasks: Readonly<Record<string, string>> } = JSON.parse(
  read("deno.json"),
)

/** The rows of the first table after the heading whose header begins so, as cells. */
const tableAfter = (page: string, heading: string, header = "variable"): ReadonlyArray<ReadonlyArray<string>> => {
  const document = read(page)
  const lines = document.slice(document.indexOf(heading)).split("\n")
  const start = lines.findIndex((line) => line.startsWith(`| ${header} `))
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"))
  return lines.slice(start + 2, end).map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
}

const variablesIn = (source: string): ReadonlyArray<string> =>
  [...new Set(source.match(/(?<=["`])(?:DATABASE_URL|(?:MAILFLEET|OTEL)_[A-Z_]+)(?=["`])/g))].toSorted()

const settings = read("src/domain/Settings.ts")
const settingsTable = tableAfter("docs/settings.md", "# Settings")

/** As GitHub makes them. */
const anchorOf = (heading: string): string =>
  heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-")

const anchors = (document: string): ReadonlyArray<string> =>
  Array.from(document.matchAll(/^#+ (.+)$/gm), ([, heading]) => anchorOf(heading ?? ""))

const commandsIn = (document: string): ReadonlyArray<string> =>
  Array.from(document.matchAll(/^```sh\n(.*?)^```$/gms), ([, code]) => code ?? "").flatMap((code) => code.split("\n"))

describe("README", () => {
  it("begins with the demo and the tests, and leads to every page", () => {
    for (const command of ["task demo", "task test"]) assert.include(readme, `npx -y deno@2.9.6 ${command}`)
    for (const page of pagesIn("docs")) assert.include(readme, `](${page})`)
  })

  it("names exactly the variables that the settings read, each once", () => {
    const named = settingsTable.map(([variable]) => variable?.replaceAll("`", "") ?? "")
    assert.deepStrictEqual(named.toSorted(), variablesIn(settings))
  })

  it("names their defaults", () => {
    const defaults = new Map(settingsTable.map(([variable, value]) => [variable, value]))
    const inCode = Array.from(
      settings.matchAll(/(?<!optionalInteger)\(\s*"((?:MAILFLEET|OTEL)_\w+)",\s*(?:"([^"]*)"|(\d+))\s*[,)]/g),
      ([, variable = "", text, number]) => [variable, text ?? number ?? ""] as const,
    )
    assert.isAbove(inCode.length, 20)
    for (const [variable, value] of inCode) {
      assert.strictEqual(defaults.get(`\`${variable}\``), `\`${value}\``, variable)
    }
  })

  it("names the variables that the commands read", () => {
    const named = tableAfter("docs/settings.md", "The commands that talk to a server").map(([variable]) =>
      variable?.replaceAll("`", "")
    )
    const inCommands = variablesIn(read("src/commands/Connection.ts").match(/variable\("\w+"\)/g)?.join("\n") ?? "")
    assert.deepStrictEqual(named.toSorted(), inCommands.filter((name) => !variablesIn(settings).includes(name)))
  })

  it("gives commands that exist", () => {
    const registered = Array.from(
      read("src/main.ts").matchAll(/commands: \[([^\]]+)\]/g),
      ([, names = ""]) => names.split(",").map((name) => name.trim().replace(/Command$/, "")),
    ).flat()
    const lines = commandsIn(guide).filter((line) => /\btask \w/.test(line))
    assert.isAbove(lines.length, 8)
    for (const line of lines) {
      const [, task = "", command] = /\bdeno(?:@[\d.]+)? task ([\w:]+)(?: ([a-z]\w*))?/.exec(line) ?? []
      assert.property(manifest.tasks, task, line)
      if (task === "mailfleet") assert.include(registered, command, line)
    }
  })

  it("names tasks that exist", () => {
    const named = tableAfter("docs/developing.md", "\n## For developers\n", "task").map(([task]) =>
      /^`([\w:]+)/.exec(task ?? "")?.[1] ?? ""
    )
    assert.isAbove(named.length, 3)
    for (const task of named) assert.property(manifest.tasks, task)
  })

  it("says of each class of failure what follows", () => {
    const named = tableAfter("docs/operating.md", "\n## How grants are kept alive\n", "class").map(([name]) =>
      name?.replaceAll("`", "")
    )
    assert.sameOrderedMembers(named, [...FailureClass.literals])
  })

  it("gives flags that exist", () => {
    for (const line of commandsIn(guide)) {
      const [, command] = /task mailfleet (\w+)/.exec(line) ?? []
      if (command === undefined) continue
      const source = ["Flags", `${command[0]?.toUpperCase()}${command.slice(1)}`]
        .map((name) => read(`src/commands/${name}.ts`)).join()
      for (const [, flag] of line.matchAll(/ --([a-z-]+)/g)) assert.include(source, `"${flag}"`, line)
    }
  })

  it("speaks of one version of Deno, that of the image", () => {
    const version = /denoland\/deno:([\d.]+)/.exec(read("Dockerfile"))?.[1]
    const named = `${guide}${read(".ci/run")}`.match(/(?<=deno@)[\d.]+\d/g)
    assert.deepStrictEqual([...new Set(named)], [version])
  })

  it("asks users of the library for the versions that are used here", () => {
    const json = /```json\n(.*?)```/s.exec(read("docs/embedding.md"))?.[1] ?? ""
    const { imports }: { readonly imports: Readonly<Record<string, string>> } = JSON.parse(json)
    const ours: { readonly imports: Readonly<Record<string, string>> } = JSON.parse(read("deno.json"))
    for (const [name, specifier] of Object.entries(imports)) {
      if (!name.startsWith("@mailfleet/")) assert.strictEqual(specifier, ours.imports[name], name)
    }
  })

  it("has links that lead somewhere, as have its neighbours", () => {
    let links = 0
    for (const path of documents) {
      const document = read(path)
      for (const [, target = ""] of document.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue
        links++
        const [file = "", anchor] = target.split("#")
        if (file !== "") {
          assert.doesNotThrow(() => Deno.statSync(new URL(file, new URL(path, root))), `${path}: ${target}`)
        }
        if (anchor !== undefined) {
          assert.include(
            anchors(file === "" ? document : read(new URL(file, new URL(path, root)).href)),
            anchor,
            `${path}: ${target}`,
          )
        }
      }
    }
    assert.isAbove(links, 10)
  })
})

describe("CHANGELOG", () => {
  it("has an entry for this version", () => {
    assert.match(read("CHANGELOG.md"), new RegExp(`^## \\[${manifest.version.replaceAll(".", "\\.")}\\]`, "m"))
  })
})

describe("decisions", () => {
  it("are numbered without gaps, and keep to their form", () => {
    const pages = pagesIn("docs/decisions").toSorted()
    for (const [index, path] of pages.entries()) {
      assert.match(path, new RegExp(`/${String(index + 1).padStart(4, "0")}-[a-z0-9-]+\\.md$`))
      const page = read(path)
      assert.isTrue(page.startsWith(`# ${index + 1}. `), path)
      for (const part of ["Context", "Decision", "Consequence"]) assert.include(page, `\n**${part}.** `, path)
    }
  })
})
