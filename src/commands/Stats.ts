/** `stats`: the fleet at a glance. */
import { Console, Duration, Effect } from "effect"
import { Command } from "effect/cli"
import { Stats } from "../api/Operations.ts"
import { Connection } from "./Connection.ts"
import { json } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { count, short, table } from "./Text.ts"

/** `active 97, needs_reauth 2`: those that there are. */
const parts = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts).filter(([, amount]) => amount > 0).map(([name, amount]) => `${name} ${amount}`).join(", ") ||
  "none"

const lag = ({ due, lagSeconds }: { readonly due: number; readonly lagSeconds: number }): string =>
  due === 0 ? "nothing overdue" : `${due} overdue, the oldest for ${short(Duration.seconds(lagSeconds))}`

const { format } = new Intl.NumberFormat("en-US")

const glance = ({ accounts, messages, refresh, runs, sync }: Stats): string =>
  table([
    ["accounts", `${format(accounts.total)}: ${parts(accounts.byStatus)}`],
    ["providers", parts(accounts.byProvider)],
    ["messages", format(messages)],
    ["refresh", lag(refresh)],
    ["failing", parts(refresh.failing)],
    ["tokens ending", `${refresh.ending.withinDay} within a day, ${refresh.ending.withinWeek} within a week`],
    ["sync", lag(sync)],
    ["failing", parts(sync.failing)],
    ["stale", `${count(sync.stale.accounts, "account")} without a round for three intervals`],
    [
      "reach",
      `${sync.reach.accounts === null ? "not known yet" : count(sync.reach.accounts, "account")} within ${
        short(Duration.seconds(sync.reach.everySeconds))
      }, one process; ${sync.accounts} are synced`,
    ],
    ...(sync.reach.advice === undefined ? [] : [["to do", sync.reach.advice]]),
    ["runs", parts(runs)],
  ])

export const stats = Command.make(
  "stats",
  { json },
  Effect.fnUntraced(function* ({ json }) {
    const { ask, client: { api } } = yield* Connection
    const stats = yield* ask(api.operations.stats())
    yield* json ? printJson(Stats, stats) : Console.log(glance(stats))
  }),
).pipe(
  Command.withDescription(
    "Show the fleet at a glance: accounts, mail, how far refreshing and syncing are behind, runs.",
  ),
  Command.withShortDescription("The fleet at a glance"),
  Command.withExamples([{ command: "mailfleet stats" }, { command: "mailfleet stats --json | jq .sync.lagSeconds" }]),
  Command.provide(Connection.layer),
)
