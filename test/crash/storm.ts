/**
 * Everything at once: imports, refreshes and syncs on demand and by schedule, a provider that fails one request in five, and
 * a process that is killed in the middle of it, three times.
 *
 * As a script it prints what came of it, for one engine and mode or for all:
 *
 * ```sh
 * deno run -A test/crash/storm.ts
 * deno run -A test/crash/storm.ts postgres strict 200
 * ```
 */
import { Console, Data, Effect, References, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { type Run, RunItem } from "../../src/domain/Run.ts"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import type { Violation } from "../../src/simulator/Violations.ts"
import type { Engine } from "../support/engines.ts"
import {
  all,
  ended,
  eventually,
  install,
  runOf,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"
import { kill, type Stage } from "./kill.ts"

export interface StormOptions {
  readonly engine: Engine
  readonly mode: "microsoft" | "strict"
  readonly accounts: number
  /** Messages of each mailbox. */
  readonly messages: number
  /** Share of requests that meet a fault. */
  readonly faultRate: number
  /** Whether leases of dead processes are left to end by themselves. */
  readonly waits: boolean
}

export interface Summary {
  readonly engine: Engine
  readonly mode: "microsoft" | "strict"
  readonly seconds: number
  readonly accounts: Readonly<Record<string, number>>
  /** Accounts whose newest token was on the wire at a kill, and never stored. */
  readonly lost: number
  /** Accounts that need a new sign-in: those that were lost so, and others. */
  readonly dead: { readonly lost: number; readonly others: ReadonlyArray<string> }
  readonly requests: { readonly token: number; readonly graph: number; readonly faults: number }
  readonly redemptions: number
  /** Most requests at once. */
  readonly peaks: { readonly token: number; readonly graph: number; readonly mailbox: number }
  /** Other than those that are counted below. */
  readonly violations: ReadonlyArray<Violation>
  /** Old tokens shown again, of accounts that were lost at a kill. */
  readonly shownAgain: number
  /** Requests that were sent before the process had read that it was to wait. */
  readonly underWay: number
  /** Requests of a process that was started before a pause was over: pauses die with the process that was asked for them. */
  readonly forgottenPauses: number
  /** Items of all runs by kind of run, outcome and, where it failed, code. */
  readonly items: Readonly<Record<string, number>>
  /** Accounts whose stored mail differs from the mailbox, in number. */
  readonly outOfStep: ReadonlyArray<string>
  /** Messages whose arrival the change log tells more than once. */
  readonly createdTwice: number
}

/** Work of every kind at its default concurrency: imports and refreshes 5 each, schedules 10, syncs 5. */
export const mostTokenRequests = 5 + 5 + 10 + 5
export const mostGraphRequests = 5 * 4

/** Milliseconds that the provider asks to wait. */
const retryAfter = 2_000

/** Milliseconds that an answer may take, on a busy machine, until the process has read it. */
const lag = 500

/** Reads what the simulator saw from one kill to the next. */
class Observer {
  requests = { token: 0, graph: 0, faults: 0 }
  redemptions = 0
  peaks = { token: 0, graph: 0, mailbox: 0 }
  readonly violations: Array<Violation> = []

  constructor(private readonly simulator: Simulator) {}

  /** Call it while nothing is under way. */
  note(): void {
    const { graph, mailboxes, redemptions, token } = this.simulator.counters()
    const faults = (statuses: Readonly<Record<string, number>>) =>
      Object.entries(statuses).reduce((sum, [status, count]) => {
        const code = Number(status)
        return code <= 0 || code === 429 || code >= 500 ? sum + count : sum
      }, 0)
    this.requests = {
      token: this.requests.token + token.requests,
      graph: this.requests.graph + graph.requests,
      faults: this.requests.faults + faults(token.statuses) + faults(graph.statuses),
    }
    this.redemptions += redemptions
    this.peaks = {
      token: Math.max(this.peaks.token, token.peak),
      graph: Math.max(this.peaks.graph, graph.peak),
      mailbox: Math.max(this.peaks.mailbox, mailboxes.peak),
    }
    this.violations.push(...this.simulator.violations().list)
    this.simulator.resetCounters()
  }
}

const tally = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** Runs one storm to its end. */
export const storm = Effect.fnUntraced(function* (options: StormOptions) {
  const began = Date.now()
  const { accounts, engine, faultRate, messages, mode } = options
  const simulator = yield* make({
    accounts,
    messages,
    mode,
    faultRate,
    apps: 4,
    latency: "50 millis",
    hangLimit: "1 second",
    retryAfter,
  })
  const observer = new Observer(simulator)
  const installation = yield* install(engine, yield* serveSimulator(simulator), {
    MAILFLEET_SYNC_SPACING: "0 seconds",
    // Twenty rounds a second and more are asked of five lanes otherwise, and the run's syncs get half of them.
    MAILFLEET_SYNC_EVERY: `${Math.max(10, accounts / 2)} seconds`,
    MAILFLEET_REFRESH_EVERY: "20 seconds",
  })
  const runs: Array<string> = []

  const kills: Array<number> = []
  /** Says in a trace how far the storm is, and after how long. */
  const tell = (what: string) => Effect.logDebug(`${Math.round((Date.now() - began) / 1_000)} s: ${what}`)
  const stage: Stage = { installation, simulator, lost: [] }
  const crash = Effect.fnUntraced(function* (service: Service) {
    kills.push(Date.now())
    yield* kill(stage, service, { ages: !options.waits, concurrency: mostTokenRequests })
    observer.note()
    yield* tell("killed")
  })
  const told = (run: Run) => tell(`${run.kind} ${run.state} ${run.processed} of ${run.total}, ${run.failed} failed`)
  const reaches = (service: Service, id: string, share: number) =>
    eventually("the run goes on", runOf(service, id), (run) => run.processed >= run.total * share, "5 minutes").pipe(
      Effect.tap(told),
    )
  const ends = (service: Service, id: string) => Effect.tap(ended(service, id, "10 minutes"), told)

  const half = Math.floor(accounts / 2)
  const fileOf = (from: number, count: number) => [...simulator.importLines({ from, count })].join("")

  let service = yield* installation.start()
  const first = yield* upload(service, fileOf(0, half))
  yield* reaches(service, first.id, 0.4)
  yield* crash(service)

  service = yield* installation.start()
  const second = yield* upload(service, fileOf(half, accounts - half))
  const refresh = yield* startOverAll(service, "refresh")
  const sync = yield* startOverAll(service, "sync")
  runs.push(first.id, second.id, refresh.id, sync.id)
  yield* reaches(service, refresh.id, 0.3)
  yield* crash(service)

  service = yield* installation.start()
  yield* reaches(service, sync.id, 0.5)
  yield* crash(service)

  service = yield* installation.start()
  for (const id of runs) yield* ends(service, id)

  // The weather clears. What failed for the time being is made good.
  simulator.configure({ faultRate: 0 })
  for (const kind of ["refresh", "sync"] as const) {
    const run = yield* startOverAll(service, kind)
    runs.push(run.id)
    yield* ends(service, run.id)
  }
  const fleet = yield* all(service, Account, "/v1/accounts")
  const items = yield* Effect.forEach(runs, (id) =>
    Effect.gen(function* () {
      const { kind } = yield* runOf(service, id)
      const items = yield* all(service, RunItem, `/v1/runs/${id}/items`)
      return items.map(({ error, outcome }) => `${kind} ${outcome}${error === undefined ? "" : ` ${error.code}`}`)
    }))
  const exit = yield* service.stop
  if (exit !== 0) return yield* new StormFailed({ message: `the process ended with ${exit}` })
  observer.note()

  const mail = yield* installation.query((sql, table) =>
    Effect.all({
      created: sql<{ message_id: string }>`select message_id from ${table("changes")}
        where kind = 'message.created' group by message_id having count(*) > 1`,
      stored: sql<{ email: string; ids: ReadonlyArray<string> }>`select a.email, array_agg(m.remote_id) as ids
        from ${table("accounts")} a left join ${table("messages")} m on m.account_id = a.id group by a.email`,
    })
  )
  const dead = fleet.filter(({ status }) => status === "needs_reauth").map(({ email }) => email)
  const alive = new Set(fleet.filter(({ status }) => status === "active").map(({ email }) => email))
  const outOfStep = mail.stored.filter(({ email, ids }) => {
    const expected = simulator.mailbox(email).messages.map(({ id }) => id).sort()
    return alive.has(email) && [...ids].sort().join() !== expected.join()
  }).map(({ email }) => email)
  const lost = new Set(stage.lost)
  const isShownAgain = ({ email, kind }: Violation) =>
    kind === "reused-refresh-token" && email !== undefined && lost.has(email)
  const isForgotten = ({ at, kind }: Violation) =>
    kind === "before-retry-after" && kills.some((kill) => at >= kill && at < kill + retryAfter)
  const isUnderWay = ({ after, kind }: Violation) => kind === "before-retry-after" && after !== undefined && after < lag
  const summary: Summary = {
    engine,
    mode,
    seconds: Math.round((Date.now() - began) / 100) / 10,
    accounts: tally(fleet.map(({ status }) => status)),
    dead: {
      lost: dead.filter((email) => lost.has(email)).length,
      others: dead.filter((email) => !lost.has(email)),
    },
    lost: stage.lost.length,
    requests: observer.requests,
    redemptions: observer.redemptions,
    peaks: observer.peaks,
    violations: observer.violations.filter((violation) =>
      !isShownAgain(violation) && !isForgotten(violation) && !isUnderWay(violation)
    ),
    underWay: observer.violations.filter((violation) => !isForgotten(violation) && isUnderWay(violation)).length,
    forgottenPauses: observer.violations.filter(isForgotten).length,
    shownAgain: observer.violations.filter(isShownAgain).length,
    items: tally(items.flat()),
    outOfStep,
    createdTwice: mail.created.length,
  }
  return summary
}, Effect.scoped)

class StormFailed extends Data.TaggedError("StormFailed")<{ readonly message: string }> {}

const Engines = Schema.Literals(["postgres", "embedded"])
const Modes = Schema.Literals(["microsoft", "strict"])

if (import.meta.main) {
  const [engine, mode, accounts] = Deno.args
  const engines = engine === undefined ? Engines.literals : [Schema.decodeUnknownSync(Engines)(engine)]
  const modes = mode === undefined ? Modes.literals : [Schema.decodeUnknownSync(Modes)(mode)]
  const all = engines.flatMap((engine) => modes.map((mode) => ({ engine, mode })))
  const storms = Effect.forEach(all, (one) =>
    Effect.flatMap(
      storm({ ...one, accounts: Number(accounts ?? 200), messages: 60, faultRate: 0.2, waits: true }),
      (summary) => Console.log(JSON.stringify(summary, null, 2)),
    ))
  await Effect.runPromise(Effect.provideService(storms, References.MinimumLogLevel, "Debug"))
}
