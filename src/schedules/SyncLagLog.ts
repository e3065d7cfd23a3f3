/**
 * Says once a minute how far syncing lags behind, and what came of this process's turns meanwhile; and, at the start and
 * whenever it comes to be so, that the settings cannot keep so many accounts in step.
 */
import { Duration, Effect, Layer, Metric } from "effect"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { Stats } from "../storage/Stats.ts"

const every = Duration.minutes(1)

/** Seconds. From here on mailboxes miss a whole round. */
export const worryingSync = ({ syncEvery }: Pick<SettingsValues, "syncEvery">): number =>
  Math.max(60, Duration.toSeconds(syncEvery))

/** Turns of this process since its start, by what came of them, over all channels. */
const turns = Effect.map(Metric.snapshot, (series) => {
  const byOutcome = new Map<string, number>()
  for (const one of series) {
    if (one.id !== "mailfleet_sync_turns_total" || one.type !== "Counter") continue
    const outcome = one.attributes?.["outcome"] ?? ""
    byOutcome.set(outcome, (byOutcome.get(outcome) ?? 0) + Number(one.state.count))
  }
  return byOutcome
})

export const layer: Layer.Layer<never, never, Settings | Stats> = Layer.effectDiscard(Effect.gen(function* () {
  const stats = yield* Stats
  const limit = worryingSync(yield* Settings)
  let before = yield* turns
  let advised = false

  const advise = Effect.fnUntraced(function* (advice: string | undefined) {
    if (advice !== undefined && !advised) yield* Effect.logWarning(advice)
    advised = advice !== undefined
  })

  const line = Effect.gen(function* () {
    const { due, lagSeconds, reach, stale } = yield* stats.sync
    yield* advise(reach.advice)
    const now = yield* turns
    const since = [...now].map(([outcome, count]) => [outcome, count - (before.get(outcome) ?? 0)] as const)
    before = now
    const log = lagSeconds <= limit ? Effect.logInfo("syncing keeps up") : Effect.logWarning("syncing lags behind")
    yield* log.pipe(Effect.annotateLogs({
      due,
      lagSeconds,
      stale: stale.accounts,
      turns: since.reduce((sum, [, count]) => sum + count, 0),
      ...Object.fromEntries(since.filter(([, count]) => count > 0).map(([name, count]) => [`turns.${name}`, count])),
    }))
  })

  const told = (work: Effect.Effect<void>) =>
    Effect.catchCause(work, (cause) => Effect.logError("the sync lag cannot be told; tried again in a minute", cause))

  const start = told(Effect.flatMap(stats.sync, ({ reach }) => advise(reach.advice)))
  yield* Effect.forkScoped(
    Effect.andThen(start, Effect.forever(Effect.andThen(Effect.sleep(every), told(line)))),
  )
}))
