/**
 * Thousands of deliveries to a receiver that refuses, hangs, hangs up, redirects to a private address, asks for pauses and is
 * dead for a while, from a process that is killed now and then. None may be lost, none come out of order for its account.
 */
import { PgClient } from "@effect/sql-pg"
import { Clock, Effect, Redacted, Ref, Schema, type Scope } from "effect"
import http from "node:http"
import type { AddressInfo } from "node:net"
import { WebhookWithSecret } from "../../src/api/Webhooks.ts"
import { Database } from "../../src/storage/Database.ts"
import { appendChanges } from "../../src/storage/mail/ChangeLog.ts"
import type { Engine } from "../support/engines.ts"
import { makeAccount } from "../support/mail.ts"
import { eventually, install, type Installation, leasesEnd, NotYet, type Service } from "../support/processes.ts"
import { type Answer, numbered, numbersOf, type Receiver, startReceiver, takenBy } from "../support/webhooks.ts"

export interface StormOptions {
  readonly engine: Engine
  readonly deliveries: number
  readonly accounts: number
  readonly kills: number
  readonly seed: number
}

export interface StormOutcome {
  readonly deliveries: number
  readonly kills: number
  readonly deaths: number
  /** Must be 0. */
  readonly lost: number
  /** Accounts whose deliveries came out of order; must be 0. */
  readonly disordered: number
  /** Must be 0. */
  readonly unsigned: number
  /** Requests that followed a redirect; must be 0. */
  readonly trapped: number
  readonly requests: number
  readonly refused: Readonly<Record<string, number>>
  /** Taken once more, though they had been taken. */
  readonly doubled: number
  /** Seconds, of which those of the process being down are a part. */
  readonly seconds: number
  /** Resident memory of the process in MiB: early, in the middle, late. */
  readonly memory: ReadonlyArray<number>
}

/** 0 to 1, the same for the same numbers. */
const share = (...numbers: ReadonlyArray<number>): number => {
  let hash = 0x811c9dc5
  for (const number of numbers) hash = Math.imul(hash ^ number, 0x01000193) ^ (hash >>> 13)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
}

const settings = {
  MAILFLEET_WEBHOOK_ALLOW_PRIVATE: "on",
  MAILFLEET_WEBHOOK_TIMEOUT: "500 millis",
  MAILFLEET_WEBHOOK_RETRY_AFTER: "20 millis",
  MAILFLEET_SYNC_EVERY: "1 day",
}

/** Whoever follows a redirect comes here. */
const startTrap: Effect.Effect<{ readonly url: string; readonly caught: () => number }, never, Scope.Scope> = Effect
  .gen(
    function* () {
      let caught = 0
      const server = yield* Effect.acquireRelease(
        Effect.promise(() =>
          new Promise<http.Server>((resolve) => {
            const server = http.createServer((_request, response) => {
              caught++
              response.end()
            })
            server.listen(0, "127.0.0.1", () => resolve(server))
          })
        ),
        (server) => Effect.sync(() => server.close()),
      )
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, caught: () => caught }
    },
  )

/** What the receiver does to a request: mostly it takes it. */
const badManners = (seed: number, trap: string) => {
  let requests = 0
  return (): Answer => {
    const fate = share(seed, ++requests)
    if (fate < 0.03) return 500
    if (fate < 0.035) return "hang"
    if (fate < 0.045) return "reset"
    if (fate < 0.055) return { status: 307, headers: { location: trap } }
    if (fate < 0.06) return { status: 429, headers: { "retry-after": "0.05" } }
    return 200
  }
}

const inDatabase = <A>(
  { engine, query, schema }: Installation,
  use: Effect.Effect<A, unknown, Database>,
): Effect.Effect<A> =>
  query((sql) =>
    Effect.orDie(
      use.pipe(
        Effect.provideServiceEffect(
          Database,
          Effect.provideService(Database.fromClient({ schema, engine }), PgClient.PgClient, sql),
        ),
      ),
    )
  )

/** A process that has ended by itself fails the storm, with what it said last. */
const memoryOf = ({ output, pid }: Service) =>
  Effect.try({
    try: () => Math.round(Number(/^VmRSS:\s*(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) / 1_024),
    catch: () => new NotYet({ message: `the process has ended: ${output().slice(-2_000)}` }),
  })

const middle = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0

const makeWebhook = Effect.fnUntraced(function* (service: Service, receiver: Receiver) {
  const made = yield* service.call(WebhookWithSecret, "/v1/webhooks", {
    method: "POST",
    status: 201,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: receiver.url }),
  })
  receiver.secrets.push(Redacted.value(made.secret))
  return made.id
})

/** What is given to the process between two kills. On the embedded engine only while it is down: that bears one process. */
const append = (installation: Installation, ids: ReadonlyArray<string>, from: number, count: number) =>
  inDatabase(
    installation,
    Effect.flatMap(Database, (database) =>
      Effect.forEach(
        Array.from({ length: Math.ceil(count / 10) }, (_, n) => n * 10),
        (n) =>
          database.sql.withTransaction(
            appendChanges(database, ids.flatMap((id) => numbered(id, from + n, Math.min(10, count - n)))),
          ),
        { discard: true },
      )),
  )

export const storm = Effect.fnUntraced(function* (options: StormOptions) {
  const { accounts, deliveries, engine, kills, seed } = options
  const receiver = yield* startReceiver
  const trap = yield* startTrap
  const installation = yield* install(engine, "http://127.0.0.1:1", settings)
  let service = yield* installation.start()
  yield* makeWebhook(service, receiver)
  yield* service.kill
  const ids = (yield* inDatabase(installation, Effect.forEach(Array.from({ length: accounts }), () => makeAccount({}))))
    .map(({ id }) => id)
  receiver.answer = badManners(seed, trap.url)

  const rounds = kills + 1
  const each = Math.ceil(deliveries / accounts / rounds)
  const total = each * rounds * accounts
  const begin = yield* Clock.currentTimeMillis
  const memory = yield* Ref.make<ReadonlyArray<number>>([])
  let deaths = 0
  const taken = Effect.sync(() => takenBy(receiver).length)
  for (let round = 0; round < rounds; round++) {
    yield* append(installation, ids, round * each, each)
    yield* installation.query(leasesEnd)
    service = yield* installation.start()
    const before = yield* taken
    // Somewhere in the middle of what there is; in the last round all of it.
    const until = round === rounds - 1 ? total : before + Math.floor(share(seed, 0x17, round) * each * accounts)
    const halfway = before + (until - before) / 2
    const look = Effect.tap(
      taken,
      () => Effect.flatMap(memoryOf(service), (mebibytes) => Ref.update(memory, (all) => [...all, mebibytes])),
    )
    yield* eventually("half of it arrives", Effect.delay(look, "50 millis"), (now) => now >= halfway, "10 minutes")
    if (share(seed, 0x18, round) < 0.6) {
      deaths++
      yield* receiver.die
      yield* Effect.sleep("1 second")
      yield* receiver.live
    }
    yield* eventually("it arrives", Effect.delay(look, "50 millis"), (now) => now >= until, "10 minutes")
    if (round < rounds - 1) yield* service.kill
  }
  const seconds = Math.round(((yield* Clock.currentTimeMillis) - begin) / 1_000)
  // What is known to have arrived is not sent again.
  yield* eventually(
    "nothing waits",
    service.call(
      Schema.Struct({ items: Schema.Array(Schema.Struct({ waiting: Schema.Int })) }),
      "/v1/webhooks",
    ),
    ({ items }) => items.every(({ waiting }) => waiting === 0),
  )
  const last = yield* Ref.get(memory)
  const part = (n: number) => middle(last.slice(Math.floor(last.length * n / 4), Math.floor(last.length * (n + 1) / 4)))
  const inOrder = (id: string) => numbersOf(receiver, id).every((number, index) => number === index)
  const isTaken = ({ answered }: Receiver["received"][number]) => answered === 200
  const refused: Record<string, number> = {}
  for (const { answered } of receiver.received) {
    const name = String(typeof answered === "object" ? answered.status : answered)
    if (name !== "200") refused[name] = (refused[name] ?? 0) + 1
  }
  yield* service.stop
  const outcome: StormOutcome = {
    deliveries: total,
    kills,
    deaths,
    lost: total - takenBy(receiver).length,
    disordered: ids.filter((id) => !inOrder(id)).length,
    unsigned: receiver.received.filter(({ signedWith }) => signedWith.length !== 1).length,
    trapped: trap.caught(),
    requests: receiver.received.length,
    refused,
    doubled: receiver.received.filter(isTaken).length - takenBy(receiver).length,
    seconds,
    memory: [part(0), part(2), part(3)],
  }
  return outcome
}, Effect.scoped)

export const isKept = ({ disordered, lost, trapped, unsigned }: StormOutcome): boolean =>
  lost === 0 && disordered === 0 && trapped === 0 && unsigned === 0
