/** Faults of our own that the work on one account brings out: they must not end the work on the others. */
import { Cause, Effect, Option, Result } from "effect"
import { ProviderError } from "../domain/ProviderError.ts"
import { internalError, isOfItem } from "../storage/Database.ts"

/** None where no spans are made. */
const currentTrace = Effect.map(
  Effect.option(Effect.currentSpan),
  Option.filterMap(({ traceId }) => /^[0-9a-f]{32}$/.test(traceId) ? Result.succeed(traceId) : Result.failVoid),
)

/**
 * A defect in the work on one account as an error of it, logged with its trace: most likely the provider answered what nobody
 * has thought of.
 */
export const unexpectedAsError = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ProviderError, R> =>
  Effect.catchCause(effect, (cause): Effect.Effect<never, E | ProviderError> => {
    if (!Cause.hasDies(cause) || !isOfItem(cause)) return Effect.failCause(cause)
    return Effect.gen(function* () {
      const trace = Option.getOrUndefined(yield* currentTrace)
      yield* Effect.logError("an unexpected fault ended the work on one account", cause).pipe(
        Effect.annotateLogs(trace === undefined ? {} : { traceId: trace }),
      )
      return yield* new ProviderError({
        class: "unknown",
        code: internalError,
        message: "an unexpected fault of Mailfleet's own: its log has it, by the id of the account" +
          (trace === undefined ? "" : ` and by trace ${trace}`),
      })
    })
  })
