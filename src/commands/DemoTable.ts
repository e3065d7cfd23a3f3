/** The figures of the demo: what was measured beside what is possible. */

export interface Timing {
  readonly job: string
  readonly accounts: number
  /** Milliseconds, one account after another. */
  readonly oneByOneMillis: number
  /** Milliseconds that no program can beat at this concurrency. */
  readonly floorMillis: number
  readonly measuredMillis: number
  /** Most requests that the provider saw at once; for a sync, of one mailbox. */
  readonly seenAtOnce: number
  readonly allowedAtOnce: number
}

/** ⌈N/C⌉ × latency + (⌈N/C⌉ − 1) × spacing */
export const floorMillis = (
  accounts: number,
  concurrency: number,
  latencyMillis: number,
  spacingMillis = 0,
): number => {
  const rounds = Math.ceil(accounts / concurrency)
  return rounds * latencyMillis + (rounds - 1) * spacingMillis
}

const seconds = (millis: number): string => `${(millis / 1_000).toFixed(millis < 100_000 ? 2 : 1)} s`

/** A table in plain text. */
export const table = (timings: ReadonlyArray<Timing>): string => {
  const rows = [
    ["job", "accounts", "one after another", "floor", "measured", "ratio", "at once (allowed)"],
    ...timings.map((timing) => [
      timing.job,
      String(timing.accounts),
      seconds(timing.oneByOneMillis),
      seconds(timing.floorMillis),
      seconds(timing.measuredMillis),
      (timing.measuredMillis / timing.floorMillis).toFixed(3),
      `${timing.seenAtOnce} (${timing.allowedAtOnce})`,
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ")
  ).join("\n")
}
