/**
 * What import, refresh and sync share when they work on the items of a run: lanes, retries, outcomes, progress, cancel,
 * ownership and resuming after a crash. An item is done when its outcome is stored; until then it is pending and is worked
 * on again, so `one` must bear being repeated.
 */
import { Effect, Latch, Metric, Random } from "effect"
import type { ProviderError } from "../domain/ProviderError.ts"
import { type ItemResult, type OwnedRun, type RunLost, Runs, type WorkItem } from "../storage/runs/Runs.ts"
import { isPostponed, lanes, type Postponed, postponed } from "./Lanes.ts"
import { unexpectedAsError } from "./Unexpected.ts"

export type ItemOutcome = Omit<ItemResult, "position">

export const succeeded: ItemOutcome = { outcome: "succeeded" }
export const skipped = (code: string, message: string): ItemOutcome => ({
  outcome: "skipped",
  error: { code, message, retryable: false },
})

/** Progress is stored after so many outcomes, or so long after the first of them, whichever comes first. */
const progressItems = 10
const progressMillis = 250
const pageSize = 200
const transientRetries = 3

const items = Metric.counter("mailfleet_run_items_total", {
  description: "Items of runs, by kind and outcome",
  incremental: true,
})

/** Waits out what asks to wait, tries passing faults again, and turns the rest into the item's outcome. */
export const orPostpone = (error: ProviderError, attempt: number): Effect.Effect<ItemOutcome | Postponed> =>
  Effect.gen(function* () {
    if (error.class === "throttled") return postponed(error.retryAfterMillis ?? 1_000, false)
    if (error.class === "transient" && attempt < transientRetries) {
      const jitter = yield* Random.next
      return postponed(1_000 * 2 ** attempt * (1 + jitter / 4), true)
    }
    return { outcome: "failed", error: { code: error.code, message: describe(error), retryable: error.retryable } }
  })

const describe = (error: ProviderError): string =>
  error.providerCode === undefined ? error.message : `${error.providerCode}: ${error.message}`

/** Works on every pending item of a run that this process owns. Ends as `cancelled` when somebody asks for that. */
export const runOver = (
  run: OwnedRun,
  concurrency: number,
  one: (item: WorkItem, attempt: number) => Effect.Effect<ItemOutcome | Postponed>,
): Effect.Effect<"completed" | "cancelled", RunLost, Runs> =>
  Effect.gen(function* () {
    const runs = yield* Runs
    // A plain list and two latches: a queue could lose the item that it hands to a fiber that is being interrupted.
    const results: Array<ItemResult> = []
    const some = yield* Latch.make()
    const enough = yield* Latch.make()
    let position = 0

    const next = Effect.gen(function* () {
      const page = yield* runs.pending(run, position, pageSize)
      position = page[page.length - 1]?.position ?? position
      return page
    })

    const record = Effect.fnUntraced(function* (batch: ReadonlyArray<ItemResult>) {
      yield* runs.record(run, batch)
      for (const { outcome } of batch) {
        yield* Metric.update(Metric.withAttributes(items, { kind: run.kind, outcome }), 1)
      }
    })

    const recordAll = Effect.uninterruptible(Effect.suspend(() => {
      some.closeUnsafe()
      enough.closeUnsafe()
      const batch = results.splice(0)
      return batch.length === 0 ? Effect.void : record(batch)
    }))

    // Behind a slow database the batches grow by themselves.
    const recorder = some.await.pipe(
      Effect.andThen(Effect.timeoutOption(enough.await, progressMillis)),
      Effect.andThen(recordAll),
      Effect.forever,
    )

    const work = lanes({
      concurrency,
      next,
      one: (item: WorkItem, attempt) =>
        Effect.map(
          one(item, attempt).pipe(
            // One account's is not the run's.
            unexpectedAsError,
            Effect.catchTag("ProviderError", (error) => orPostpone(error, attempt)),
            Effect.annotateLogs({ accountId: item.accountId }),
          ),
          (result) => isPostponed(result) ? result : { ...result, position: item.position },
        ),
      done: (result: ItemResult) =>
        Effect.sync(() => {
          results.push(result)
          some.openUnsafe()
          if (results.length >= progressItems) enough.openUnsafe()
        }),
    }).pipe(
      Effect.withSpan(`RunOver.${run.kind}`, { attributes: { runId: run.id } }),
      Effect.as("completed" as const),
    )

    return yield* Effect.raceFirst(
      Effect.raceFirst(work, recorder),
      untilCancelled(run),
      // Outcomes that are known but not stored yet, whatever ended the work.
    ).pipe(Effect.ensuring(Effect.ignore(recordAll)))
  })

/** Keeps the ownership of a run, and ends when somebody asks for its end. */
export const untilCancelled = (run: OwnedRun): Effect.Effect<"cancelled", RunLost, Runs> =>
  Effect.gen(function* () {
    const runs = yield* Runs
    while (true) {
      const { cancelRequested } = yield* runs.renew(run)
      if (cancelRequested) return "cancelled" as const
      yield* Effect.sleep("1 second")
    }
  })
