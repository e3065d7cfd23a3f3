/** How long a turn of the sync takes in this process, and how many mailboxes can be kept in step at that pace. */
import { Context, Duration, Effect, Layer } from "effect"
import type { SettingsValues } from "../domain/Settings.ts"

/** The weight of the latest turn in the mean: what happened a hundred turns ago hardly counts. */
const weight = 0.02

export class SyncPace extends Context.Service<SyncPace, {
  /** Takes in how long a turn held its lane, in milliseconds. */
  readonly took: (millis: number) => Effect.Effect<void>
  /** Milliseconds; undefined before the first turn. */
  readonly mean: Effect.Effect<number | undefined>
}>()("mailfleet/pacing/SyncPace") {
  static readonly layer: Layer.Layer<SyncPace> = Layer.sync(SyncPace, () => {
    let mean: number | undefined
    let turns = 0
    return SyncPace.of({
      took: (millis) =>
        Effect.sync(() => {
          turns++
          // The first ones weigh the same, so that no single one decides for long.
          mean = mean === undefined ? millis : mean + (millis - mean) * Math.max(weight, 1 / turns)
        }),
      mean: Effect.sync(() => mean),
    })
  })
}

/** What a process is set to. Times in milliseconds. */
export interface SyncSpeed {
  /** Accounts at once. */
  readonly lanes: number
  /** True where the lanes are the ceiling of `auto`. */
  readonly isAuto: boolean
  readonly every: number
  readonly spacing: number
  /** Of a turn. */
  readonly mean: number
}

export const speedOf = (
  { concurrencyCeiling, syncConcurrency, syncEvery, syncSpacing }: Pick<
    SettingsValues,
    "concurrencyCeiling" | "syncConcurrency" | "syncEvery" | "syncSpacing"
  >,
  mean: number | undefined,
): SyncSpeed => ({
  lanes: syncConcurrency === "auto" ? concurrencyCeiling : syncConcurrency,
  isAuto: syncConcurrency === "auto",
  every: Duration.toMillis(syncEvery),
  spacing: Duration.toMillis(syncSpacing),
  mean: mean ?? 0,
})

/** The mailboxes that one process takes through a turn within the interval. Infinity where a turn takes no time at all. */
export const reachOf = ({ every, lanes, mean, spacing }: SyncSpeed): number =>
  spacing + mean <= 0 ? Infinity : Math.floor(lanes * every / (spacing + mean))

/** What to set instead, where the interval cannot be kept for so many accounts; undefined where it can. */
export const syncAdvice = (accounts: number, speed: SyncSpeed): string | undefined => {
  const reach = reachOf(speed)
  if (accounts <= reach) return undefined
  const { every, isAuto, lanes, mean, spacing } = speed
  const each = spacing + mean
  // Both round to the side on which the interval is kept.
  const shorter = Math.floor(lanes * every / accounts - mean)
  const choices = [
    `${isAuto ? "MAILFLEET_CONCURRENCY_CEILING" : "MAILFLEET_SYNC_CONCURRENCY"}=${Math.ceil(accounts * each / every)}`,
    ...(spacing > 0 && shorter >= 0 ? [`MAILFLEET_SYNC_SPACING="${written(shorter)}"`] : []),
    `MAILFLEET_SYNC_EVERY="${written(Math.ceil(accounts * each / lanes / 1_000) * 1_000)}"`,
  ]
  const processes = Math.ceil(accounts / Math.max(1, reach))
  const turn = mean > 0 ? ` and ${written(Math.round(mean))} for each` : ""
  return `${accounts} accounts cannot be synced every ${written(every)}: ${lanes} at once, with ${written(spacing)} ` +
    `between two${turn}, reach ${reach}. Set ${choices.join(", or ")}; or run ${processes} processes`
}

/** As a setting takes it. */
const written = (millis: number): string => {
  const [unit, size] = millis % 60_000 === 0 && millis > 0
    ? ["minute", 60_000]
    : millis % 1_000 === 0
    ? ["second", 1_000]
    : ["milli", 1]
  const count = millis / (size as number)
  return `${count} ${unit}${count === 1 ? "" : "s"}`
}
