/** What came of a run, in words. */
import { Console, DateTime, Duration, Effect, Schema } from "effect"
import { Run, RunItem } from "../domain/Run.ts"
import { Connection, firstOf } from "./Connection.ts"
import { count, short, table } from "./Text.ts"

/** How many failed items a summary shows. */
const shownItems = 10

const tookOf = ({ startedAt, finishedAt }: Run): string =>
  startedAt === null || finishedAt === null
    ? ""
    : ` in ${short(Duration.millis(DateTime.toEpochMillis(finishedAt) - DateTime.toEpochMillis(startedAt)))}`

/** `import 0199…: completed in 20 s` and the counts. */
export const summary = (run: Run): string =>
  [
    `${run.kind} ${run.id}: ${run.state}${tookOf(run)}${run.dryRun === true ? " (dry run: nothing was stored)" : ""}`,
    `${run.processed} of ${count(run.total, run.kind === "import" ? "row" : "account")}: ` +
    `${run.succeeded} succeeded, ${run.failed} failed, ${run.skipped} skipped`,
  ].join("\n")

/** Items as a table: where they stand in the file or the selection, whose they are, what came of them and why. */
export const itemTable = (items: ReadonlyArray<RunItem>, options: { readonly outcome: boolean }): string =>
  table(items.map((item) => [
    item.line === undefined ? `#${item.position}` : `line ${item.line}`,
    item.email ?? "-",
    ...(options.outcome ? [item.outcome] : []),
    item.error === undefined
      ? ""
      : `${item.error.code}${item.error.field === undefined ? "" : `, ${item.error.field}`}: ${item.error.message}`,
  ])).replace(/^/gm, "  ")

/** Prints a run and the first items that failed. */
export const report = Effect.fnUntraced(function* (run: Run) {
  const { ask, client: { api } } = yield* Connection
  yield* Console.log(summary(run))
  if (run.failed === 0) return
  const { items } = yield* ask(
    firstOf(shownItems, (page) => api.runs.items({ params: { id: run.id }, query: { ...page, outcome: "failed" } })),
  )
  yield* Console.log(itemTable(items, { outcome: false }))
  if (run.failed > items.length) {
    yield* Console.log(`and ${run.failed - items.length} more: mailfleet runs show ${run.id} --failed`)
  }
  if (items.some(({ error }) => error?.retryable === true)) {
    yield* Console.log(`to run the failed items again: mailfleet runs retry ${run.id}`)
  }
})

/** Prints values that the API answered with, as the API writes them. */
export const printJson = <S extends Schema.Codec<unknown, unknown>>(schema: S, value: S["Type"]) =>
  Effect.flatMap(
    Effect.orDie(Schema.encodeUnknownEffect(schema)(value)),
    (encoded) => Console.log(JSON.stringify(encoded, null, 2)),
  )

export const reportJson = (run: Run) => printJson(Run, run)
