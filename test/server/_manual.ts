import { Effect, Layer } from "effect"
import { Server, server } from "./stack.ts"
import { Database } from "../../src/storage/Database.ts"
import { embeddedClient } from "../../src/storage/Embedded.ts"
const db = Layer.effect(Database, Effect.orDie(Database.fromClient({ schema: "mailfleet", engine: "embedded" }))).pipe(
  Layer.provide(embeddedClient("")),
)
await Effect.runPromise(
  Effect.gen(function* () {
    const { handler } = yield* Server
    const http = Deno.serve({ port: 8099, hostname: "127.0.0.1" }, (r) => handler(r))
    yield* Effect.promise(async () => {
      for (const [path, out] of [["/docs", "docs"], ["/", "front"]]) {
        const p = await new Deno.Command("chromium-headless-shell", {
          args: [
            "--no-sandbox",
            "--disable-gpu",
            `--screenshot=/tmp/oa/${out}.png`,
            "--window-size=1200,1000",
            "--virtual-time-budget=15000",
            "--enable-logging=stderr",
            "--v=0",
            `http://127.0.0.1:8099${path}`,
          ],
          stderr: "piped",
          stdout: "null",
        }).output()
        console.log(
          path,
          new TextDecoder().decode(p.stderr).split("\n").filter((l) => l.includes("CONSOLE")).join("\n").slice(0, 3000),
        )
      }
    })
  }).pipe(Effect.provide(server), Effect.provide(db)),
)
Deno.exit(0)
