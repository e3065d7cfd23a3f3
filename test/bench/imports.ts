/** A large file without verification, beside `psql \copy` of the same rows into a bare table: the least that must be done. */
import { Console, Effect, Option, Stream } from "effect"
import { RunRequests } from "../../src/programs/RunRequests.ts"
import { Database } from "../../src/storage/Database.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { layerBench, postgresUrl } from "./process.ts"
import { csvFile } from "./rows.ts"

/** The most resident memory, in MiB, in each tenth of the time that `effect` takes. */
const withMemory = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const samples: Array<number> = []
    const sample = Effect.sync(() => void samples.push(Deno.memoryUsage().rss / 1_048_576))
    const result = yield* Effect.raceFirst(effect, Effect.forever(Effect.andThen(sample, Effect.sleep("200 millis"))))
    const size = Math.ceil(samples.length / 10)
    const peaks = Array.from(
      { length: Math.ceil(samples.length / size) },
      (_, tenth) => Math.round(Math.max(...samples.slice(tenth * size, (tenth + 1) * size))),
    )
    return { result, peaks }
  })

const importAll = (rows: number) =>
  Effect.gen(function* () {
    const requests = yield* RunRequests
    const runs = yield* Runs
    const started = performance.now()
    const { id } = yield* Effect.orDie(requests.import(
      csvFile(rows),
      { format: "csv", onDuplicate: "skip", dryRun: false, verify: false, tags: [] },
      { trigger: "library" },
    ))
    const staged = performance.now()
    while (true) {
      const run = Option.getOrThrow(yield* runs.get(id))
      if (run.state === "completed" && run.succeeded === rows) break
      if (run.state !== "queued" && run.state !== "running") return yield* Effect.die(`the run ended ${run.state}`)
      yield* Effect.sleep("100 millis")
    }
    const ended = performance.now()
    return { stageSeconds: (staged - started) / 1_000, storeSeconds: (ended - staged) / 1_000 }
  })

/** Seconds that psql takes to copy the rows into a table without index, constraint or encryption. */
const copy = (rows: number) =>
  Effect.gen(function* () {
    const { schema, sql } = yield* Database
    yield* sql`create table ${sql(`${schema}.bare`)} (email text, client_id text, refresh_token text)`
    const started = performance.now()
    const psql = new Deno.Command("psql", {
      args: [postgresUrl, "-q", "-c", `\\copy ${schema}.bare from stdin with (format csv, header)`],
      stdin: "piped",
    }).spawn()
    const bytes = yield* Stream.toReadableStreamEffect(csvFile(rows))
    yield* Effect.promise(() => bytes.pipeTo(psql.stdin))
    const { success } = yield* Effect.promise(() => psql.status)
    return success ? (performance.now() - started) / 1_000 : yield* Effect.die("psql failed")
  })

/** The time to make the file and throw it away: both sides pay it. */
const generate = (rows: number) =>
  Effect.gen(function* () {
    const started = performance.now()
    yield* Stream.runDrain(csvFile(rows))
    return (performance.now() - started) / 1_000
  })

export const benchImport = (rows: number) =>
  Effect.gen(function* () {
    yield* Console.log(`\nimport of ${rows.toLocaleString("en")} rows, unverified, Postgres`)
    const generated = yield* generate(rows)
    const floor = yield* copy(rows)
    const { peaks, result } = yield* withMemory(importAll(rows))
    const total = result.stageSeconds + result.storeSeconds
    yield* Console.log(
      [
        `  making the file                ${generated.toFixed(1)} s (in all figures below)`,
        `  floor: psql \\copy, bare table  ${floor.toFixed(1)} s`,
        `  measured                       ${total.toFixed(1)} s (staged ${result.stageSeconds.toFixed(1)}, stored ${
          result.storeSeconds.toFixed(1)
        })`,
        `  ratio                          ${(total / floor).toFixed(2)}`,
        `  memory by tenths of the time   ${peaks.join(" ")} MiB`,
      ].join("\n"),
    )
  }).pipe(Effect.provide(layerBench()), Effect.scoped)
