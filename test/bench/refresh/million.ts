/** (d) A large fleet: what a claim costs as the table grows, and how late refreshes are while 300 come due each second. */
import { Console, Effect, Layer, Random, type Scope } from "effect"
import { DueGrants } from "../../../src/storage/grants/DueGrants.ts"
import { column, Database } from "../../../src/storage/Database.ts"
import { ended, install, type Installation, upload } from "../../support/processes.ts"
import { count, load, markdown, mebibytes, millis, percent, quantile, ratio } from "./figures.ts"
import { settle, storageOf } from "./postgres.ts"
import { type Provider, startProvider } from "./provider.ts"
import { cpuSeconds, postgresCpuSeconds, residentMiB } from "./usage.ts"

/** A million accounts an hour. */
const duePerSecond = 300
const latencyMillis = 100
const concurrency = 100
const claims = 500
/** Grants of one claim: what 250 ms bring at 300 a second. */
const claimSize = 75
/** Milliseconds. If what came due during the import is not worked off by then, this machine does not keep up: that shows. */
const mostWarmUp = 240_000
/** In every fleet, so that only its size differs. */
const due = 1_000

interface Fleet {
  readonly accounts: number
  readonly installation: Installation
}

/** A fleet, imported by the product itself; its due times are spread over a period in which 300 come due each second. */
const importFleet = (provider: Provider, accounts: number): Effect.Effect<Fleet, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const installation = yield* install("postgres", provider.origin, {
      MAILFLEET_BACKGROUND_REFRESH_CONCURRENCY: String(concurrency),
      MAILFLEET_REFRESH_EVERY: `${Math.ceil(accounts / duePerSecond)} seconds`,
      MAILFLEET_SYNC_CONCURRENCY: "1",
      MAILFLEET_SYNC_SPACING: "1 hour",
    })
    yield* Effect.scoped(Effect.gen(function* () {
      const service = yield* installation.start({ MAILFLEET_SCHEDULES: "off" })
      const { id } = yield* upload(service, yield* provider.file(0, accounts), {}, "?verify=false")
      yield* ended(service, id, "30 minutes")
    }))
    yield* Effect.provide(settle, storageOf(installation))
    return { accounts, installation }
  })

/** For how long the oldest grant has been due that nobody has claimed, in milliseconds. Index: grants_attempt. */
const lag = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  const rows = yield* sql<{ lag: number }>`
    select extract(epoch from clock_timestamp() - min(oldest.attempt_at))::float8 * 1000 as lag
    from ${t.apps} p cross join lateral (
      select attempt_at from ${t.grants} g where g.app_id = p.id and attempt_at <= clock_timestamp()
        and (claimed_until is null or claimed_until <= now())
      order by attempt_at limit 1
    ) oldest having count(*) > 0`
  return rows[0]?.lag ?? 0
}).pipe(Effect.orDie)

/** What came due while the fleet was imported is worked off first; then the window begins. */
const keepUp = ({ installation }: Fleet, provider: Provider, windowSeconds: number) =>
  Effect.gen(function* () {
    const { pid } = yield* installation.start()
    const begun = performance.now()
    while ((yield* lag) > 1_000 && performance.now() - begun < mostWarmUp) yield* Effect.sleep("1 second")
    yield* Effect.sleep("5 seconds")
    const warmUp = (performance.now() - begun) / 1_000

    const usage = () => ({ ours: cpuSeconds(pid), postgres: postgresCpuSeconds(), provider: cpuSeconds(provider.pid) })
    const lags: Array<number> = []
    let memory = 0
    const before = { ...usage(), ...(yield* provider.counters) }
    const start = performance.now()
    for (let next = start + 100; next < start + windowSeconds * 1_000; next += 100) {
      yield* Effect.sleep(Math.max(0, next - performance.now()))
      lags.push(yield* lag)
      memory = Math.max(memory, residentMiB(pid).now)
    }
    const passed = (performance.now() - start) / 1_000
    const after = { ...usage(), ...(yield* provider.counters) }
    return {
      warmUp,
      lags,
      memory,
      peak: residentMiB(pid).peak,
      redeemed: (after.redemptions - before.redemptions) / passed,
      ours: (after.ours - before.ours) / passed,
      postgres: (after.postgres - before.postgres) / passed,
      provider: (after.provider - before.provider) / passed,
    }
  }).pipe(Effect.provide(storageOf(installation)), Effect.scoped)

/** Makes the same number due in each fleet, and all the others due much later. */
const makeSomeDue = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  yield* sql`update ${t.grants} set attempt_at = now() + interval '1 day', due_at = now() + interval '1 day',
    claimed_until = null where attempt_at < now() + interval '3 minutes'`
  yield* sql`update ${t.grants} set attempt_at = now() - random() * interval '1 minute', due_at = now(),
    claimed_until = null where id in (select id from ${t.grants} limit ${due})`
  yield* settle
}).pipe(Effect.orDie)

/** Milliseconds of one claim. Afterwards the grants are moved to the end of those due: as much churn as redeeming them. */
const claim = Effect.gen(function* () {
  const grants = yield* DueGrants
  const { sql, tables: t } = yield* Database
  const start = performance.now()
  const claimed = yield* grants.claim(claimSize, 60, [])
  const took = performance.now() - start
  if (claimed.length < claimSize) return yield* Effect.die(`only ${claimed.length} of ${claimSize} were claimed`)
  yield* Effect.orDie(sql`update ${t.grants} set attempt_at = clock_timestamp(), claimed_until = null
    where id = any(${column("uuid", claimed.map(({ grantId }) => grantId))})`)
  return took
})

/** Claims from all fleets in turn, in an order that chance decides. */
const measureClaims = (fleets: ReadonlyArray<Fleet>) =>
  Effect.gen(function* () {
    const storages = yield* Effect.forEach(fleets, ({ installation }) => Layer.build(storageOf(installation)))
    for (const storage of storages) yield* Effect.provide(makeSomeDue, storage)
    const times = fleets.map(() => new Array<number>())
    // The first ones prepare statements and warm caches.
    for (let round = -20; round < claims; round++) {
      for (const index of yield* Random.shuffle(fleets.keys())) {
        const took = yield* Effect.provide(claim, storages[index]!)
        if (round >= 0) times[index]!.push(took)
      }
    }
    return times
  }).pipe(Effect.scoped)

const claimTable = (fleets: ReadonlyArray<Fleet>, times: ReadonlyArray<ReadonlyArray<number>>): string => {
  const p50 = times.map((all) => quantile(all, 0.5))
  const p99 = times.map((all) => quantile(all, 0.99))
  return markdown([
    ["accounts", "claim p50", "p99", "most", "p50 to smallest", "p99 to smallest"],
    ...fleets.map(({ accounts }, index) => [
      count(accounts),
      millis(p50[index]!, 2),
      millis(p99[index]!, 2),
      millis(Math.max(...times[index]!), 2),
      ratio(p50[index]! / p50[0]!),
      ratio(p99[index]! / p99[0]!),
    ]),
  ])
}

export const benchMillion = (quick: boolean) =>
  Effect.gen(function* () {
    const sizes = quick ? [1_000, 10_000, 100_000] : [1_000, 10_000, 100_000, 1_000_000]
    const largest = sizes[sizes.length - 1]!
    const windowSeconds = quick ? 30 : 180
    const provider = yield* startProvider({ accounts: largest, latencyMillis })

    const begun = performance.now()
    const fleets = yield* Effect.forEach(sizes, (accounts) => importFleet(provider, accounts))
    const imported = (performance.now() - begun) / 1_000
    yield* Console.log(`\n(d) fleets of ${sizes.map(count).join(", ")} imported in ${imported.toFixed(0)} s; ${load()}`)

    const kept = yield* keepUp(fleets[fleets.length - 1]!, provider, windowSeconds)
    yield* Console.log(
      [
        `\n(d) ${
          count(largest)
        } accounts, ${duePerSecond} due each second (a million an hour), ${latencyMillis} ms for each ` +
        `answer, ${concurrency} at once, window ${windowSeconds} s; ${load()}\n`,
        markdown([
          ["lag p50", "p99", "most", "redeemed/s", "memory", "most since start", "CPU", "of Postgres", "of provider"],
          [
            millis(quantile(kept.lags, 0.5), 0),
            millis(quantile(kept.lags, 0.99), 0),
            millis(Math.max(...kept.lags), 0),
            kept.redeemed.toFixed(1),
            mebibytes(kept.memory),
            mebibytes(kept.peak),
            percent(kept.ours),
            percent(kept.postgres),
            percent(kept.provider),
          ],
        ]),
        `\nShortened: every account is due each ${Math.ceil(largest / duePerSecond)} s instead of each day; ` +
        `${windowSeconds} s were watched, after ${
          kept.warmUp.toFixed(0)
        } s that worked off what came due during the import. ` +
        `Lag: age of the oldest due grant that nobody has claimed, ${kept.lags.length} samples. CPU: share of one core.`,
      ].join("\n"),
    )

    const times = yield* measureClaims(fleets)
    yield* Console.log(
      `\n(d) ${claims} claims of ${claimSize} in each fleet, in turn in random order, ${
        count(due)
      } due; ${load()}\n\n` +
        claimTable(fleets, times),
    )
  }).pipe(Effect.scoped)
