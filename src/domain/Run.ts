/** Runs: work over many accounts that somebody asked for. */
import { Schema } from "effect"
import { AccountId, RunId } from "./Ids.ts"

/** What a run does with each of its items. */
export const RunKind = Schema.Literals(["import", "refresh", "sync"])
export type RunKind = typeof RunKind.Type

/** `completed`: every item has an outcome, however many failed. `failed`: the run itself could not go on. */
export const RunState = Schema.Literals(["queued", "running", "completed", "cancelled", "failed"])
export type RunState = typeof RunState.Type

/** What became of an item. */
export const Outcome = Schema.Literals(["pending", "succeeded", "failed", "skipped"])
export type Outcome = typeof Outcome.Type

/** One import, refresh or sync over many accounts. */
export const Run = Schema.Struct({
  id: RunId,
  kind: RunKind,
  state: RunState,
  /** Who asked: `api`, `retry` (of another run) or `library`. */
  trigger: Schema.String,
  total: Schema.Int,
  /** succeeded + failed + skipped */
  processed: Schema.Int,
  succeeded: Schema.Int,
  failed: Schema.Int,
  skipped: Schema.Int,
  createdAt: Schema.DateTimeUtcFromString,
  startedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  finishedAt: Schema.NullOr(Schema.DateTimeUtcFromString),
  /** The run whose failed items this one runs again. */
  retryOf: Schema.optionalKey(RunId),
  dryRun: Schema.optionalKey(Schema.Boolean),
})
export type Run = typeof Run.Type

/** Why an item failed. */
export const ItemError = Schema.Struct({
  code: Schema.String,
  /** Of an imported row: the value that is to be mended, by its name in the import formats. */
  field: Schema.optionalKey(Schema.String),
  message: Schema.String,
  /** True where running the item again may succeed without anybody's help. */
  retryable: Schema.Boolean,
})
export type ItemError = typeof ItemError.Type

/** One row of an import, or one account of a refresh or sync. */
export const RunItem = Schema.Struct({
  /** From 1, in the order of the file or the selection. */
  position: Schema.Int,
  /** Physical line in the imported file, from 1. */
  line: Schema.optionalKey(Schema.Int),
  email: Schema.optionalKey(Schema.String),
  accountId: Schema.optionalKey(AccountId),
  outcome: Outcome,
  error: Schema.optionalKey(ItemError),
})
export type RunItem = typeof RunItem.Type

/** What an import does with a row whose account exists already. */
export const OnDuplicate = Schema.Literals(["update", "skip", "fail"])
export type OnDuplicate = typeof OnDuplicate.Type
