/** The programs in the documentation of the client run, against a server. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { onDatabases } from "../support/databases.ts"
import { serve } from "../support/simulator.ts"
import { addAccount, adminKey, Server, server } from "../server/stack.ts"

const root = new URL("../../", import.meta.url)

const examplesIn = (path: string): ReadonlyArray<string> =>
  Array.from(
    Deno.readTextFileSync(new URL(path, root)).matchAll(/^ \* ```ts\n(.*?)^ \* ```$/gms),
    ([, code = ""]) => code.replaceAll(/^ \* ?/gm, ""),
  )

const examples = ["src/client.ts", "src/client/createClient.ts"].flatMap(examplesIn)

await onDatabases("Examples of the client", server, (it) => {
  it.effect("all run", () =>
    Effect.gen(function* () {
      assert.strictEqual(examples.length, 3)
      const { handler } = yield* Server
      const url = yield* serve((request) => handler(request))
      yield* addAccount("documented@client.example", "needs_user")
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => Deno.makeTempDir()),
        (path) => Effect.promise(() => Deno.remove(path, { recursive: true })),
      )
      const deno = (...args: ReadonlyArray<string>) =>
        Effect.promise(async () => {
          const config = `--config=${fileURLToPath(new URL("deno.json", root))}`
          const [command = "", ...rest] = args
          const run = new Deno.Command(Deno.execPath(), { args: [command, config, ...rest], env: { NO_COLOR: "1" } })
          const { code, stderr } = await run.output()
          assert.strictEqual(code, 0, `${args.join(" ")}\n${new TextDecoder().decode(stderr)}`)
        })
      const files = examples.map((example, index) => {
        const file = `${directory}/${index}.ts`
        const code = example.replaceAll("http://127.0.0.1:8080", url).replaceAll(`apiKey: "…"`, `apiKey: "${adminKey}"`)
        Deno.writeTextFileSync(file, code)
        return file
      })
      yield* deno("check", ...files)
      for (const file of files) yield* deno("run", "--allow-all", file)
    }), 120_000)
})
