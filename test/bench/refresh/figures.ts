/** Figures and the tables that they stand in. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import { layerPostgres } from "./postgres.ts"

/** A table in Markdown that reads well as plain text too; the first row is the head. */
export const markdown = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  const padded = rows.map((row) =>
    line(row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
  )
  const rule = line(widths.map((width, column) => column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`))
  return [padded[0], rule, ...padded.slice(1)].join("\n")
}

/** The value below which the given share of the values lies. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** A dash stands for what could not be measured. */
const number = (value: number, digits: number, unit = ""): string =>
  Number.isFinite(value) ? `${value.toFixed(digits)}${unit}` : "–"
export const seconds = (value: number, digits = 2): string => number(value, digits, " s")
export const millis = (value: number, digits = 1): string => number(value, digits, " ms")
export const mebibytes = (value: number): string => number(value, 0, " MiB")
export const percent = (share: number): string => number(share * 100, 1, " %")
export const ratio = (value: number): string => number(value, 3)
export const count = (value: number): string => value.toLocaleString("en")

/** How busy this machine is by now: a reader sees whether something else ran beside the measurement. */
export const load = (): string => `load ${Deno.loadavg().map((value) => value.toFixed(2)).join(" ")}`

const observed = ["server_version", "synchronous_commit", "fsync", "shared_buffers", "autovacuum"]

/** Cores, runtime and the settings of Postgres that matter here. */
export const machine: Effect.Effect<string> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const settings = yield* Effect.forEach(
    observed,
    (name) =>
      Effect.map(
        sql<{ value: string }>`select current_setting(${name}) as value`,
        (rows) => `${name} ${rows[0]!.value}`,
      ),
  )
  return `${navigator.hardwareConcurrency} cores, ${load()}, Deno ${Deno.version.deno}, Postgres: ${
    settings.join(", ")
  }`
}).pipe(Effect.provide(layerPostgres), Effect.orDie)
