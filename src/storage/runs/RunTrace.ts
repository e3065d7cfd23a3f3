/**
 * The trace that a run was asked for in. Kept with the run's parameters, so that whichever process works on it goes on with that
 * trace: one leads from the call of the API to each token request.
 */
import { Effect, Option, References, type Tracer } from "effect"
import { Headers, HttpTraceContext } from "effect/http"

/** The parameters of a new run as they are stored. */
export const withTrace = (params: unknown): Effect.Effect<string> =>
  Effect.gen(function* () {
    const span = (yield* References.TracerEnabled) ? yield* Effect.option(Effect.currentSpan) : Option.none()
    const trace = Option.map(span, (span) => ({ traceparent: HttpTraceContext.toHeaders(span).traceparent }))
    return JSON.stringify({ ...params as object, ...Option.getOrUndefined(trace) })
  })

/** None where nobody took the spans of the process that was asked. */
export const traceOf = (params: unknown): Option.Option<Tracer.ExternalSpan> => {
  const { traceparent } = (params ?? {}) as { readonly traceparent?: unknown }
  return typeof traceparent === "string"
    ? HttpTraceContext.fromHeaders(Headers.fromRecordUnsafe({ traceparent }))
    : Option.none()
}
