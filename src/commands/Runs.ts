/** `runs`: what was asked for, and what came of it. */
import { Console, DateTime, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { NotFound } from "../api/Problems.ts"
import { Outcome, Run, RunItem, RunKind, RunState } from "../domain/Run.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit, wait } from "./Flags.ts"
import { follow, started } from "./Follow.ts"
import { itemTable, printJson, report, reportJson, summary } from "./Report.ts"
import { relative, table } from "./Text.ts"

const RunPage = Schema.Struct({ items: Schema.Array(Run), nextCursor: Schema.NullOr(Schema.String) })
const ItemPage = Schema.Struct({
  run: Run,
  items: Schema.Array(RunItem),
  nextCursor: Schema.NullOr(Schema.String),
})

const id = Argument.String("run").pipe(Argument.withDescription("Id of the run"))

/** A call for one run; where there is none, the answer names it. */
const ofRun = <A, E extends Error, R>(id: string, call: Effect.Effect<A, E | NotFound, R>) =>
  Effect.catchIf(
    call,
    (error) => error instanceof NotFound,
    () => Effect.fail(new CommandError({ message: `no run has the id ${id}` })),
  )

const getRun = Effect.fnUntraced(function* (id: string) {
  const { ask, client: { api } } = yield* Connection
  return yield* ask(ofRun(id, api.runs.get({ params: { id } })))
})

const show = Command.make(
  "show",
  {
    id,
    failed: Flag.Boolean("failed").pipe(
      Flag.withDescription("List the items that failed; the same as --outcome failed"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    outcome: Flag.Literals("outcome", Outcome.literals).pipe(
      Flag.withDescription("List the items with this outcome"),
      Flag.optional,
    ),
    limit,
    json,
  },
  Effect.fnUntraced(function* ({ id, failed, outcome, limit, json }) {
    const { ask, client: { api } } = yield* Connection
    const run = yield* getRun(id)
    const wanted = failed ? Option.some("failed" as const) : outcome
    if (Option.isNone(wanted)) return yield* json ? reportJson(run) : report(run)
    const { items, nextCursor } = yield* ask(
      firstOf(limit, (page) => api.runs.items({ params: { id }, query: { ...page, outcome: wanted.value } })),
    )
    if (json) return yield* printJson(ItemPage, { run, items, nextCursor })
    yield* Console.log(summary(run))
    if (items.length > 0) yield* Console.log(itemTable(items, { outcome: false }))
    if (nextCursor !== null) yield* Console.error(`these are the first ${limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("Show a run and the first of its failed items, or all items of one outcome."),
  Command.withShortDescription("Show a run and its items"),
  Command.withExamples([{ command: "mailfleet runs show 0199a4c2-8e2f-7bd0-9b9f-0a3c1f1d2e4b --failed --limit 1000" }]),
)

const watch = Command.make(
  "watch",
  { id, json },
  Effect.fnUntraced(function* ({ id, json }) {
    yield* follow(yield* getRun(id), { json, onInterrupt: "leave" })
  }),
).pipe(
  Command.withDescription("Follow a run until it has ended. Ctrl-C stops the watching only, not the run."),
  Command.withShortDescription("Follow a run"),
  Command.withExamples([{ command: "mailfleet runs watch 0199a4c2-8e2f-7bd0-9b9f-0a3c1f1d2e4b" }]),
)

const cancel = Command.make(
  "cancel",
  { id, json },
  Effect.fnUntraced(function* ({ id, json }) {
    const { ask, client: { api } } = yield* Connection
    const run = yield* ask(ofRun(id, api.runs.cancel({ params: { id } })))
    yield* json
      ? reportJson(run)
      : Console.log(`cancelled ${run.kind} ${run.id}: what was under way finishes, nothing more is started`)
  }),
).pipe(
  Command.withDescription("Cancel a run: items under way finish, no more are started. Outcomes so far are kept."),
  Command.withShortDescription("Cancel a run"),
  Command.withExamples([{ command: "mailfleet runs cancel 0199a4c2-8e2f-7bd0-9b9f-0a3c1f1d2e4b" }]),
)

const retry = Command.make(
  "retry",
  { id, wait, json },
  Effect.fnUntraced(function* ({ id, ...options }) {
    const { ask, client: { api } } = yield* Connection
    const { body } = yield* ask(ofRun(id, api.runs.retry({ params: { id }, headers: {} })))
    yield* started(body, options)
  }),
).pipe(
  Command.withDescription("Run the failed items of a run again, as a new run."),
  Command.withShortDescription("Run failed items again"),
  Command.withExamples([{ command: "mailfleet runs retry 0199a4c2-8e2f-7bd0-9b9f-0a3c1f1d2e4b" }]),
)

const header = ["ID", "KIND", "STATE", "DONE", "SUCCEEDED", "FAILED", "SKIPPED", "CREATED"]

const row = (run: Run, now: DateTime.DateTime): ReadonlyArray<string> => [
  run.id,
  run.kind,
  run.state,
  `${run.processed}/${run.total}`,
  String(run.succeeded),
  String(run.failed),
  String(run.skipped),
  relative(run.createdAt, now),
]

export const runs = Command.make(
  "runs",
  {
    kind: Flag.Literals("kind", RunKind.literals).pipe(Flag.withDescription("Runs of this kind"), Flag.optional),
    state: Flag.Literals("state", RunState.literals).pipe(Flag.withDescription("Runs in this state"), Flag.optional),
    limit,
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const filter = { ...given("kind", flags.kind), ...given("state", flags.state) }
    const found = yield* ask(firstOf(flags.limit, (page) => api.runs.list({ query: { ...page, ...filter } })))
    if (flags.json) return yield* printJson(RunPage, found)
    if (found.items.length === 0) return yield* Console.error("no runs")
    const now = yield* DateTime.now
    yield* Console.log(table([header, ...found.items.map((run) => row(run, now))]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("List runs, newest first."),
  Command.withShortDescription("List runs; show, watch, cancel or retry one"),
  Command.withExamples([
    { command: "mailfleet runs --state running", description: "What is going on" },
    { command: "mailfleet runs --kind import --limit 5 --json", description: "The last five imports, for a script" },
  ]),
  Command.withSubcommands([show, watch, cancel, retry]),
  Command.provide(Connection.layer),
)
