/** (e) Readers of the change log while ten writers commit, beside a table that is read and written without any care. */
import { Console, Effect } from "effect"
import { postgresUrl } from "../../support/engines.ts"
import { install } from "../../support/processes.ts"
import { count, load, markdown, ratio, seconds } from "../refresh/figures.ts"
import type { ChangeReaderAnswer, ChangeReaderOptions, ChangeReaderOrder } from "./changeReader.ts"
import type { ChangeWritersOptions, ChangeWritersOrder } from "./changeWriters.ts"
import { startProgram } from "./program.ts"

const writers = 10
const entries = 50

export const benchChanges = (quick: boolean) =>
  Effect.gen(function* () {
    const transactions = quick ? 40 : 400
    const all = writers * transactions * entries
    // The provider is never asked.
    const installation = yield* install("postgres", "http://127.0.0.1:1", { MAILFLEET_SCHEDULES: "off" })
    const service = yield* installation.start()
    yield* installation.query((sql, table) =>
      Effect.orDie(sql`create table ${table("bare_changes")} (id bigint generated always as identity primary key,
        at timestamptz not null default now(), account_id uuid, message_id uuid, folder_id uuid, kind text, origin text)`)
    )
    const program = yield* startProgram(
      "./changeWriters.ts",
      { databaseUrl: postgresUrl, schema: installation.schema, writers, entries } satisfies ChangeWritersOptions,
    )
    const reader = (table: string, api: boolean) =>
      startProgram(
        "./changeReader.ts",
        {
          databaseUrl: postgresUrl,
          table: `${installation.schema}.${table}`,
          ...(api ? { api: { url: service.url, key: installation.adminKey } } : {}),
        } satisfies ChangeReaderOptions,
      )
    const contest = (name: string, by: ChangeWritersOrder["by"], table: string, api: boolean) =>
      Effect.gen(function* () {
        const readers = [yield* reader(table, api), yield* reader(table, api)]
        const order: ChangeWritersOrder = { by, table, transactions }
        const [written, read] = yield* Effect.all([
          program.order<{ readonly seconds: number }>(order),
          Effect.forEach(readers, (one) => one.order<ChangeReaderAnswer>({ until: all } satisfies ChangeReaderOrder), {
            concurrency: "unbounded",
          }),
        ], { concurrency: "unbounded" })
        // Once more, from the beginning, with nobody writing: what a reader who lags behind can do.
        const behind = yield* readers[0]!.order<ChangeReaderAnswer>({ until: all } satisfies ChangeReaderOrder)
        const slowest = Math.max(...read.map(({ seconds }) => seconds))
        return {
          written: all / written.seconds,
          behind: behind.entries / behind.seconds,
          row: [
            name,
            count(Math.round(all / written.seconds)),
            count(Math.round(all / slowest)),
            seconds(slowest - written.seconds),
            count(Math.round(behind.entries / behind.seconds)),
            count(Math.max(...read.map(({ skipped }) => skipped))),
            count(Math.max(...read.map(({ disordered }) => disordered))),
          ],
        }
      }).pipe(Effect.scoped)

    const plain = yield* contest("a plain table", "plain", "bare_changes", false)
    const ours = yield* contest("the change log", "store", "changes", true)
    yield* Console.log(
      `\n(e) ${writers} writers commit ${
        count(all)
      } entries, ${entries} at a time; two readers page by position; ${load()}\n\n` +
        markdown([
          ["", "written/s", "read/s meanwhile", "behind", "read/s alone", "skipped", "out of order"],
          plain.row,
          ours.row,
          ["ratio", ratio(ours.written / plain.written), "", "", ratio(ours.behind / plain.behind), "", ""],
        ]) + "\n\nThe plain table is read by SQL, the change log by HTTP: /v1/changes, 500 at a time.",
    )
  }).pipe(Effect.scoped)
