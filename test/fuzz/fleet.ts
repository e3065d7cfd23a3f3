/** A process with a small fleet behind it, to be sent what the fuzzer makes. */
import { Effect, Schema } from "effect"
import { make } from "../../src/simulator/Simulator.ts"
import type { Engine } from "../support/engines.ts"
import { ended, install, serveSimulator, startOverAll, upload } from "../support/processes.ts"

const Made = Schema.Struct({ id: Schema.String, key: Schema.String })

/** Every scope alone, so that a key without a right is among those that ask. */
const scopes = ["accounts:read", "messages:read", "runs:write", "tokens:read"]

/** Starts a process against a simulator; its accounts have mail. */
export const startFleet = Effect.fnUntraced(function* (engine: Engine, env: Record<string, string> = {}) {
  const simulator = yield* make({ accounts: 12, messages: 20, oddPages: 0.1 })
  const origin = yield* serveSimulator(simulator)
  const installation = yield* install(engine, origin, {
    MAILFLEET_SCHEDULES: "off",
    MAILFLEET_API_RATE: "off",
    MAILFLEET_PUBLIC_URL: "http://127.0.0.1:8080",
    ...env,
  })
  const service = yield* installation.start()
  const imported = yield* upload(service, [...simulator.importLines()].join(""), { "content-type": "text/plain" })
  yield* ended(service, imported.id)
  const synced = yield* startOverAll(service, "sync")
  yield* ended(service, synced.id)
  const made = yield* Effect.forEach([...scopes, "revoked"], (scope) =>
    service.call(Made, "/v1/keys", {
      method: "POST",
      status: 201,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: scope, scopes: [scope === "revoked" ? "admin" : scope] }),
    }))
  const revoked = made.at(-1)!
  yield* service.send(`/v1/keys/${revoked.id}`, { method: "DELETE" })
  const keys = [installation.adminKey, ...made.map(({ key }) => key), "mf_wrong", "CANARY' or 1=1", null]
  return { service, installation, keys, simulator }
})
