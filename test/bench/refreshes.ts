/** Redemptions, beside the barest loop that does the same: fetch, parse, one UPDATE for each account. */
import { Console, Duration, Effect, Layer, Option, Redacted, Stream } from "effect"
import { PgClient } from "@effect/sql-pg"
import * as BackgroundRefresh from "../../src/schedules/BackgroundRefresh.ts"
import { RunRequests } from "../../src/programs/RunRequests.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database } from "../../src/storage/Database.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { layerBench, postgresUrl } from "./process.ts"

const concurrency = 10

/** Seconds that ten loops of fetch and UPDATE take for all accounts. */
const bareLoop = (url: string, tokens: ReadonlyArray<{ readonly clientId: string; readonly token: string }>) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql`create temp table bare (id int primary key, token text, access text)`
    yield* sql`insert into bare select i, '', '' from generate_series(0, ${tokens.length - 1}) i`
    const run = (id: number) => {
      const { clientId, token } = tokens[id]!
      return Effect.gen(function* () {
        const answer = yield* Effect.promise(async () => {
          const response = await fetch(`${url}/common/oauth2/v2.0/token`, {
            method: "POST",
            body: new URLSearchParams({
              client_id: clientId,
              grant_type: "refresh_token",
              refresh_token: token,
              scope: "https://graph.microsoft.com/.default offline_access",
            }),
          })
          return await response.json() as { readonly access_token: string; readonly refresh_token: string }
        })
        yield* sql`update bare set token = ${answer.refresh_token}, access = ${answer.access_token} where id = ${id}`
      })
    }
    const started = performance.now()
    yield* Effect.forEach(tokens.keys(), run, { concurrency, discard: true })
    return (performance.now() - started) / 1_000
  }).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(postgresUrl), maxConnections: 1 })),
  )

const ours = (accounts: number) =>
  Effect.gen(function* () {
    const store = yield* Accounts
    yield* store.bringForward("refresh")
    const started = performance.now()
    const startedAt = yield* Effect.map(Effect.clockWith((clock) => clock.currentTimeMillis), (millis) =>
      new Date(millis))
    yield* Effect.scoped(Effect.gen(function* () {
      yield* Layer.build(BackgroundRefresh.layer)
      yield* refreshed(accounts, startedAt)
    }))
    return (performance.now() - started) / 1_000
  })

const refreshed = (accounts: number, since: Date) =>
  Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    while (true) {
      const rows = yield* sql<
        { count: number }
      >`select count(*)::int4 as count from ${t.grants} where refreshed_at >= ${since}`
      if (rows[0]!.count >= accounts) return
      yield* Effect.sleep("50 millis")
    }
  })

export const benchRefresh = (accounts: number, latencyMillis: number) =>
  Effect.gen(function* () {
    const simulator = yield* make({ accounts, latency: latencyMillis, limits: "none" })
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, simulator.handler)),
      (running) => Effect.promise(() => running.shutdown()),
    )
    const url = `http://127.0.0.1:${server.addr.port}`
    const [head, ...lines] = simulator.importLines()
    const tokens = lines.map((line) => {
      const [, clientId, token] = line.trim().split(",")
      return { clientId: clientId!, token: token!.replace(/^"|"$/g, "") }
    })
    const bare = yield* bareLoop(url, tokens)
    const measured = yield* Effect.gen(function* () {
      const requests = yield* RunRequests
      const runs = yield* Runs
      const { id } = yield* Effect.orDie(requests.import(
        Stream.make(new TextEncoder().encode([head, ...lines].join(""))),
        { format: "csv", onDuplicate: "skip", dryRun: false, verify: false, tags: [] },
        { trigger: "library" },
      ))
      while (Option.getOrThrow(yield* runs.get(id)).state !== "completed") yield* Effect.sleep("50 millis")
      return yield* ours(accounts)
    }).pipe(Effect.provide(layerBench({
      microsoftAuthority: url,
      backgroundRefreshConcurrency: concurrency,
      refreshEvery: Duration.days(1),
    })))
    const floor = (Math.ceil(accounts / concurrency) * latencyMillis) / 1_000
    yield* Console.log(
      [
        `\nbackground refresh of ${
          accounts.toLocaleString("en")
        } accounts, ${concurrency} at once, ${latencyMillis} ms latency, Postgres`,
        `  floor                  ${floor.toFixed(2)} s`,
        `  bare fetch and UPDATE  ${bare.toFixed(2)} s`,
        `  measured               ${measured.toFixed(2)} s`,
        `  ratio to bare loop     ${(measured / bare).toFixed(2)}`,
        ...(latencyMillis > 0 ? [`  ratio to floor         ${(measured / floor).toFixed(3)}`] : []),
      ].join("\n"),
    )
  }).pipe(Effect.scoped)
