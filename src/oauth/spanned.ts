import { Effect, References, Tracer } from "effect"

/**
 * `Effect.withSpan` where somebody takes the spans. Where tracing is off, Effect makes and carries an empty one all the same,
 * which is felt in what is done for each redemption.
 */
export const spanned =
  (name: string, attributes: Readonly<Record<string, unknown>> = {}) => <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.flatMap(
      References.TracerEnabled,
      (enabled): Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>> =>
        enabled
          ? Effect.withSpan(self, name, { attributes, captureStackTrace: false })
          : self as Effect.Effect<A, E, Exclude<R, Tracer.ParentSpan>>,
    )
