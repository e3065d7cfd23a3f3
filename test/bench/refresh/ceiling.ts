/** (c) What a refresh costs when the provider answers at once: our background refresh beside programs written by hand. */
import { Console, Data, Effect, type Scope } from "effect"
import { fileURLToPath } from "node:url"
import { postgresUrl } from "../../support/engines.ts"
import { ended, install, type Installation, upload } from "../../support/processes.ts"
import { count, load, markdown, median, ratio, seconds } from "./figures.ts"
import type { PlainOptions } from "./plain.ts"
import { allStored, makeAllDue, settle, storageOf } from "./postgres.ts"
import { type Provider, startProvider } from "./provider.ts"
import { cpuSeconds, postgresCpuSeconds } from "./usage.ts"

const concurrency = 50
/** The default of `pg`; 20 and 40 were no faster. */
const plainConnections = 10
const rounds = 3

/** What one round of one contestant took, in seconds. */
interface Round {
  readonly time: number
  readonly cpu: number
  readonly postgres: number
  readonly provider: number
}

/** A process with its own accounts, that idles between its rounds. */
interface Contestant {
  readonly name: string
  /** Has all accounts redeemed, and ends when all is stored. */
  readonly round: Effect.Effect<Round, unknown>
}

/** From the first request that the provider sees until everything is stored. */
const measure = <A, E, R, E2, R2>(
  provider: Provider,
  pid: number,
  accounts: number,
  begin: Effect.Effect<A, E, R>,
  stored: (begun: A) => Effect.Effect<void, E2, R2>,
) =>
  Effect.gen(function* () {
    yield* provider.resetCounters
    const usage = () => ({ cpu: cpuSeconds(pid), postgres: postgresCpuSeconds(), provider: cpuSeconds(provider.pid) })
    const before = usage()
    const begun = yield* begin
    while ((yield* provider.counters).token.requests === 0) yield* Effect.sleep("5 millis")
    const first = performance.now()
    while ((yield* provider.counters).redemptions < accounts) yield* Effect.sleep("50 millis")
    yield* stored(begun)
    const time = (performance.now() - first) / 1_000
    const after = usage()
    return {
      time,
      cpu: after.cpu - before.cpu,
      postgres: after.postgres - before.postgres,
      provider: after.provider - before.provider,
    }
  }).pipe(Effect.timeout("10 minutes"))

class PlainFailed extends Data.TaggedError("PlainFailed")<{ readonly message: string }> {}

/** Starts a program that waits for orders on its standard input; it is killed with the scope. */
const startPlain = Effect.fnUntraced(function* (file: string, options: PlainOptions) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", fileURLToPath(new URL(file, import.meta.url)), JSON.stringify(options)],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn()
    ),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.status
      }).pipe(Effect.ignoreCause),
  )
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const orders = child.stdin.getWriter()
  const says = Effect.fnUntraced(function* (line: string) {
    const { value } = yield* Effect.promise(() => lines.read())
    if (value?.trim() !== line) return yield* new PlainFailed({ message: `${file} did not say "${line}"` })
  })
  yield* says("ready")
  return {
    pid: child.pid,
    begin: Effect.promise(() => orders.write(new TextEncoder().encode("\n"))),
    done: says("done"),
  }
})

/** A table of its own for a program written by hand, filled from the provider's file. */
const plainTable = Effect.fnUntraced(function* (
  { query, schema }: Installation,
  provider: Provider,
  name: string,
  from: number,
  accounts: number,
) {
  const stream = yield* provider.file(from, accounts)
  const [, ...lines] = (yield* Effect.promise(() => new Response(stream).text())).trimEnd().split("\n")
  const rows = JSON.stringify(lines.map((line, id) => {
    const [, client_id, refresh_token] = line.split(",")
    return { id, client_id, refresh_token }
  }))
  yield* query((sql, table) =>
    Effect.andThen(
      sql`create table ${table(name)} (id int primary key, client_id text not null, refresh_token text not null,
        access_token text, expires_at timestamptz)`,
      sql`insert into ${table(name)} (id, client_id, refresh_token) select id, client_id, refresh_token
        from jsonb_to_recordset(${rows}::jsonb) as row (id int, client_id text, refresh_token text)`,
    )
  )
  return `${schema}.${name}`
})

const ours = (
  installation: Installation,
  provider: Provider,
  accounts: number,
): Effect.Effect<Contestant, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const service = yield* installation.start()
    const { id } = yield* upload(service, yield* provider.file(0, accounts), {}, "?verify=false")
    yield* ended(service, id, "10 minutes")
    const round = measure(provider, service.pid, accounts, makeAllDue, (since) => allStored(accounts, since))
    return { name: "Mailfleet", round: Effect.provide(round, storageOf(installation)) }
  })

const secondsOf = (all: ReadonlyArray<Round>, of: keyof Round): number => median(all.map((round) => round[of]))

export const benchCeiling = (quick: boolean) =>
  Effect.gen(function* () {
    const accounts = quick ? 4_000 : 20_000
    const provider = yield* startProvider({ accounts: 3 * accounts, latencyMillis: 0 })
    // Its background refresh only: one mailbox is synced, and then none for an hour.
    const installation = yield* install("postgres", provider.origin, {
      MAILFLEET_BACKGROUND_REFRESH_CONCURRENCY: String(concurrency),
      MAILFLEET_SYNC_CONCURRENCY: "1",
      MAILFLEET_SYNC_SPACING: "1 hour",
      MAILFLEET_REFRESH_EVERY: "90 days",
    })
    const plain = Effect.fnUntraced(function* (name: string, file: string, table: string, from: number) {
      const options: PlainOptions = {
        databaseUrl: postgresUrl,
        table: yield* plainTable(installation, provider, table, from, accounts),
        origin: provider.origin,
        concurrency,
        connections: plainConnections,
      }
      const { begin, done, pid } = yield* startPlain(file, options)
      return { name, round: measure(provider, pid, accounts, begin, () => done) }
    })
    const contestants: ReadonlyArray<Contestant> = [
      yield* ours(installation, provider, accounts),
      yield* plain("loop, fetch, pg", "plainLoop.ts", "plain_loop", accounts),
      yield* plain("p-limit, fetch, pg", "plainLimit.ts", "plain_limit", 2 * accounts),
    ]
    const results = contestants.map(({ name }) => ({ name, all: new Array<Round>() }))
    for (let round = 0; round < rounds; round++) {
      for (const [index, contestant] of contestants.entries()) {
        yield* Effect.provide(settle, storageOf(installation))
        results[index]!.all.push(yield* contestant.round)
      }
    }
    const bare = secondsOf(results[1]!.all, "time")
    yield* Console.log(
      [
        `\n(c) ${count(accounts)} refreshes, ${concurrency} at once, no latency, synchronous_commit on, ` +
        `medians of ${rounds} interleaved rounds; ${load()}\n`,
        markdown([
          ["process", "time", "refreshes/s", "ratio to loop", "rounds", "CPU", "CPU of Postgres", "CPU of provider"],
          ...results.map(({ all, name }) => [
            name,
            seconds(secondsOf(all, "time")),
            count(Math.round(accounts / secondsOf(all, "time"))),
            ratio(secondsOf(all, "time") / bare),
            all.map(({ time }) => time.toFixed(2)).join(" "),
            seconds(secondsOf(all, "cpu")),
            seconds(secondsOf(all, "postgres")),
            seconds(secondsOf(all, "provider")),
          ]),
        ]),
        "\nThe loop and p-limit leave out: encryption, leases, compare-and-set, kept hashes of old tokens, status and " +
        "change log, due times, classes of error.",
      ].join("\n"),
    )
  }).pipe(Effect.scoped)
