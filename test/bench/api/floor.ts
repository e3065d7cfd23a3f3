/**
 * The least that an HTTP API could do: the same SQL by the same driver, in a bare handler. No routing, no key, no schema, no
 * headers. Settings as for `serve`; prints where it listens.
 */
import { Effect, Layer } from "effect"
import { layerSettings } from "../../../src/storage/EmbeddedSecrets.ts"
import { AccountId } from "../../../src/domain/Ids.ts"
import { layerLog } from "../../../src/commands/Process.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { Database } from "../../../src/storage/Database.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"

const storage = Layer.mergeAll(Accounts.layer, Messages.layer).pipe(
  Layer.provide(Database.layerPostgres),
  Layer.provide(layerSettings()),
)

const floor = Effect.gen(function* () {
  const accounts = yield* Accounts
  const messages = yield* Messages
  const run = Effect.runPromiseWith(yield* Effect.context<never>())
  const answer = (url: string): Promise<unknown> => {
    const { pathname, searchParams } = new URL(url)
    const limit = Number(searchParams.get("limit") ?? 50)
    if (pathname === "/v1/accounts") return run(accounts.list({ limit }))
    if (pathname === "/v1/messages") return run(messages.list({ limit, q: searchParams.get("q")! }))
    return run(accounts.get(AccountId.make(pathname.slice("/v1/accounts/".length))))
  }
  Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: ({ port }) => console.log(`listening on http://127.0.0.1:${port}`),
  }, async ({ url }) => Response.json(await answer(url)))
  yield* Effect.never
})

Effect.runFork(Effect.scoped(floor).pipe(Effect.provide(storage), Effect.provide(layerLog("Warn"))))
