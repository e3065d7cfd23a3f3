/** How the errors of the programs and of storage become problems, and the answers that several calls share. */
import { Effect, Option } from "effect"
import { HttpEffect, HttpServerResponse } from "effect/http"
import { HttpApiSchema } from "effect/http-api"
import { defaultLimit } from "../api/Parameters.ts"
import {
  IdempotencyKeyInUse,
  IdempotencyKeyReused,
  ImportRefused as ImportRefusedProblem,
  InvalidCursor as InvalidCursorProblem,
  NotFound,
  PositionExpired as PositionExpiredProblem,
} from "../api/Problems.ts"
import type { Run } from "../domain/Run.ts"
import type { ImportRefused } from "../programs/RunRequests.ts"
import type { InvalidCursor } from "../storage/Cursor.ts"
import type { PositionExpired } from "../storage/mail/Positions.ts"
import type { IdempotencyConflict } from "../storage/runs/Runs.ts"

/** Adds headers to the answer of the request under way, whatever becomes of it. */
export const withHeaders = (headers: Readonly<Record<string, string>>) =>
  HttpEffect.appendPreResponseHandler((_request, response) =>
    Effect.succeed(HttpServerResponse.setHeaders(response, headers))
  )

/** The query of a list, with the limit that applies. */
export const limited = <Q extends { readonly limit?: number }>(query: Q): Q & { readonly limit: number } => ({
  ...query,
  limit: query.limit ?? defaultLimit,
})

/** Fails with `not_found` where there is none. */
export const orNotFound = (what: string) => <A, E, R>(effect: Effect.Effect<Option.Option<A>, E, R>) =>
  Effect.flatMap(
    effect,
    Option.match({
      onNone: () => Effect.fail(new NotFound({ detail: `there is no ${what} with this id` })),
      onSome: Effect.succeed,
    }),
  )

/** `202` with the run and where to watch it. */
export const started = (run: Run) =>
  HttpApiSchema.withHeaders({ body: run, headers: { location: `/v1/runs/${run.id}` } })

export const cursorProblem = (error: InvalidCursor) => new InvalidCursorProblem({ detail: error.message })

export const expiredProblem = ({ message, position }: PositionExpired) =>
  new PositionExpiredProblem({ detail: message, position })

export const positionProblem = (error: InvalidCursor | PositionExpired) =>
  error._tag === "InvalidCursor" ? cursorProblem(error) : expiredProblem(error)

export const conflictProblem = ({ kind }: IdempotencyConflict) =>
  kind === "reused"
    ? new IdempotencyKeyReused({ detail: "this Idempotency-Key came before, with another request" })
    : new IdempotencyKeyInUse({ detail: "the first request with this Idempotency-Key is still uploading" })

export const importProblem = ({ code, field, line, message }: ImportRefused) =>
  new ImportRefusedProblem({
    code,
    detail: message,
    ...(line === undefined ? {} : { line }),
    ...(field === undefined ? {} : { field }),
  })
