/** Three processes of a cluster under load of every kind, each in a network of its own, and what came of a fault. */
import { Data, type DateTime, Duration, Effect, Fiber, Redacted, Schedule } from "effect"
import { WebhookWithSecret } from "../../src/api/Webhooks.ts"
import { Account } from "../../src/domain/Account.ts"
import type { Change } from "../../src/domain/Mail.ts"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import { makeNetwork, type Network } from "../support/network.ts"
import { type OwnPostgres, ownPostgres, postgresBinaries } from "../support/postgres.ts"
import {
  all,
  ended,
  eventually,
  hasEnded,
  install,
  runOf,
  serveSimulator,
  type Service,
  startCluster,
  startOverAll,
  upload,
} from "../support/processes.ts"
import { replay } from "../support/remote.ts"
import { addressOf, simulatedBox } from "../support/remoteSimulated.ts"
import { type Receiver, startReceiverAt, takenBy } from "../support/webhooks.ts"
import { differencesOf, logOf, type Operation, Owner, quietRounds, random } from "./equality.ts"
import { isOnTheWire, leasedGrants, type ShownAgain, watchTokens } from "./clusterTokens.ts"

export interface ClusterStage {
  readonly network: Network
  readonly postgres: OwnPostgres
  /** The last one is the victim, the first is asked. */
  readonly services: ReadonlyArray<Service>
  readonly victim: { readonly n: number; readonly service: Service }
  /** A file with the seconds by which the victim's clock is off; undefined = it cannot be set. */
  readonly clock: string | undefined
}

export interface ClusterFault {
  readonly name: string
  /** How long it lasts. */
  readonly seconds: number
  readonly begin: (stage: ClusterStage) => Effect.Effect<void>
  readonly end: (stage: ClusterStage) => Effect.Effect<void>
  /** Nobody can work while it lasts: the takeover is counted from its end. */
  readonly stopsAll?: boolean
  /** The victim's clock is to be set. */
  readonly wantsClock?: boolean
}

export interface ClusterOutcome {
  readonly fault: string
  readonly seconds: number
  /** Called dead while the provider holds the grant to be alive. Must be empty. */
  readonly wronglyDead: ReadonlyArray<string>
  /** Redemptions of one grant by two at once. Must be 0. */
  readonly twice: number
  /** Accounts whose old token was shown again, by whom and when, in milliseconds since the fault. Must be empty. */
  readonly shownAgain: ReadonlyArray<string>
  /**
   * Those whose grant was leased when the fault came, and whose answer could not be stored for it: nobody can help that a strict
   * provider takes the next request for a theft.
   */
  readonly onTheWire: number
  /** Lines of mailboxes that are not stored, or stored and not there, or not as the log tells. Must be empty. */
  readonly differences: ReadonlyArray<string>
  /** Entries of the log that do not follow from those before, such as a message that comes twice. Must be empty. */
  readonly logFaults: ReadonlyArray<string>
  /** Changes of messages that the webhook was never told of. Must be 0. */
  readonly untold: number
  /** Runs that did not end. Must be 0. */
  readonly stuck: number
  /** Most requests to one mailbox at once. */
  readonly mailboxPeak: number
  /** Until every account has been redeemed and synced anew, runs included. */
  readonly takeoverSeconds: number | undefined
  /** What was waited for last. */
  readonly last: string
}

class NoStage extends Data.TaggedError("NoStage")<{ readonly message: string }> {}

export interface ClusterOptions {
  readonly accounts: number
  readonly seed: number
  /** A folder for what the processes write, to be read where something went wrong. Default: nowhere. */
  readonly logs?: string | undefined
}

const fakeTime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

/** Wants to be installed: `apt-get install faketime`. */
export const hasFakeTime = (): boolean => {
  try {
    return Deno.statSync(fakeTime).isFile
  } catch {
    return false
  }
}

/** Settings by which a process's clock is off by what a file says. Only the clock that people set: waits are not touched. */
const withClock = (file: string): Record<string, string> => ({
  LD_PRELOAD: fakeTime,
  FAKETIME_TIMESTAMP_FILE: file,
  FAKETIME_CACHE_DURATION: "1",
  FAKETIME_DONT_FAKE_MONOTONIC: "1",
})

/** Runs that must have ended by then. */
const patience = Duration.minutes(4)
/** Schedules that a healthy fleet keeps in a few seconds more. */
const every = "10 seconds"
/** A lease that was asked for before the fault is there by then. */
const leasing = "500 millis"

/** What is done to mailboxes meanwhile, by share. */
const load: ReadonlyArray<Operation> = ["deliver", "deliver", "deliver", "read", "flag", "move", "move", "remove"]

/** Lets one fault befall a fresh cluster, waits until all goes on, and compares everything. */
export const befallCluster = Effect.fnUntraced(function* (
  fault: ClusterFault,
  { accounts, logs, seed }: ClusterOptions,
) {
  const begun = performance.now()
  const binaries = postgresBinaries()
  if (binaries === undefined) return yield* new NoStage({ message: "no initdb under /usr/lib/postgresql" })
  if (fault.wantsClock && !hasFakeTime()) return yield* new NoStage({ message: "apt-get install faketime" })
  const processes = 3
  const network = yield* makeNetwork(processes)
  const postgres = yield* ownPostgres(binaries, { host: network.databaseHost, disk: 500 })
  const simulator = yield* make({
    accounts,
    messages: 8,
    mode: "strict",
    latency: "60 millis",
    watchDelivery: true,
    seed,
  })
  const tokens = watchTokens()
  const origin = yield* serveSimulator(simulator, tokens.wrap, network.host)
  const receiver = yield* startReceiverAt(network.host)
  const installation = yield* install("postgres", origin, {
    DATABASE_URL: postgres.url,
    MAILFLEET_SYNC_SPACING: "0 seconds",
    MAILFLEET_SYNC_EVERY: every,
    MAILFLEET_REFRESH_EVERY: every,
    MAILFLEET_WEBHOOK_ALLOW_PRIVATE: "on",
    MAILFLEET_CLUSTER_PORT: "34431",
  })
  const clock = fault.wantsClock ? `${installation.folder}/clock` : undefined
  if (clock !== undefined) yield* Effect.promise(() => Deno.writeTextFile(clock, "+0\n"))
  const settings = Array.from({ length: processes }, (_, n) => ({
    MAILFLEET_HOST: network.hostOf(n),
    MAILFLEET_CLUSTER_HOST: network.hostOf(n),
    ...(clock !== undefined && n === processes - 1 ? withClock(clock) : {}),
  }))
  const services = yield* startCluster(installation, settings, network.within)
  const leasedNow = yield* leasedGrants(postgres.url, installation.schema)
  if (logs !== undefined) {
    const name = (n: number) => `${logs}/${fault.name.replaceAll(/\W+/g, "-")}.${seed}.${n}.log`
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => Promise.all(services.map(({ output }, n) => Deno.writeTextFile(name(n), output()))))
    )
  }
  const [asked, victim] = [services[0]!, services[processes - 1]!]
  const stage: ClusterStage = { network, postgres, services, victim: { n: processes - 1, service: victim }, clock }

  const { secret } = yield* asked.call(WebhookWithSecret, "/v1/webhooks", {
    method: "POST",
    status: 201,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ url: receiver.url, origins: ["live", "backfill", "reconcile"] }),
  })
  receiver.secrets.push(Redacted.value(secret))
  const half = Math.floor(accounts / 2)
  const fileOf = (from: number, count: number) => [...simulator.importLines({ from, count })].join("")
  yield* ended(asked, (yield* upload(asked, fileOf(0, half))).id)

  const chance = random(seed)
  const owners = Array.from(
    { length: accounts },
    (_, n) => new Owner(simulatedBox(simulator, addressOf(n + 1, "graph"), "graph"), chance),
  )
  yield* Effect.forEach(owners, ({ look }) => look)
  let operations = 0
  const mail = yield* Effect.suspend(() =>
    owners[Math.floor(chance() * owners.length)]!.act(load[Math.floor(chance() * load.length)]!, ++operations)
  ).pipe(Effect.andThen(Effect.sleep("100 millis")), Effect.forever, Effect.forkScoped)

  // Whichever process takes them up, each has some of it in hand when the fault comes.
  const runs = [
    yield* upload(services[1]!, fileOf(half, accounts - half)),
    yield* startOverAll(victim, "refresh"),
    yield* startOverAll(victim, "sync"),
  ]
  yield* Effect.sleep("1500 millis")
  simulator.resetCounters()
  const leased = new Set(yield* leasedNow)
  const began = Date.now()
  yield* fault.begin(stage)
  const noteLeased = Effect.map(leasedNow, (emails) => emails.forEach((email) => leased.add(email)))
  yield* noteLeased
  const over = yield* Effect.forkScoped(
    Effect.andThen(Effect.sleep(`${fault.seconds} seconds`), fault.end(stage)),
  )
  yield* Effect.sleep(leasing)
  yield* noteLeased
  if (fault.stopsAll) yield* Fiber.join(over)
  const since = fault.stopsAll ? Date.now() : began
  const { last, seconds: takeoverSeconds } = yield* goesOn(asked, runs.map(({ id }) => id), simulator, accounts, since)
  yield* Fiber.join(over)
  yield* Fiber.interrupt(mail)

  const states = yield* Effect.forEach(runs, ({ id }) => runOf(asked, id))
  const revoked = new Set(simulator.grants({ revoked: true }).map(({ email }) => email))
  const alive = accounts - revoked.size
  const quietSince = Date.now()
  yield* quietRounds(asked, alive, 2)
  for (const { email } of simulator.grants({ revoked: true })) revoked.add(email)
  const fleet = yield* all(asked, Account, "/v1/accounts")
  const log = yield* logOf(asked)
  const untold = yield* untoldTo(receiver, log)
  const mailboxPeak = simulator.counters().mailboxes.peak
  const compared = yield* Effect.forEach(owners, ({ box }) => {
    const account = fleet.find(({ email }) => email === box.email)
    if (account === undefined) return Effect.succeed({ differences: [`${box.email} is not an account`], faults: [] })
    const stale = (account.sync.syncedAt?.epochMilliseconds ?? 0) < quietSince ? [`${box.email} was not synced`] : []
    const { faults, folders } = replay(log.filter(({ accountId }) => accountId === account.id))
    return revoked.has(box.email) ? Effect.succeed({ differences: [], faults }) : Effect.map(
      differencesOf(asked, box, account, folders),
      ({ differences }) => ({ differences: [...stale, ...differences], faults }),
    )
  })
  const again = tokens.shownAgain()
  const isBefallen = (host: string) => fault.stopsAll === true || host === network.hostOf(stage.victim.n)
  const onTheWire = again.filter((one) => isOnTheWire(one, leased, isBefallen))
  const told = ({ email, first, second }: ShownAgain) =>
    `${email}: by ${first.host} at ${first.at - began}, by ${second.host} at ${second.at - began}` +
    (leased.has(email) ? "" : ", not leased")
  return {
    fault: fault.name,
    seconds: Math.round((performance.now() - begun) / 1_000),
    wronglyDead: fleet.filter(({ email, status }) => status !== "active" && !revoked.has(email)).map(({ email }) =>
      email
    ),
    twice: tokens.overlaps(),
    shownAgain: again.filter((one) => !onTheWire.includes(one)).map(told),
    onTheWire: onTheWire.length,
    differences: compared.flatMap(({ differences }) => differences),
    logFaults: compared.flatMap(({ faults }) => faults),
    untold,
    stuck: states.filter((run) => !hasEnded(run)).length,
    mailboxPeak,
    takeoverSeconds,
    last,
  } satisfies ClusterOutcome
}, Effect.scoped)

/**
 * Seconds until all runs have ended, and each account that lives has been redeemed and synced since; undefined = too many. And
 * what was not so when it was looked at for the last time before.
 */
const goesOn = (asked: Service, runs: ReadonlyArray<string>, simulator: Simulator, accounts: number, since: number) => {
  let last = ""
  const look = Effect.gen(function* () {
    const states = yield* Effect.forEach(runs, (id) => runOf(asked, id))
    const fleet = yield* all(asked, Account, "/v1/accounts")
    const revoked = new Set(simulator.grants({ revoked: true }).map(({ email }) => email))
    const isBefore = (at: DateTime.Utc | null | undefined) => (at?.epochMilliseconds ?? 0) <= since
    const alive = fleet.filter(({ email }) => !revoked.has(email))
    const seen = {
      runs: states.filter((run) => !hasEnded(run)).map(({ kind }) => kind),
      missing: accounts - fleet.length,
      notRedeemed: alive.filter(({ token }) => isBefore(token.refreshedAt)).map(({ email }) => email),
      notSynced: alive.filter(({ sync }) => isBefore(sync.syncedAt)).map(({ email }) => email),
    }
    const isDone = seen.missing === 0 &&
      [seen.runs, seen.notRedeemed, seen.notSynced].every(({ length }) => length === 0)
    if (!isDone) last = JSON.stringify(seen)
    return { ...seen, isDone }
  }).pipe(Effect.retry({ times: 40, schedule: Schedule.spaced("250 millis") }), Effect.delay("250 millis"))
  return eventually(
    "the fleet goes on",
    look,
    ({ isDone }) => isDone,
    patience,
  ).pipe(
    Effect.map(() => Math.round((Date.now() - since) / 100) / 10),
    Effect.catchTag("NotYet", ({ message }) => Effect.as(Effect.logWarning(message), undefined)),
    Effect.map((seconds) => ({ seconds, last })),
  )
}

/** How many changes of messages the receiver was not told of; it has its time. */
const untoldTo = (receiver: Receiver, log: ReadonlyArray<Change>) =>
  eventually(
    "the webhook is told everything",
    Effect.sync(() => untoldOf(receiver, log)),
    (untold) => untold === 0,
    "2 minutes",
  ).pipe(Effect.catchTag("NotYet", () => Effect.sync(() => untoldOf(receiver, log))))

const untoldOf = (receiver: Receiver, log: ReadonlyArray<Change>): number => {
  const told = new Set(takenBy(receiver).map(({ data }) => data.position))
  return log.filter(({ messageId, position }) => messageId !== undefined && !told.has(position)).length
}
