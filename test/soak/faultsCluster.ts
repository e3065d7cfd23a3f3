/**
 * Three processes of a cluster, each in a network of its own, under imports, refreshes, syncs and webhooks; and what machines do
 * to them. Prints a table, and exits with 1 where something was lost, doubled, called dead or stuck, or took over a minute.
 *
 * `deno task soak:faults-cluster [--repeat 20] [--only stop] [--freeze 60] [--accounts 24] [--seed 1]
 * [--logs FOLDER]`. Wants root, iproute2, the
 * binaries of a Postgres, and faketime for the clocks.
 */
import { Cause, Console, Effect } from "effect"
import { parseArgs } from "node:util"
import { clusterFaults } from "../crash/clusterFaults.ts"
import { befallCluster, type ClusterOutcome, hasFakeTime } from "../crash/clusterStage.ts"

const { values } = parseArgs({
  args: Deno.args,
  options: {
    repeat: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    freeze: { type: "string", default: "60" },
    accounts: { type: "string", default: "24" },
    seed: { type: "string", default: "1" },
    logs: { type: "string" },
  },
})

/** Seconds. What a fault of one process leaves is taken over by then. */
const soon = 60

const isBorne = (outcome: ClusterOutcome): boolean =>
  [outcome.wronglyDead, outcome.shownAgain, outcome.differences, outcome.logFaults].every((list) =>
    list.length === 0
  ) &&
  outcome.twice + outcome.untold + outcome.stuck === 0 && (outcome.takeoverSeconds ?? Infinity) <= soon

const sum = (outcomes: ReadonlyArray<ClusterOutcome>, of: (outcome: ClusterOutcome) => number): number =>
  outcomes.reduce((total, outcome) => total + of(outcome), 0)

const columns: ReadonlyArray<readonly [string, (outcomes: ReadonlyArray<ClusterOutcome>) => string | number]> = [
  ["times", (all) => all.length],
  ["dead wrongly", (all) => sum(all, ({ wronglyDead }) => wronglyDead.length)],
  ["refreshed by two", (all) => sum(all, ({ shownAgain, twice }) => twice + shownAgain.length)],
  ["on the wire", (all) => sum(all, ({ onTheWire }) => onTheWire)],
  ["lost", (all) => sum(all, ({ differences }) => differences.length)],
  ["doubled", (all) => sum(all, ({ logFaults }) => logFaults.length)],
  ["untold", (all) => sum(all, ({ untold }) => untold)],
  ["stuck", (all) => sum(all, ({ stuck }) => stuck)],
  ["mailbox peak", (all) => Math.max(...all.map(({ mailboxPeak }) => mailboxPeak))],
  ["takeover, longest", (all) => {
    const slowest = Math.max(...all.map(({ takeoverSeconds }) => takeoverSeconds ?? Infinity))
    return slowest === Infinity ? "never" : `${slowest.toFixed(1)} s`
  }],
]

const table = (rows: ReadonlyArray<readonly [string, ReadonlyArray<ClusterOutcome>]>): string =>
  [
    `| fault | ${columns.map(([name]) => name).join(" | ")} |`,
    `| --- |${columns.map(() => " ---: |").join("")}`,
    ...rows.map(([name, all]) => `| ${name} | ${columns.map(([, of]) => of(all)).join(" | ")} |`),
  ].join("\n")

const soak = Effect.gen(function* () {
  const { logs } = values
  if (logs !== undefined) yield* Effect.promise(() => Deno.mkdir(logs, { recursive: true }))
  const rows: Array<readonly [string, ReadonlyArray<ClusterOutcome>]> = []
  let failed = false
  for (const fault of clusterFaults(Number(values.freeze))) {
    if (!fault.name.includes(values.only)) continue
    if (fault.wantsClock && !hasFakeTime()) {
      yield* Console.error(`${fault.name}: left out, there is no faketime`)
      continue
    }
    const outcomes: Array<ClusterOutcome> = []
    for (let n = 0; n < Number(values.repeat); n++) {
      const outcome = yield* befallCluster(fault, {
        accounts: Number(values.accounts),
        seed: Number(values.seed) + n,
        logs: values.logs,
      }).pipe(
        Effect.catchCause((cause) => Effect.as(Console.error(`${fault.name}: ${Cause.pretty(cause)}`), undefined)),
      )
      if (outcome === undefined) {
        failed = true
        continue
      }
      yield* Console.error(JSON.stringify(outcome))
      outcomes.push(outcome)
    }
    rows.push([fault.name, outcomes])
  }
  yield* Console.log(table(rows))
  return !failed && rows.every(([, outcomes]) => outcomes.every(isBorne))
})

Deno.exit(await Effect.runPromise(soak) ? 0 : 1)
