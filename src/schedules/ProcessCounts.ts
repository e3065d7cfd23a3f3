/** What this process has counted since its start, read back from its metrics. */
import { Effect, Metric } from "effect"

/** A counter's values by one of its labels, summed over the others. */
export const countsOf = (metric: string, label: string): Effect.Effect<ReadonlyMap<string, number>> =>
  Effect.map(Metric.snapshot, (series) => {
    const counts = new Map<string, number>()
    for (const one of series) {
      if (one.id !== metric || one.type !== "Counter") continue
      const name = one.attributes?.[label] ?? ""
      counts.set(name, (counts.get(name) ?? 0) + Number(one.state.count))
    }
    return counts
  })

/** What was counted between two readings; what did not happen is left out. */
export const since = (
  before: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...now].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const).filter(([, count]) => count > 0),
  )
