/** The package as a Node project takes it: packed, installed, its types checked, and the program of docs/embedding.md run. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { usableEngines } from "../support/databases.ts"
import { accounts, encryptionKeys, examples, redirect, World, world } from "../support/embedding.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const manifest: { readonly imports: Record<string, string> } = JSON.parse(await Deno.readTextFile(`${root}deno.json`))
const versionOf = (name: string) => manifest.imports[name]?.replace("npm:", "")

/** Runs a program to its end and answers with what it printed. */
const sh = (command: string, args: ReadonlyArray<string>, cwd: string, env: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const { code, stderr, stdout } = await new Deno.Command(command, { args: [...args], cwd, env }).output()
    const decoder = new TextDecoder()
    const printed = decoder.decode(stdout)
    assert.strictEqual(code, 0, `${command} ${args.join(" ")}\n${printed}${decoder.decode(stderr)}`)
    return printed
  })

const tsconfig = {
  compilerOptions: {
    strict: true,
    module: "nodenext",
    target: "es2023",
    types: ["node"],
    lib: ["esnext", "dom"],
  },
  files: ["example.ts", "imap.ts", "client.ts"],
}

/** What only other channels than the example's need: a MIME worker, and sockets of Node's own. */
const parts = `
import { MimeParser } from "./node_modules/@mailfleet/mailfleet/src/mail/mime/MimeParser.js"
import { ImapTransport } from "./node_modules/@mailfleet/mailfleet/src/mail/imap/ImapTransport.js"
import { Effect, Layer } from "effect"

const message = new TextEncoder().encode("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\\r\\n\\r\\nHallo\\r\\n")
const program = Effect.gen(function* () {
  const { parse } = yield* MimeParser
  console.log(JSON.stringify((yield* parse(message)).text?.trim()))
  console.log(Object.keys(yield* ImapTransport).join())
})
await Effect.runPromise(Effect.provide(program, Layer.merge(MimeParser.layer, ImapTransport.layerWith(["pem"]))))
`

const client = `
import { createClient, Problems } from "@mailfleet/mailfleet/client"

await using client = createClient({ url: "http://127.0.0.1:9", apiKey: "k", retries: 0, fetch: async () =>
  Response.json({ type: "urn:mailfleet:problem:unauthorized", status: 401, title: "Unauthorized", code: "unauthorized" }, {
    status: 401, headers: { "content-type": "application/problem+json" },
  }) })
const total: number | undefined = await client.stats().then(({ accounts }) => accounts.total, (error: unknown) => {
  console.log(error instanceof Problems.Unauthorized && error.code)
  return undefined
})
if (total !== undefined) throw new Error("nobody has this key")
`

const tests = layer(world, { excludeTestServices: true, timeout: "60 seconds" })

if (!(await usableEngines).includes("postgres")) {
  describe("npm package", () => it.skip("skipped: no Postgres", () => {}))
} else {
  tests("npm package", (it) => {
    it.effect(
      "is installed by a Node project, has types, and runs the program of docs/embedding.md",
      () =>
        Effect.gen(function* () {
          const { directory, origin, simulator, url } = yield* World
          const write = (name: string, text: string) =>
            Effect.promise(() => Deno.writeTextFile(`${directory}/${name}`, text))
          yield* sh(Deno.execPath(), ["task", "build:npm"], root)
          const packed = (yield* sh("npm", ["pack", "--silent", `${root}dist/npm`], directory)).trim()

          yield* write("package.json", JSON.stringify({ name: "scratch", private: true, type: "module" }))
          const tools = ["typescript", "@types/node"].map((name) => versionOf(name) ?? name)
          yield* sh("npm", ["install", "--silent", "--no-audit", "--no-fund", `./${packed}`, ...tools], directory)
          yield* write("tsconfig.json", JSON.stringify(tsconfig))
          yield* write("accounts.csv", [...simulator.importLines()].join(""))
          yield* write("redirect.mjs", redirect(origin))
          yield* write("example.ts", examples[0] ?? "")
          yield* write("imap.ts", parts)
          yield* write("client.ts", client)
          yield* sh("npx", ["tsc"], directory)

          const env = { DATABASE_URL: url, MAILFLEET_ENCRYPTION_KEYS: encryptionKeys, NODE_NO_WARNINGS: "1" }
          const node = (program: string) =>
            Effect.map(
              sh("node", ["--import", "./redirect.mjs", `${program}.js`], directory, env),
              (printed) => printed.trimEnd().split("\n"),
            )
          const lines = yield* node("example")
          assert.strictEqual(lines.length, accounts, lines.join("\n"))
          for (const line of lines) assert.match(line, /^\S+@\S+ \d+ ./)
          assert.deepStrictEqual(yield* node("imap"), [`"Hallo"`, "tls"])
          assert.deepStrictEqual(yield* node("client"), ["unauthorized"])
        }),
      300_000,
    )

    it.effect("holds no path of the machine it was made on, and no file of ours that is not the library's", () =>
      Effect.gen(function* () {
        const files = yield* sh(
          "grep",
          ["-rlE", `${root}|file://`, "dist/npm", "--include=*.js", "--include=*.d.ts"],
          root,
        )
          .pipe(Effect.catchDefect(() => Effect.succeed("")))
        assert.strictEqual(files, "")
        for (const part of ["server", "commands", "simulator", "dashboard", "main.js"]) {
          assert.throws(() => Deno.statSync(`${root}dist/npm/src/${part}`), Deno.errors.NotFound, part)
        }
      }))
  })
}
