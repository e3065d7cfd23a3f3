/** The last hours of the fleet and of this process, in memory: what the plots of the dashboard show. */
import { DateTime, Duration, Effect } from "effect"
import type { History } from "../api/Operations.ts"
import { countsOf, since as between } from "../schedules/ProcessCounts.ts"
import type { Lag } from "../storage/grants/RefreshLag.ts"
import { Stats } from "../storage/Stats.ts"

const every = Duration.seconds(10)
/** Four hours. */
const mostSamples = 1_440

type Sample = History["samples"][number]

const redemptions = countsOf("mailfleet_redemptions_total", "outcome")
const turns = countsOf("mailfleet_sync_turns_total", "outcome")

const lagOf = ({ due, lagSeconds }: Lag): Lag => ({ due, lagSeconds })

/** Takes samples until the scope closes. Answers with the way to read them. */
export const makeHistory = Effect.gen(function* () {
  const stats = yield* Stats
  const samples: Array<Sample> = []
  let before = { at: yield* DateTime.now, redemptions: yield* redemptions, turns: yield* turns }

  const sample = Effect.gen(function* () {
    const refresh = lagOf(yield* stats.refreshLag)
    const sync = lagOf(yield* stats.sync)
    const now = { at: yield* DateTime.now, redemptions: yield* redemptions, turns: yield* turns }
    samples.push({
      at: now.at,
      seconds: Duration.toSeconds(DateTime.distance(before.at, now.at)),
      refresh,
      sync,
      redemptions: between(before.redemptions, now.redemptions),
      turns: between(before.turns, now.turns),
    })
    if (samples.length > mostSamples) samples.shift()
    before = now
  })

  yield* Effect.sleep(every).pipe(
    Effect.andThen(
      Effect.catchCause(
        sample,
        (cause) => Effect.logError("no sample could be taken; tried again in ten seconds", cause),
      ),
    ),
    Effect.forever,
    Effect.forkScoped,
  )

  return (since: DateTime.Utc | undefined): Effect.Effect<History> =>
    Effect.sync(() => ({
      everySeconds: Duration.toSeconds(every),
      samples: since === undefined ? [...samples] : samples.filter(({ at }) => DateTime.isGreaterThan(at, since)),
    }))
})
