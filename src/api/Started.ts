/** The answer of calls that start a run. */
import { Schema } from "effect"
import { HttpApiSchema } from "effect/http-api"
import { Run } from "./Models.ts"
import { IdempotencyKeyInUse, IdempotencyKeyReused } from "./Problems.ts"

/** `202`, the run, and where to watch it. */
export const Started = HttpApiSchema.WithHeaders(Run.pipe(HttpApiSchema.status(202)), { location: Schema.String })

export const startErrors = [IdempotencyKeyInUse, IdempotencyKeyReused] as const
