import { Effect } from "effect"
import { make } from "/work/main/src/simulator/Simulator.ts"
await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
  const sim = yield* make({ accounts: 5, latency: 300 })
  const s = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, sim.handler)
  const a = sim.account("sim00001@sim.example")
  const c = new AbortController()
  setTimeout(() => c.abort(), 100)
  yield* Effect.promise(() =>
    fetch(`http://127.0.0.1:${s.addr.port}/common/oauth2/v2.0/token`, {
      method: "POST",
      signal: c.signal,
      body: new URLSearchParams({
        client_id: a.clientId,
        grant_type: "refresh_token",
        refresh_token: a.refreshToken,
        scope: "Mail.Read offline_access",
      }),
    }).then(async (r) => console.log(await r.text()), (e) => console.log(String(e)))
  )
  yield* Effect.sleep(500)
  console.log(sim.counters().lostAnswers, sim.account("sim00001@sim.example"))
  yield* Effect.promise(() => s.shutdown())
})))
