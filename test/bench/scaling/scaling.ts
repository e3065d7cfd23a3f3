/** How much more two and three processes of a cluster do than one, at a provider whose answers take their time. */
import { Console, Effect } from "effect"
import { ended, install, startCluster, upload } from "../../support/processes.ts"
import { count, load, markdown, ratio } from "../refresh/figures.ts"
import { makeAllDue, settle, storageOf } from "../refresh/postgres.ts"
import { startProvider } from "../refresh/provider.ts"
import { Database } from "../../../src/storage/Database.ts"

/** Of the work: what the first and the last tenth take is starting and ending. */
const [from, to] = [0.1, 0.9]

interface Work {
  readonly accounts: number
  readonly messages: number
  readonly latencyMillis: number
  readonly settings: Record<string, string>
}

/** Units per second in the middle of the work, as `done` counts them. */
const rateOf = <E, R>(total: number, done: Effect.Effect<number, E, R>) =>
  Effect.gen(function* () {
    const reaches = Effect.fnUntraced(function* (share: number) {
      while (true) {
        const units = yield* done
        if (units >= total * share) return { units, at: performance.now() }
        yield* Effect.sleep("25 millis")
      }
    })
    const first = yield* reaches(from)
    const last = yield* reaches(to)
    return (last.units - first.units) / ((last.at - first.at) / 1_000)
  })

/** A fleet that is imported, and processes that begin with it. */
const fleet = Effect.fnUntraced(function* (work: Work, processes: number) {
  const provider = yield* startProvider(work)
  const installation = yield* install("postgres", provider.origin, work.settings)
  yield* Effect.scoped(Effect.gen(function* () {
    yield* provider.configure({ latency: 0 })
    const service = yield* installation.start({ MAILFLEET_SCHEDULES: "off" })
    const body = yield* provider.file(0, work.accounts)
    yield* ended(service, (yield* upload(service, body)).id, "5 minutes")
    yield* service.stop
    yield* provider.configure({ latency: work.latencyMillis })
  }))
  yield* Effect.provide(settle, storageOf(installation))
  yield* startCluster(installation, Array.from({ length: processes }, () => ({})))
  return installation
})

const refreshes = (work: Work, processes: number) =>
  Effect.gen(function* () {
    const installation = yield* fleet(work, processes)
    return yield* Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const since = yield* makeAllDue
      const done = sql<{ done: number }>`select count(*)::int4 as done from ${t.grants} where refreshed_at >= ${since}`
      return yield* rateOf(work.accounts, Effect.map(done, (rows) => rows[0]!.done))
    }).pipe(Effect.provide(storageOf(installation)))
  }).pipe(Effect.scoped)

const messages = (work: Work, processes: number) =>
  Effect.gen(function* () {
    const installation = yield* fleet(work, processes)
    return yield* rateOf(
      work.accounts * work.messages,
      installation.query((sql, table) =>
        Effect.map(
          Effect.orDie(sql<{ done: number }>`select count(*)::int4 as done from ${table("messages")}`),
          (rows) => rows[0]!.done,
        )
      ),
    )
  }).pipe(Effect.scoped)

export const benchScaling = (quick: boolean) =>
  Effect.gen(function* () {
    const size = quick ? 1 : 3
    const refreshing: Work = {
      accounts: 300 * size,
      messages: 0,
      latencyMillis: 500,
      settings: { MAILFLEET_SYNC_CONCURRENCY: "1", MAILFLEET_SYNC_SPACING: "1 hour" },
    }
    const syncing: Work = {
      accounts: 60 * size,
      messages: 100,
      latencyMillis: 500,
      settings: { MAILFLEET_SYNC_SPACING: "0 seconds", MAILFLEET_SYNC_EVERY: "1 day" },
    }
    const rows: Array<ReadonlyArray<string>> = []
    let one: readonly [number, number] | undefined
    for (const processes of [1, 2, 3]) {
      const rates = [yield* refreshes(refreshing, processes), yield* messages(syncing, processes)] as const
      one ??= rates
      rows.push([
        String(processes),
        rates[0].toFixed(1),
        ratio(rates[0] / one[0]),
        rates[1].toFixed(0),
        ratio(rates[1] / one[1]),
      ])
    }
    yield* Console.log(
      `\nscaling: ${count(refreshing.accounts)} grants, 10 at once in each process; ${
        count(syncing.accounts * syncing.messages)
      } messages of ${syncing.accounts} mailboxes, 5 at once in each; ${refreshing.latencyMillis} ms for each answer; ${load()}\n\n` +
        markdown([["processes", "refreshes/s", "of one", "synced messages/s", "of one"], ...rows]),
    )
  })
