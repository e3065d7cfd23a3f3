/** Takes up queued runs, and runs whose process has gone, and works on them. */
import { Cause, Context, Effect, FiberSet, Latch, Layer, Option } from "effect"
import type { RunKind } from "../domain/Run.ts"
import type { Tokens } from "../oauth/Tokens.ts"
import type { ImportStaging } from "../storage/runs/ImportStaging.ts"
import { type OwnedRun, Runs } from "../storage/runs/Runs.ts"
import { traceOf } from "../storage/runs/RunTrace.ts"
import { Concurrency } from "./Concurrency.ts"
import { importAccounts } from "./Import.ts"
import { refresh } from "./Refresh.ts"
import { sync } from "./Sync.ts"
import type { SyncAccount } from "./SyncAccount.ts"

const kinds: ReadonlyArray<RunKind> = ["import", "refresh", "sync"]

/** Runs of one kind that a process works on at once. They share the concurrency of their kind. */
const runsAtOnce = 8

/** What a run does belongs to the trace of the call that asked for it. */
const inItsTrace = (run: OwnedRun) =>
  Effect.withSpan(`Run.${run.kind}`, {
    attributes: { runId: run.id },
    ...Option.match(traceOf(run.params), { onNone: () => ({ root: true }), onSome: (parent) => ({ parent }) }),
  })

export class RunWorker extends Context.Service<RunWorker, {
  /** There is a new run: look now rather than at the next poll. */
  readonly wake: (kind: RunKind) => Effect.Effect<void>
}>()("mailfleet/programs/RunWorker") {
  static readonly layer: Layer.Layer<
    RunWorker,
    never,
    Runs | Concurrency | ImportStaging | Tokens | SyncAccount
  > = Layer.effect(
    RunWorker,
    Effect.gen(function* () {
      const runs = yield* Runs
      const concurrency = yield* Concurrency
      const latches = {
        import: yield* Latch.make(true),
        refresh: yield* Latch.make(true),
        sync: yield* Latch.make(true),
      }

      const work = (run: OwnedRun) =>
        Effect.gen(function* () {
          const program = { import: importAccounts, refresh, sync }[run.kind]
          const end = yield* program(run, concurrency[run.kind])
          yield* runs.finish(run, end)
          yield* Effect.logInfo(`${run.kind} run ${end}`)
        }).pipe(
          Effect.catchTag("RunLost", () => Effect.logWarning("another process has taken the run over")),
          Effect.onInterrupt(() => runs.handBack(run)),
          // The lease ends by itself, and the run is taken up again where it was.
          Effect.catchCause((cause) =>
            Cause.hasInterruptsOnly(cause)
              ? Effect.interrupt
              : Effect.logError("a run stopped unexpectedly and is resumed later", cause)
          ),
          Effect.annotateLogs({ runId: run.id }),
          inItsTrace(run),
        )

      for (const kind of kinds) {
        const working = yield* FiberSet.make<void>()
        yield* Effect.gen(function* () {
          yield* Effect.timeoutOption(latches[kind].await, "1 second")
          yield* latches[kind].close
          const free = runsAtOnce - (yield* FiberSet.size(working))
          const claimed = free > 0 ? yield* runs.claim(kind, free) : []
          for (const run of claimed) yield* FiberSet.run(working, work(run))
        }).pipe(
          Effect.catchCause((cause) =>
            Effect.andThen(Effect.logError("runs cannot be claimed", cause), Effect.sleep("1 second"))
          ),
          Effect.forever,
          Effect.forkScoped,
        )
      }

      return RunWorker.of({ wake: (kind) => latches[kind].open })
    }),
  )
}
