import { Effect, Exit, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { Settings } from "../../src/domain/Settings.ts"
import { OAuthProvider } from "../../src/oauth/OAuthProvider.ts"
import { layerProviders } from "../../src/oauth/Providers.ts"
const body = JSON.stringify({
  token_type: "Bearer",
  scope: "https://graph.microsoft.com/Mail.Read",
  expires_in: 3599,
  ext_expires_in: 3599,
  access_token: "a".repeat(1800),
  refresh_token: "r".repeat(1200),
})
const fake: typeof fetch = () =>
  Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }))
const real = Deno.args[0] === "real"
const server = Deno.serve({ port: 0, onListen: () => {} }, async (r) => {
  await r.text()
  return new Response(body, { headers: { "content-type": "application/json" } })
})
const url = `http://127.0.0.1:${server.addr.port}`
const N = 5000
const app = { provider: "microsoft" as const, clientId: "c", tenant: "common" }
const program = Effect.gen(function* () {
  const p = yield* OAuthProvider
  const one = p.redeem({ app, refreshToken: Redacted.make("x".repeat(1200)), resource: "graph" })
  const exit = yield* Effect.exit(one)
  console.log(exit._tag)
  for (let round = 0; round < 4; round++) {
    const t = performance.now()
    yield* Effect.forEach(Array.from({ length: N }), () => one, { concurrency: 10, discard: true })
    console.log("redeem", ((performance.now() - t) / N * 1000).toFixed(0), "us")
  }
})
let live = layerProviders.pipe(
  Layer.provide(Settings.layerWith({ microsoftAuthority: url })),
  Layer.provide(FetchHttpClient.layer),
)
if (!real) live = live.pipe(Layer.provide(Layer.succeed(FetchHttpClient.Fetch, fake)))
await Effect.runPromise(
  program.pipe(Effect.provide(live), real ? (x) => x : Effect.provideService(FetchHttpClient.Fetch, fake)),
)
for (let round = 0; round < 3; round++) {
  const t = performance.now()
  let i = 0
  const f = real ? fetch : fake
  await Promise.all(Array.from({ length: 10 }, async () => {
    while (i++ < N) {
      const r = await f(`${url}/x`, { method: "POST", body: new URLSearchParams({ refresh_token: "x".repeat(1200) }) })
      JSON.parse(await r.text())
    }
  }))
  console.log("bare", ((performance.now() - t) / N * 1000).toFixed(0), "us")
}
await server.shutdown()
