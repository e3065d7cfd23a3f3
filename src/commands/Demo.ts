/** `demo`: the four jobs, on real storage, against a provider that runs in the same process, each measured. */
import { Console, DateTime, Duration, Effect, Layer, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import type { RunId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import * as BackgroundRefresh from "../schedules/BackgroundRefresh.ts"
import * as BackgroundSync from "../schedules/BackgroundSync.ts"
import { make as makeSimulator, type Simulator } from "../simulator/Simulator.ts"
import { Accounts } from "../storage/Accounts.ts"
import { Changes } from "../storage/mail/Changes.ts"
import { Messages } from "../storage/mail/Messages.ts"
import { Runs } from "../storage/runs/Runs.ts"
import { floorMillis, table, type Timing } from "./DemoTable.ts"
import { CommandError, untilSignal } from "./ExitCode.ts"
import { listen, serve } from "./Listener.ts"
import { layerLog, layerProcess, toCommandError } from "./Process.ts"
import * as Progress from "./Progress.ts"

const mailboxes = 100
const fleet = 1_000
const messagesEach = 10

/** At real scale a token takes a second and lanes wait two; the short demo has the same shape, ten times faster. */
const scale = (full: boolean) =>
  full ? { latencyMillis: 1_000, spacingMillis: 2_000 } : { latencyMillis: 100, spacingMillis: 200 }

interface Stage {
  readonly simulator: Simulator
  readonly latencyMillis: number
  readonly spacingMillis: number
}

/** Follows a run with a progress bar, and answers how long it took from the request on. */
const followRun = (
  label: string,
  total: number,
  start: Effect.Effect<{ readonly id: RunId }, CommandError, RunRequests>,
) =>
  Effect.scoped(Effect.gen(function* () {
    const runs = yield* Runs
    const progress = yield* Progress.make({ label, total })
    const [took, end] = yield* Effect.timed(Effect.gen(function* () {
      const { id } = yield* start
      while (true) {
        const run = Option.getOrThrow(yield* runs.get(id))
        yield* progress.update(run)
        if (run.state !== "queued" && run.state !== "running") return run
        yield* Effect.sleep("50 millis")
      }
    }))
    yield* progress.done
    if (end.failed > 0 || end.state !== "completed") {
      return yield* new CommandError({ message: `${label}: ${end.failed} of ${end.total} failed, ${end.state}` })
    }
    return Duration.toMillis(took)
  }))

/** Runs a schedule until `left` says that nothing is left, and answers how long that took. */
const followSchedule = <R>(
  label: string,
  total: number,
  schedule: Layer.Layer<never, never, R>,
  left: Effect.Effect<number, never, Accounts>,
) =>
  Effect.scoped(Effect.gen(function* () {
    const progress = yield* Progress.make({ label, total })
    const [took] = yield* Effect.timed(Effect.scoped(Effect.gen(function* () {
      yield* Layer.build(schedule)
      while (true) {
        const rest = yield* left
        yield* progress.update({ processed: total - rest, succeeded: total - rest, failed: 0, skipped: 0 })
        if (rest === 0) return
        yield* Effect.sleep("100 millis")
      }
    })))
    yield* progress.done
    return Duration.toMillis(took)
  }))

const importRows = (simulator: Simulator, from: number, count: number, verify: boolean) =>
  Effect.gen(function* () {
    const requests = yield* RunRequests
    const [header, ...lines] = simulator.importLines()
    const body = new TextEncoder().encode([header, ...lines.slice(from, from + count)].join(""))
    return yield* requests.import(Stream.make(body), {
      format: "csv",
      onDuplicate: "skip",
      dryRun: false,
      verify,
      tags: ["demo"],
    }, {
      trigger: "library",
    })
  }).pipe(Effect.catch((error) => Effect.fail(new CommandError({ message: `the import was refused: ${error._tag}` }))))

const refreshAll = Effect.gen(function* () {
  const requests = yield* RunRequests
  return yield* requests.refresh({ _tag: "Filter", filter: {} }, { trigger: "library" })
}).pipe(Effect.catch(() => Effect.fail(new CommandError({ message: "the refresh was refused" }))))

const notSyncedSince = (since: DateTime.Utc) =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const { items } = yield* Effect.orDie(accounts.list({ limit: 500 }))
    return items.filter(({ sync }) => sync.syncedAt === null || DateTime.isLessThan(sync.syncedAt, since)).length
  })

/** New mail at the provider is seen to arrive in the store. */
const showNewMail = (stage: Stage) =>
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const changes = yield* Changes
    const messages = yield* Messages
    const { items } = yield* Effect.orDie(accounts.list({ limit: 3 }))
    let after = yield* endOfLog
    for (const { email } of items) stage.simulator.deliver(email, { subject: `A new message for ${email}` })
    yield* Console.log(`\n${items.length} new messages at the provider; they arrive in the store:`)
    yield* accounts.bringForward("sync")
    yield* Effect.scoped(Effect.gen(function* () {
      yield* Layer.build(BackgroundSync.layer)
      let arrived = 0
      while (arrived < items.length) {
        const page = yield* Effect.orDie(changes.list({ after, limit: 100 }))
        after = page.nextCursor
        for (const change of page.items) {
          if (change.kind !== "message.created" || change.messageId === undefined) continue
          const message = Option.getOrThrow(yield* messages.get(change.messageId))
          yield* Console.log(`  ${change.position}  ${change.kind} (${change.origin})  ${message.subject}`)
          arrived++
        }
        yield* Effect.sleep("50 millis")
      }
    }))
  }).pipe(
    Effect.timeout("60 seconds"),
    Effect.catch(() => Effect.fail(new CommandError({ message: "new mail did not arrive" }))),
  )

const endOfLog = Effect.gen(function* () {
  const changes = yield* Changes
  let page = yield* Effect.orDie(changes.list({ limit: 500 }))
  while (page.items.length === 500) page = yield* Effect.orDie(changes.list({ after: page.nextCursor, limit: 500 }))
  return page.nextCursor
})

/** The default numbers, written out: the floors are reckoned from them. */
const concurrency = {
  importConcurrency: 5,
  refreshConcurrency: 5,
  backgroundRefreshConcurrency: 10,
  syncConcurrency: 5,
} as const

const jobs = Effect.fn("Demo.jobs")(function* (stage: Stage) {
  const { latencyMillis, spacingMillis, simulator } = stage
  const accounts = yield* Accounts
  const timings: Array<Timing> = []

  timings.push({
    job: "import",
    accounts: mailboxes,
    oneByOneMillis: mailboxes * latencyMillis,
    floorMillis: floorMillis(mailboxes, concurrency.importConcurrency, latencyMillis),
    measuredMillis: yield* followRun("import", mailboxes, importRows(simulator, 0, mailboxes, true)),
    seenAtOnce: simulator.counters().token.peak,
    allowedAtOnce: concurrency.importConcurrency,
  })

  simulator.resetCounters()
  timings.push({
    job: "refresh",
    accounts: mailboxes,
    oneByOneMillis: mailboxes * latencyMillis,
    floorMillis: floorMillis(mailboxes, concurrency.refreshConcurrency, latencyMillis),
    measuredMillis: yield* followRun("refresh", mailboxes, refreshAll),
    seenAtOnce: simulator.counters().token.peak,
    allowedAtOnce: concurrency.refreshConcurrency,
  })

  simulator.resetCounters()
  yield* accounts.bringForward("sync")
  const measuredSync = yield* followSchedule(
    "background sync",
    mailboxes,
    BackgroundSync.layer,
    notSyncedSince(yield* DateTime.now),
  )
  const { graph, mailboxes: seen } = simulator.counters()
  // What no client can beat: the waiting of the lanes, and the requests at four at once in each of the mailboxes in work.
  const work = (graph.requests * latencyMillis) / (concurrency.syncConcurrency * 4)
  timings.push({
    job: "background sync",
    accounts: mailboxes,
    oneByOneMillis: mailboxes * spacingMillis + graph.requests * latencyMillis,
    floorMillis: floorMillis(mailboxes, concurrency.syncConcurrency, 0, spacingMillis) + work,
    measuredMillis: measuredSync,
    seenAtOnce: seen.peak,
    allowedAtOnce: 4,
  })
  yield* showNewMail(stage)
  yield* Console.log("")

  yield* followRun(
    "import of the rest, unverified",
    fleet - mailboxes,
    importRows(simulator, mailboxes, fleet - mailboxes, false),
  )
  simulator.resetCounters()
  const since = yield* DateTime.now
  yield* accounts.bringForward("refresh")
  const left = Effect.suspend(() => {
    const asked = simulator.counters().redemptions
    return asked < fleet
      ? Effect.succeed(fleet - asked)
      : Effect.map(Effect.orDie(accounts.list({ refreshedBefore: since, limit: 500 })), ({ items }) => items.length)
  })
  timings.push({
    job: "background refresh",
    accounts: fleet,
    oneByOneMillis: fleet * latencyMillis,
    floorMillis: floorMillis(fleet, concurrency.backgroundRefreshConcurrency, latencyMillis),
    measuredMillis: yield* followSchedule("background refresh", fleet, BackgroundRefresh.layer, left),
    seenAtOnce: simulator.counters().token.peak,
    allowedAtOnce: concurrency.backgroundRefreshConcurrency,
  })
  return timings
})

const run = (options: { readonly full: boolean; readonly stay: boolean }) =>
  Effect.gen(function* () {
    const { latencyMillis, spacingMillis } = scale(options.full)
    const simulator = yield* makeSimulator({ accounts: fleet, latency: latencyMillis, messages: messagesEach })
    const provider = yield* serve({ host: "127.0.0.1", port: 0 }, simulator.handler)
    const dataDir = yield* Effect.acquireRelease(
      Effect.sync(() => Deno.makeTempDirSync({ prefix: "mailfleet-demo-" })),
      (folder) => Effect.sync(() => Deno.removeSync(folder, { recursive: true })),
    )
    yield* Console.log("Starting an embedded database, a simulated provider and the service …")
    yield* Effect.gen(function* () {
      const settings = yield* Settings
      const { url } = yield* listen({ ...settings, host: "127.0.0.1", port: options.stay ? settings.port : 0 })
      yield* Console.log(`Serving on ${url}; every answer of the provider takes ${latencyMillis} ms\n`)
      const timings = yield* jobs({ simulator, latencyMillis, spacingMillis })
      yield* Console.log(`\n${table(timings)}`)
      if (options.stay) {
        yield* Layer.build(Layer.mergeAll(BackgroundRefresh.layer, BackgroundSync.layer))
        yield* Console.log(
          `\nStill serving on ${url} (docs: ${url}/docs). The admin key is in ${dataDir}/admin.key. Ctrl-C ends.`,
        )
        yield* Effect.never
      }
    }).pipe(
      Effect.scoped,
      Effect.provide(layerProcess({
        databaseUrl: Option.none(),
        encryptionKeys: Option.none(),
        adminKey: Option.none(),
        dataDir,
        microsoftAuthority: provider.url,
        graphUrl: `${provider.url}/v1.0`,
        ...concurrency,
        syncSpacing: Duration.millis(spacingMillis),
        refreshEvery: Duration.days(1),
        syncEvery: Duration.minutes(5),
      })),
    )
  }).pipe(Effect.scoped)

export const demo = Command.make(
  "demo",
  {
    full: Flag.Boolean("full").pipe(
      Flag.withDescription(
        "The real scale: a second for each token, two seconds between mailboxes (about five minutes)",
      ),
      Flag.withDefault(false),
    ),
    stay: Flag.Boolean("stay").pipe(
      Flag.withDescription("Keep serving afterwards, with the schedules on"),
      Flag.withDefault(false),
    ),
  },
  (options) => untilSignal(run(options)).pipe(toCommandError, Effect.provide(layerLog("Warn"))),
).pipe(
  Command.withDescription(
    "Watch the four jobs at work on a simulated fleet, and how near they come to what is possible",
  ),
  Command.withExamples([{ command: "mailfleet demo --full", description: "At the real scale" }]),
)
