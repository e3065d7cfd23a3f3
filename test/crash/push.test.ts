/** Push end to end: a real process, a provider that notifies it, and what befalls either. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import {
  ended,
  eventually,
  found,
  install,
  type Installation,
  leasesEnd,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"

const email = "sim00001@sim.example"

const Messages = Schema.Struct({ items: Schema.Array(Schema.Struct({ subject: Schema.String })) })

/** A port that nobody listens on, so that all processes of an installation can have the same. */
const freePort = Effect.sync(() => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" })
  const { port } = listener.addr
  listener.close()
  return port
})

const arrives = (service: Service, subject: string, within: `${number} seconds` = "10 seconds") =>
  eventually(
    `"${subject}" arrives`,
    service.call(Messages, `/v1/messages?q=${encodeURIComponent(subject)}`),
    ({ items }) => items.length > 0,
    within,
  )

const isThere = (service: Service, subject: string) =>
  Effect.map(service.call(Messages, `/v1/messages?q=${encodeURIComponent(subject)}`), ({ items }) => items.length > 0)

const watching = (simulator: Simulator) =>
  eventually("there is one subscription", Effect.sync(() => simulator.subscriptions(email)), (all) => all.length === 1)
    .pipe(Effect.map(([one]) => found(one)))

/** Until there is a subscription, and nothing waits for a round. */
const quiet = (service: Service) =>
  eventually(
    "all notifications are worked off",
    service.send("/metrics"),
    ({ text }) =>
      /^mailfleet_notifications_waiting 0$/m.test(text) && !/^mailfleet_sync_due(?:\{.*\})? [1-9]/m.test(text) &&
      /^mailfleet_subscriptions\{state="active"\} 1$/m.test(text),
  )

const deltas = (simulator: Simulator) =>
  simulator.counters().endpoints["GET mailFolders/id/messages/delta"]?.requests ?? 0

const counted = (service: Service, outcome: string) =>
  Effect.map(
    service.send("/metrics"),
    ({ text }) =>
      Number(
        new RegExp(`^mailfleet_notifications_total\\{[^}]*outcome="${outcome}"[^}]*\\} (\\d+)`, "m").exec(text)?.[1] ??
          0,
      ),
  )

const proof = Effect.fnUntraced(function* (installation: Installation, simulator: Simulator) {
  let service = yield* installation.start()
  const run = yield* upload(service, [...simulator.importLines({ format: "csv" })].join(""))
  assert.deepInclude(yield* ended(service, run.id), { state: "completed", succeeded: 1 })
  assert.deepInclude(yield* ended(service, (yield* startOverAll(service, "sync")).id), {
    state: "completed",
    succeeded: 1,
  })

  // The handshake came while the call was pending: else there would be none.
  const first = yield* watching(simulator)
  assert.strictEqual(first.notificationUrl, `${service.url}/v1/notifications/graph`)
  yield* quiet(service)

  // Mail arrives without polling.
  const begin = performance.now()
  simulator.deliver(email, { subject: "pushed" })
  yield* arrives(service, "pushed")
  const took = performance.now() - begin
  // Some 0.3 s; on a machine that is busy with other tests a little more.
  assert.isBelow(took, 3_000)
  yield* quiet(service)

  // Duplicates, and many at once, make a round or two.
  simulator.configure({ notifications: "twice" })
  simulator.resetCounters()
  simulator.deliver(email, { count: 20, subject: "many" })
  yield* arrives(service, "many")
  yield* quiet(service)
  const folders = simulator.mailbox(email).folders.length
  assert.isAtMost(deltas(simulator), 2 * folders)
  simulator.configure({ notifications: "once" })

  // Forgers are told nothing and move nothing.
  simulator.resetCounters()
  for (const [subscriptionId, clientState] of [[first.id, "guessed"], ["another", first.clientState]]) {
    const answer = yield* service.send("/v1/notifications/graph", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: "" },
      body: JSON.stringify({ value: [{ subscriptionId, clientState, changeType: "created" }] }),
    })
    assert.strictEqual(answer.status, 202)
  }
  assert.deepStrictEqual([yield* counted(service, "forged"), yield* counted(service, "unknown")], [1, 1])
  yield* Effect.sleep("600 millis")
  assert.strictEqual(deltas(simulator), 0)

  // Lifecycle.
  simulator.sendLifecycle(email, "reauthorizationRequired")
  yield* eventually(
    "it is reauthorized",
    Effect.sync(() => simulator.subscriptions(email)[0]),
    (one) => one?.id === first.id && one.reauthorizations === 1,
  )
  simulator.configure({ notifications: "lost" })
  simulator.deliver(email, { subject: "missed one" })
  simulator.configure({ notifications: "once" })
  simulator.sendLifecycle(email, "missed")
  yield* arrives(service, "missed one")
  simulator.configure({ notifications: "lost" })
  simulator.deliver(email, { subject: "while there was none" })
  simulator.configure({ notifications: "once" })
  simulator.sendLifecycle(email, "subscriptionRemoved")
  const second = yield* watching(simulator)
  assert.notStrictEqual(second.id, first.id)
  yield* arrives(service, "while there was none")
  simulator.deliver(email, { subject: "by the second" })
  yield* arrives(service, "by the second")

  // The provider forgets it and says nothing: found at the next renewal, which is a week away, so it is made due here.
  yield* quiet(service)
  assert.strictEqual(yield* service.stop, 0)
  assert.strictEqual((yield* watching(simulator)).id, second.id)
  simulator.dropSubscriptions(email)
  yield* installation.query((sql, table) => Effect.orDie(sql`update ${table("subscriptions")} set due_at = now()`))
  service = yield* installation.start()
  const third = yield* watching(simulator)
  assert.notStrictEqual(third.id, second.id)
  yield* quiet(service)

  // Lost notifications are made good by polling.
  simulator.configure({ notifications: "lost" })
  simulator.deliver(email, { subject: "polled" })
  yield* Effect.sleep("1 second")
  assert.isFalse(yield* isThere(service, "polled"))
  yield* quiet(service)
  assert.strictEqual(yield* service.stop, 0)
  yield* installation.query((sql, table) => Effect.orDie(sql`update ${table("accounts")} set sync_due_at = now()`))
  service = yield* installation.start()
  yield* arrives(service, "polled")
  simulator.configure({ notifications: "once" })
  yield* quiet(service)
  assert.strictEqual(yield* service.stop, 0)

  // Killed right after the 202, before anything came of it.
  service = yield* installation.start({ MAILFLEET_SCHEDULES: "off" })
  const before = simulator.notifications().acknowledged
  simulator.deliver(email, { subject: "survives" })
  yield* eventually(
    "it is acknowledged",
    Effect.sync(() => simulator.notifications().acknowledged),
    (acknowledged) => acknowledged > before,
  )
  yield* service.kill
  yield* installation.query(leasesEnd)
  service = yield* installation.start()
  yield* arrives(service, "survives")
  yield* quiet(service)

  // Killed between the creation at the provider and our knowing of it.
  yield* service.kill
  yield* installation.query((sql, table) =>
    Effect.orDie(
      sql`update ${table("subscriptions")} set remote_id = null, expires_at = null, begun_at = now(), due_at = now(),
        claimed_until = null`,
    ).pipe(Effect.andThen(leasesEnd(sql, table)))
  )
  service = yield* installation.start()
  const fourth = yield* eventually(
    "the orphan is replaced",
    Effect.sync(() => simulator.subscriptions(email)),
    (all) => all.length === 1 && all[0]!.id !== third.id,
  )
  assert.notStrictEqual(fourth[0]!.clientState, third.clientState)
  yield* quiet(service)
  simulator.deliver(email, { subject: "after all" })
  yield* arrives(service, "after all")
  assert.deepStrictEqual(simulator.counters().violations, {})
  assert.strictEqual(yield* service.stop, 0)
  assert.lengthOf(simulator.subscriptions(email), 1)
})

const engines = await usableEngines

describe("push", () => {
  for (const engine of engines) {
    it.live(`brings mail at once, and loses none whatever happens (${engine})`, () =>
      Effect.gen(function* () {
        const simulator = yield* make({ accounts: 1, messages: 30 })
        const installation = yield* install(engine, yield* serveSimulator(simulator), {
          MAILFLEET_PORT: String(yield* freePort),
          MAILFLEET_PUSH: "on",
          MAILFLEET_SYNC_EVERY: "1 day",
          MAILFLEET_SYNC_SPACING: "0 seconds",
        })
        yield* proof(installation, simulator)
      }), { concurrent: true, timeout: 180_000 })
  }
})
