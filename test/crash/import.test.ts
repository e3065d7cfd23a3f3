/** Imports whose process is killed at any instant: nothing is lost, nothing is done twice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { RunItem } from "../../src/domain/Run.ts"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import {
  all,
  ended,
  eventually,
  found,
  install,
  leasesEnd,
  runOf,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"
import { kill, type Stage } from "./kill.ts"

const good = 120
/** With two bad rows and two that repeat an address. */
const total = good + 4
/** Redemptions at a time: the default of imports. */
const concurrency = 5

const csvOf = (simulator: Simulator): string => {
  const lines = [...simulator.importLines()]
  const { clientId } = simulator.account("sim00001@sim.example")
  return [
    ...lines.slice(0, 40),
    `not-an-address,${clientId},token\n`,
    ...lines.slice(40, 90),
    `nobody@sim.example,no-client-id,token\n`,
    found(lines[7]),
    ...lines.slice(90),
    found(lines[100]),
  ].join("")
}

const Problem = Schema.fromJsonString(Schema.Struct({ code: Schema.String }))

/** Begins an upload of more rows than one block holds, which does not end. */
const beginUpload = Effect.fnUntraced(function* (service: Service, clientId: string, key: string) {
  const rows = Array.from({ length: 700 }, (_, n) => `never${n}@sim.example,${clientId},never-${n}\n`)
  const start = new TextEncoder().encode(`email,client_id,refresh_token\n${rows.join("")}`)
  const headers = { "content-type": "text/csv", "idempotency-key": key }
  yield* Effect.suspend(() => {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(start) })
    return service.send("/v1/imports", { method: "POST", headers, body })
  }).pipe(
    // The look at the key below takes it for a moment itself.
    Effect.repeat({ until: ({ status }) => status !== 409 }),
    Effect.forkScoped,
  )
  yield* eventually(
    "the key is in use",
    service.send("/v1/imports", { method: "POST", headers, body: "email,client_id,refresh_token\n" }),
    ({ status, text }) => status === 409 && Schema.decodeUnknownSync(Problem)(text).code === "idempotency_key_in_use",
  )
})

const crashes = Effect.fnUntraced(function* (stage: Stage, waits: boolean) {
  const { installation, simulator } = stage
  const key = crypto.randomUUID()
  const headers = { "idempotency-key": key }

  // During the upload.
  let service = yield* installation.start()
  yield* beginUpload(service, simulator.account("sim00001@sim.example").clientId, key)
  yield* service.kill
  yield* installation.query(leasesEnd)
  service = yield* installation.start()
  assert.deepStrictEqual(yield* all(service, Schema.Unknown, "/v1/runs"), [])
  assert.deepStrictEqual(yield* all(service, Schema.Unknown, "/v1/accounts"), [])

  // Right after the 202.
  const file = csvOf(simulator)
  const run = yield* upload(service, file, headers)
  assert.strictEqual(run.total, total)
  yield* kill(stage, service, { ages: true, concurrency })

  // In the middle of the verification.
  for (const share of [0.2, 0.5, 0.8]) {
    service = yield* installation.start()
    const { processed } = yield* eventually(
      "the run goes on",
      runOf(service, run.id),
      (now) => now.processed >= share * good,
    )
    assert.isBelow(processed, total, "killed too late")
    const [stored] = yield* kill(stage, service, { ages: !waits || share < 0.8, concurrency })
    // The embedded database dies with the process, and progress does not wait for the disk: the last may be missing.
    assert.isAtLeast(found(stored), installation.engine === "postgres" ? processed : processed - 20)
  }
  service = yield* installation.start()
  return { run: yield* ended(service, run.id), service, file, headers }
})

const proof = (stage: Stage, mode: "microsoft" | "strict") =>
  Effect.gen(function* () {
    const { lost, installation, simulator } = stage
    // Once, leases are left to end by themselves.
    const waits = installation.engine === "postgres" && mode === "microsoft"
    const { file, headers, run, service } = yield* crashes(stage, waits)
    assert.deepInclude(run, { state: "completed", total, processed: total, skipped: 2 })
    assert.strictEqual(run.succeeded + run.failed + run.skipped, total)
    assert.strictEqual((yield* upload(service, file, headers)).id, run.id)

    // One outcome for each row, one account for each good one.
    const items = yield* all(service, RunItem, `/v1/runs/${run.id}/items`)
    assert.deepStrictEqual(items.map(({ position }) => position), items.map((_, index) => index + 1))
    assert.deepStrictEqual(items.filter(({ outcome }) => outcome === "skipped").map(({ error }) => error?.code), [
      "duplicate_in_file",
      "duplicate_in_file",
    ])
    const addresses = Array.from({ length: good }, (_, n) => `sim${String(n + 1).padStart(5, "0")}@sim.example`)
    const verified = items.filter(({ accountId }) => accountId !== undefined)
    assert.sameMembers(verified.map(({ email }) => email), addresses)
    const accounts = yield* all(service, Account, "/v1/accounts")
    assert.sameMembers(accounts.map(({ email }) => email), addresses)
    assert.strictEqual(accounts.length, good)
    const ids = new Map(accounts.map(({ email, id }) => [email, id]))
    for (const { accountId, email } of verified) assert.strictEqual(accountId, ids.get(found(email)))

    // Each token once, and once more only what was under way.
    const dead = accounts.filter(({ status }) => status !== "active").map(({ email }) => email)
    const missing = new Set(lost)
    const { redemptions, violations } = simulator.counters()
    if (mode === "microsoft") {
      assert.deepStrictEqual(dead, [])
      assert.deepInclude(run, { succeeded: good, failed: 2 })
      assert.strictEqual(redemptions, good + lost.length)
    } else {
      assert.sameMembers(dead, [...missing])
      assert.deepInclude(run, { succeeded: good - missing.size, failed: 2 + missing.size })
      assert.strictEqual(redemptions, good)
    }
    assert.strictEqual(violations["reused-refresh-token"] ?? 0, lost.length)

    // What is stored is the newest token of each: the provider takes it, and sees none for the second time.
    const refresh = yield* startOverAll(service, "refresh")
    assert.deepInclude(yield* ended(service, refresh.id), {
      state: "completed",
      succeeded: good - dead.length,
      failed: dead.length,
    })
    for (const { email, token } of yield* all(service, Account, "/v1/accounts")) {
      const missed = lost.filter((one) => one === email).length
      if (!dead.includes(email)) {
        assert.strictEqual(token.version, simulator.account(email).generation + 1 - missed, email)
      }
    }
    assert.strictEqual(yield* service.stop, 0)
  })

const engines = await usableEngines

describe("a killed import", () => {
  for (const engine of engines) {
    // The mode is the provider's: where the database makes no difference to it, the harder one is enough.
    for (const mode of engine === "postgres" ? ["microsoft", "strict"] as const : ["strict"] as const) {
      it.live(`goes on where it was (${engine}, ${mode})`, () =>
        Effect.gen(function* () {
          const simulator = yield* make({ accounts: good, latency: "50 millis", mode, watchDelivery: true })
          const origin = yield* serveSimulator(simulator)
          const installation = yield* install(engine, origin, { MAILFLEET_SCHEDULES: "off" })
          yield* proof({ installation, simulator, lost: [] }, mode)
        }), { concurrent: true, timeout: 240_000 })
    }
  }
})
