/** (a) The three token jobs at their default concurrency, at a provider that takes a second for each answer. */
import { Console, Effect } from "effect"
import { floorMillis } from "../../../src/commands/DemoTable.ts"
import { ended, install, type Service, startOverAll, upload } from "../../support/processes.ts"
import { count, load, markdown, ratio, seconds } from "./figures.ts"
import { allStored, makeAllDue, storageOf } from "./postgres.ts"
import { answersOf, type Provider, secondsSeen, startProvider } from "./provider.ts"

const fleet = 1_000
const selection = 100

interface Job {
  readonly name: string
  readonly accounts: number
  readonly concurrency: number
}

/** Runs a job and answers its row: time as the provider saw it, and as who asked for it did. */
const measure = <E, R>(provider: Provider, latencyMillis: number, job: Job, work: Effect.Effect<unknown, E, R>) =>
  Effect.gen(function* () {
    yield* provider.resetCounters
    const samples = yield* provider.watch(10)
    yield* Effect.sleep("100 millis")
    const begun = performance.now()
    yield* work
    const outside = (performance.now() - begun) / 1_000
    while (!samples.some((sample) => answersOf(sample) >= job.accounts)) yield* Effect.sleep("10 millis")
    const seen = secondsSeen(samples, job.accounts)
    const floor = floorMillis(job.accounts, job.concurrency, latencyMillis) / 1_000
    const { redemptions, token } = yield* provider.counters
    return [
      job.name,
      count(job.accounts),
      seconds((job.accounts * latencyMillis) / 1_000),
      seconds(floor),
      seconds(seen),
      ratio(seen / floor),
      seconds(outside),
      ratio(outside / floor),
      `${token.peak} (${job.concurrency})`,
      `${redemptions} of ${job.accounts}`,
    ]
  }).pipe(Effect.scoped)

const runOf = (service: Service, start: Effect.Effect<{ readonly id: string }, unknown>) =>
  Effect.flatMap(start, ({ id }) => ended(service, id, "10 minutes"))

export const benchFixed = (quick: boolean) =>
  Effect.gen(function* () {
    const latencyMillis = quick ? 100 : 1_000
    const provider = yield* startProvider({ accounts: fleet, latencyMillis })
    const installation = yield* install("postgres", provider.origin, {
      MAILFLEET_SYNC_CONCURRENCY: "1",
      MAILFLEET_SYNC_SPACING: "1 hour",
    })
    const job = (name: string, accounts: number, concurrency: number): Job => ({ name, accounts, concurrency })
    const row = <E, R>(of: Job, work: Effect.Effect<unknown, E, R>) => measure(provider, latencyMillis, of, work)

    const rows = yield* Effect.scoped(Effect.gen(function* () {
      const service = yield* installation.start({ MAILFLEET_SCHEDULES: "off" })
      const body = yield* provider.file(0, selection)
      const text = yield* Effect.promise(() => new Response(body).text())
      const imported = yield* row(job("import", selection, 5), runOf(service, upload(service, text)))
      const refreshed = yield* row(job("refresh", selection, 5), runOf(service, startOverAll(service, "refresh")))
      const rest = yield* provider.file(selection, fleet - selection)
      yield* runOf(service, upload(service, rest, {}, "?verify=false"))
      return [imported, refreshed]
    }))
    yield* installation.start({ MAILFLEET_SCHEDULES: "on" })
    const background = yield* row(
      job("background refresh", fleet, 10),
      Effect.flatMap(makeAllDue, (since) => allStored(fleet, since)),
    ).pipe(Effect.provide(storageOf(installation)))

    yield* Console.log(
      `\n(a) fixed concurrency, ${latencyMillis} ms for each answer; ${load()}\n\n` + markdown([
        [
          "job",
          "accounts",
          "one after another",
          "floor",
          "provider saw",
          "ratio",
          "from outside",
          "ratio",
          "at once (allowed)",
          "redeemed",
        ],
        ...rows,
        background,
      ]),
    )
  }).pipe(Effect.scoped)
