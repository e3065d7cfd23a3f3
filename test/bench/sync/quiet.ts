/** (b) A round over mailboxes in which nothing happened: what it asks, what it costs, and what it writes. */
import { Console, Effect } from "effect"
import { postgresUrl } from "../../support/engines.ts"
import { ended, install, type Installation, startOverAll, upload } from "../../support/processes.ts"
import { count, load, markdown, millis, ratio } from "../refresh/figures.ts"
import { startProvider } from "../refresh/provider.ts"
import { cpuSeconds, postgresCpuSeconds } from "../refresh/usage.ts"
import type { BareGraphAnswer, BareGraphOptions, BareGraphOrder } from "./bareGraph.ts"
import { accountsOf, pageSize } from "./mailboxes.ts"
import { startProgram } from "./program.ts"

const concurrency = 20

/** Rows that were inserted, updated and deleted, by table, and transactions of the whole database. */
const writesOf = (installation: Installation) =>
  installation.query((sql) =>
    Effect.gen(function* () {
      // A session reports what it counted at most once a second, and what is left over after 10 idle seconds.
      yield* Effect.sleep("11 seconds")
      yield* sql`select pg_stat_clear_snapshot()`
      const tables = yield* sql<{ name: string; writes: number }>`select relname as name,
          (n_tup_ins + n_tup_upd + n_tup_del)::int4 as writes
        from pg_stat_user_tables where schemaname = ${installation.schema}`
      const [database] = yield* sql<{ commits: number }>`select xact_commit::int4 as commits from pg_stat_database
        where datname = current_database()`
      return { tables: new Map(tables.map(({ name, writes }) => [name, writes])), commits: database!.commits }
    }).pipe(Effect.orDie)
  )

export const benchQuiet = (quick: boolean) =>
  Effect.gen(function* () {
    const mailboxes = quick ? 100 : 1_000
    const provider = yield* startProvider({ accounts: mailboxes, latencyMillis: 0, messages: 20 })
    // The loop bears no item twice.
    yield* provider.configure({ oddPages: 0 })
    const installation = yield* install("postgres", provider.origin, {
      MAILFLEET_SCHEDULES: "off",
      MAILFLEET_SYNC_CONCURRENCY: String(concurrency),
    })
    const service = yield* installation.start()
    const imported = yield* upload(service, yield* provider.file(0, mailboxes), {}, "?verify=false")
    yield* ended(service, imported.id, "10 minutes")
    const sync = Effect.gen(function* () {
      const run = yield* startOverAll(service, "sync")
      return yield* ended(service, run.id, "10 minutes")
    })
    yield* sync
    const [{ folders }] = (yield* installation.query((sql, table) =>
      Effect.orDie(sql<{ folders: number }>`select count(*)::int4 as folders from ${table("folders")}`)
    )) as [{ folders: number }]

    const bare = yield* startProgram(
      "./bareGraph.ts",
      {
        databaseUrl: postgresUrl,
        table: `${installation.schema}.bare_messages`,
        origin: provider.origin,
        pageSize,
        concurrency,
      } satisfies BareGraphOptions,
    )
    const accounts = yield* accountsOf(provider, 0, mailboxes)
    yield* bare.order<BareGraphAnswer>({ accounts } satisfies BareGraphOrder)

    const before = yield* writesOf(installation)
    const bareCpu = cpuSeconds(bare.pid)
    const barely = yield* bare.order<BareGraphAnswer>({ accounts, again: true } satisfies BareGraphOrder)
    const bareUsed = cpuSeconds(bare.pid) - bareCpu

    const between = yield* writesOf(installation)
    yield* provider.resetCounters
    const cpu = cpuSeconds(service.pid)
    const postgres = postgresCpuSeconds()
    const begun = performance.now()
    yield* sync
    const time = (performance.now() - begun) / 1_000
    const used = cpuSeconds(service.pid) - cpu
    const postgresUsed = postgresCpuSeconds() - postgres
    const { graph, token } = yield* provider.counters
    const after = yield* writesOf(installation)
    const written = [...after.tables].map(([name, writes]) =>
      [name, writes - (between.tables.get(name) ?? 0)] as const
    )
      .filter(([, writes]) => writes > 0)

    const each = (value: number) => (value / mailboxes).toFixed(2)
    yield* Console.log(
      `\n(b) a quiet round over ${count(mailboxes)} mailboxes of ${
        (folders / mailboxes).toFixed(1)
      } folders, ${concurrency} at once; ${load()}\n\n` +
        markdown([
          ["for each mailbox", "time", "requests", "CPU", "CPU of Postgres"],
          [
            "the barest loop",
            millis((barely.seconds / mailboxes) * 1_000),
            each(barely.requests),
            millis((bareUsed / mailboxes) * 1_000),
            "–",
          ],
          [
            "Mailfleet",
            millis((time / mailboxes) * 1_000),
            each(graph.requests),
            millis((used / mailboxes) * 1_000),
            millis((postgresUsed / mailboxes) * 1_000),
          ],
          ["ratio", ratio(time / barely.seconds), ratio(graph.requests / barely.requests), ratio(used / bareUsed), "–"],
        ]) +
        `\n\nrequests beyond one for each folder: ${
          each(graph.requests - folders)
        } (listings of folders); token requests ${token.requests}\n` +
        `rows written for each mailbox: ${
          written.map(([name, writes]) => `${name} ${each(writes)}`).join(", ") || "none"
        }; transactions ${each(after.commits - between.commits)} (the loop: ${
          each(between.commits - before.commits)
        })\n` +
        `rows of folders and messages: ${
          written.filter(([name]) => name === "folders" || name.startsWith("message")).reduce(
            (sum, [, n]) => sum + n,
            0,
          )
        } (target: 0)`,
    )
  }).pipe(Effect.scoped)
