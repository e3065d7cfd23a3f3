/** What befalls a running fleet from outside, and what came of it. */
import { Clock, Duration, Effect } from "effect"
import { Account } from "../../src/domain/Account.ts"
import type { Configuration } from "../../src/simulator/ControlPayloads.ts"
import { type FaultKind, make, type Simulator, type SimulatorOptions } from "../../src/simulator/Simulator.ts"
import {
  all,
  ended,
  eventually,
  install,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"
import { type Proxy, proxyTo, through } from "./proxy.ts"

export interface Stage {
  readonly simulator: Simulator
  readonly services: ReadonlyArray<Service>
  /** Between the processes and their database. */
  readonly proxy: Proxy
}

/** Processes on the Postgres at `databaseUrl`, with a fleet that is imported and refreshed by schedule. */
export const stageOn = Effect.fnUntraced(function* (
  databaseUrl: string,
  options: {
    readonly simulator: Partial<SimulatorOptions>
    readonly processes: number
    readonly settings: Record<string, string>
  },
) {
  const simulator = yield* make({ messages: 0, ...options.simulator })
  const origin = yield* serveSimulator(simulator)
  const { hostname, port } = new URL(databaseUrl)
  const proxy = yield* proxyTo({ hostname, port: Number(port === "" ? 5432 : port) })
  const installation = yield* install("postgres", origin, {
    DATABASE_URL: through(proxy, databaseUrl),
    MAILFLEET_SYNC_EVERY: "1 day",
    ...options.settings,
  })
  const services: Array<Service> = []
  for (let n = 0; n < options.processes; n++) services.push(yield* installation.start())
  const stage: Stage = { simulator, services, proxy }
  const imported = yield* upload(serviceOf(stage), [...simulator.importLines()].join(""))
  yield* ended(serviceOf(stage), imported.id)
  return stage
})

const serviceOf = ({ services }: Stage): Service => services[0]!

export interface Fault {
  readonly name: string
  /** What the provider makes of a spent token meanwhile: `strict` where no answer of its is kept from us. */
  readonly mode: "microsoft" | "strict"
  /** What `/health/ready` must say meanwhile, once a probe has had its time. */
  readonly ready: boolean | "either"
  readonly seconds: number
  readonly begin: Effect.Effect<void>
  readonly end: Effect.Effect<void>
}

export interface FaultOutcome {
  readonly fault: string
  /** Redemptions that the provider carried out meanwhile. */
  readonly redeemed: number
  /** Called dead while the provider holds the grant to be alive. Must be empty. */
  readonly wronglyDead: ReadonlyArray<string>
  /** Grants that the provider revoked, for an old token was shown to it. Must be empty. */
  readonly lost: ReadonlyArray<string>
  /** From the end of the fault until everybody was redeemed again, by schedule alone. */
  readonly recoveredAfterMillis: number | undefined
  /** Accounts that are not, and the seconds until the last of them is tried by itself. */
  readonly waiting: { readonly accounts: number; readonly longestSeconds: number }
  /** Outcomes of a refresh of all that was then asked for; undefined = none was needed. */
  readonly byHand: { readonly succeeded: number; readonly failed: number } | undefined
  /** Probes of `/health/ready` that told something else than what was so. Must be 0. */
  readonly falseProbes: number
  /** Processes that ended. Must be 0. */
  readonly ended: number
}

/** A probe waits 3 seconds for the database; the rest is the machine's. */
const probeMillis = 4_500

/** One look at `/health/ready`; true where it told what was so. */
const probe = Effect.fnUntraced(function* (service: Service, ready: Fault["ready"], began: number) {
  const asked = yield* Clock.currentTimeMillis
  const { status } = yield* service.send("/health/ready")
  // What was asked too early may still have been so.
  return ready === "either" || asked < began + probeMillis || (status === 200) === ready
})

/** Seconds until the first and the last of them. */
const spanOf = (millis: ReadonlyArray<number>) => ({
  soonestSeconds: millis.length === 0 ? 0 : Math.round(Math.min(...millis) / 1_000),
  longestSeconds: Math.round(Math.max(0, ...millis) / 1_000),
})

const fleetOf = (stage: Stage, since: number) =>
  Effect.gen(function* () {
    const revoked = new Set(stage.simulator.grants({ revoked: true }).map(({ email }) => email))
    const fleet = yield* all(serviceOf(stage), Account, "/v1/accounts")
    const now = yield* Clock.currentTimeMillis
    const waiting = fleet.filter(({ email, token }) =>
      !revoked.has(email) && (token.refreshedAt === null || token.refreshedAt.epochMilliseconds <= since)
    )
    return {
      waiting: waiting.length,
      ...spanOf(waiting.map(({ token }) => (token.nextRefreshAt?.epochMilliseconds ?? now) - now)),
      wronglyDead: fleet.filter(({ email, status }) =>
        !revoked.has(email) && (status === "needs_reauth" || status === "blocked")
      ).map(({ email }) => email),
      revoked: [...revoked],
    }
  })

const endedOnes = ({ services }: Stage): number =>
  services.filter(({ output }) => output().includes("\nended with")).length

/**
 * Lets a fault befall the fleet, and waits until everybody is redeemed again: at most `within`, and no longer than the
 * next tries of those who wait. Who is not is then asked for, as an operator would.
 */
export const befall = Effect.fnUntraced(function* (stage: Stage, fault: Fault, within: Duration.Input) {
  const { simulator } = stage
  const lostBefore = new Set(simulator.grants({ revoked: true }).map(({ email }) => email))
  simulator.configure({ mode: fault.mode })
  simulator.resetCounters()
  const began = yield* Clock.currentTimeMillis
  let falseProbes = 0
  yield* fault.begin
  yield* Effect.forEach(stage.services, (service) =>
    probe(service, fault.ready, began).pipe(
      Effect.tap((isTrue) => Effect.sync(() => void (falseProbes += isTrue ? 0 : 1))),
      Effect.delay("250 millis"),
      Effect.forever,
    ), { concurrency: "unbounded", discard: true }).pipe(Effect.timeoutOption(`${fault.seconds} seconds`))
  const redeemed = simulator.counters().redemptions
  yield* fault.end
  const endedAt = yield* Clock.currentTimeMillis

  const limit = endedAt + Duration.toMillis(within)
  const fleet = yield* eventually(
    "everybody is redeemed again",
    Effect.delay(fleetOf(stage, endedAt), "250 millis").pipe(Effect.retry({ times: 20 })),
    ({ soonestSeconds, waiting }) => waiting === 0 || Date.now() + soonestSeconds * 1_000 > limit,
    within,
  ).pipe(Effect.catchTag("NotYet", () => fleetOf(stage, endedAt)))
  const recoveredAt = yield* Clock.currentTimeMillis
  const byHand = fleet.waiting === 0 ? undefined : yield* refreshAll(stage)
  const { revoked, wronglyDead } = yield* fleetOf(stage, endedAt)
  return {
    fault: fault.name,
    redeemed,
    wronglyDead,
    lost: revoked.filter((email) => !lostBefore.has(email)),
    recoveredAfterMillis: fleet.waiting === 0 ? recoveredAt - endedAt : undefined,
    waiting: { accounts: fleet.waiting, longestSeconds: fleet.longestSeconds },
    byHand,
    falseProbes,
    ended: endedOnes(stage),
  } satisfies FaultOutcome
})

const refreshAll = Effect.fnUntraced(function* (stage: Stage) {
  const run = yield* startOverAll(serviceOf(stage), "refresh")
  const { failed, succeeded } = yield* ended(serviceOf(stage), run.id, "2 minutes")
  return { failed, succeeded }
})

/** What a provider, or something between it and us, may do to the token endpoint. */
export const misbehaviours = ({ simulator }: Stage, seconds: number): ReadonlyArray<Fault> => {
  const misbehaves = (name: string, how: Configuration, usual: Configuration): Fault => ({
    name: `the provider ${name}`,
    mode: "microsoft",
    ready: true,
    seconds,
    begin: Effect.sync(() => void simulator.configure(how)),
    end: Effect.sync(() => void simulator.configure(usual)),
  })
  const faulty = (name: string, kind: FaultKind) =>
    misbehaves(name, { faultRate: 1, faultKinds: [kind] }, { faultRate: 0 })
  const clock = (name: string, clockSkew: Duration.Duration) =>
    misbehaves(
      `${name}, and 429 with a date`,
      { clockSkew, retryAfterForm: "date", faultRate: 0.05, faultKinds: ["throttled"] },
      { clockSkew: Duration.zero, retryAfterForm: "seconds", faultRate: 0 },
    )
  return [
    faulty("hangs", "timeout"),
    faulty("resets the connection", "reset"),
    faulty("does its work and resets the connection", "lost"),
    faulty("answers 503", "unavailable"),
    faulty("answers 429", "throttled"),
    faulty("answers HTML with 200", "html"),
    faulty("answers 200 with an error", "error-200"),
    faulty("answers 400 in plain text", "plain"),
    faulty("answers half", "truncated"),
    faulty("answers slowly", "slow"),
    faulty("answers byte by byte", "drip"),
    clock("is 9 hours ahead", Duration.hours(9)),
    clock("is 9 hours behind", Duration.hours(-9)),
  ]
}

/** What may happen between the processes and their database, and nothing may come of it: not one token is lost. */
export const cuts = ({ proxy }: Stage, seconds: number): ReadonlyArray<Fault> => [
  {
    name: "the database refuses connections",
    mode: "strict",
    ready: false,
    seconds,
    begin: Effect.sync(() => proxy.refuse()),
    end: Effect.sync(() => proxy.restore()),
  },
  {
    name: "the network to the database stalls",
    mode: "strict",
    ready: false,
    seconds,
    begin: Effect.sync(() => proxy.stall()),
    end: Effect.sync(() => proxy.flow()),
  },
  {
    name: "its connections break, once",
    mode: "strict",
    ready: "either",
    seconds: 1,
    begin: Effect.sync(() => proxy.cut()),
    end: Effect.void,
  },
]
