/** (c) First sync of one large mailbox at Graph, beside the barest loop that copies it. */
import { Console, Effect } from "effect"
import { postgresUrl } from "../../support/engines.ts"
import { count, load, markdown, median, ratio, seconds } from "../refresh/figures.ts"
import { ended, install, startOverAll, upload } from "../../support/processes.ts"
import { startProvider } from "../refresh/provider.ts"
import { cpuSeconds, postgresCpuSeconds, residentMiB } from "../refresh/usage.ts"
import type { BareGraphAnswer, BareGraphOptions, BareGraphOrder } from "./bareGraph.ts"
import { accountsOf, pageSize, storedMessages } from "./mailboxes.ts"
import { startProgram } from "./program.ts"

interface Round {
  readonly time: number
  readonly cpu: number
  readonly postgres: number
  readonly provider: number
  readonly peak: number
}

export const benchGraph = (quick: boolean) =>
  Effect.gen(function* () {
    const messages = quick ? 10_000 : 100_000
    const rounds = quick ? 1 : 3
    // A mailbox for each round of ours: a first sync is the first one only once.
    const provider = yield* startProvider({ accounts: rounds, latencyMillis: 0, messages })
    // The loop bears no item twice.
    yield* provider.configure({ oddPages: 0 })
    const installation = yield* install("postgres", provider.origin, { MAILFLEET_SCHEDULES: "off" })
    const service = yield* installation.start()
    const bare = yield* startProgram(
      "./bareGraph.ts",
      {
        databaseUrl: postgresUrl,
        table: `${installation.schema}.bare_messages`,
        origin: provider.origin,
        pageSize,
        concurrency: 1,
      } satisfies BareGraphOptions,
    )
    const accounts = yield* accountsOf(provider, 0, rounds)

    const measure = <A, E, R>(
      pid: number,
      work: Effect.Effect<A, E, R>,
      timeOf: (done: A, outside: number) => number,
    ) =>
      Effect.gen(function* () {
        const usage = () => [cpuSeconds(pid), postgresCpuSeconds(), cpuSeconds(provider.pid)] as const
        const before = usage()
        const begun = performance.now()
        const done = yield* work
        const outside = (performance.now() - begun) / 1_000
        const after = usage()
        return {
          time: timeOf(done, outside),
          cpu: after[0] - before[0],
          postgres: after[1] - before[1],
          provider: after[2] - before[2],
          peak: residentMiB(pid).peak,
        } satisfies Round
      })

    const theirs: Array<Round> = []
    const ours: Array<Round> = []
    for (let round = 0; round < rounds; round++) {
      const order: BareGraphOrder = { accounts: accounts.slice(round, round + 1) }
      theirs.push(yield* measure(bare.pid, bare.order<BareGraphAnswer>(order), (done) => done.seconds))
      const file = yield* provider.file(round, 1)
      const imported = yield* upload(service, file, {}, "?verify=false")
      yield* ended(service, imported.id)
      ours.push(
        yield* measure(
          service.pid,
          Effect.gen(function* () {
            const run = yield* startOverAll(service, "sync")
            yield* ended(service, run.id, "30 minutes")
          }),
          (_, outside) => outside,
        ),
      )
      // The mailboxes of earlier rounds would be synced along.
      yield* installation.query((sql, table) => sql`update ${table("accounts")} set status = 'disabled'`)
    }
    const stored = yield* storedMessages(installation)
    const of = (all: ReadonlyArray<Round>, key: keyof Round) => median(all.map((round) => round[key]))
    const floor = of(theirs, "time")
    const row = (name: string, all: ReadonlyArray<Round>) => [
      name,
      seconds(of(all, "time")),
      count(Math.round(messages / of(all, "time"))),
      ratio(of(all, "time") / floor),
      seconds(of(all, "cpu")),
      seconds(of(all, "postgres")),
      seconds(of(all, "provider")),
      `${Math.round(of(all, "peak"))} MiB`,
    ]
    yield* Console.log(
      `\n(c) first sync of ${count(messages)} messages from Graph, ${rounds} rounds, medians; ${
        count(stored)
      } stored; ${load()}\n\n` +
        markdown([
          ["", "time", "messages/s", "of the barest", "CPU", "CPU of Postgres", "CPU of the provider", "peak memory"],
          row("the barest loop", theirs),
          row("Mailfleet", ours),
        ]) + `\n\nspeed: ${((floor / of(ours, "time")) * 100).toFixed(0)} % of the barest loop (target: 80 %)`,
    )
  }).pipe(Effect.scoped)
