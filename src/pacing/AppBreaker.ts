/**
 * One circuit for each app at each tenant. A fault of the app (its secret, its registration) opens it: nothing is sent until
 * a single probe finds the app in order again, and no account is touched.
 */
import { Context, Effect, Layer, Schedule } from "effect"
import { CircuitBreaker } from "effect/persistence"
import { codeOf } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"

export const appKey = (
  app: { readonly provider: string; readonly clientId: string; readonly tenant: string },
): string => `${app.provider}:${app.clientId}:${app.tenant}`

export class AppBreaker extends Context.Service<AppBreaker, {
  /** Runs `effect` unless the circuit of `key` is open; then fails at once with class `app` and nothing sent. */
  readonly guard: (
    key: string,
  ) => <A, E extends { readonly error: ProviderError }, R>(
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | { readonly error: ProviderError }, R>
}>()("mailfleet/pacing/AppBreaker") {
  static readonly layer: Layer.Layer<AppBreaker> = Layer.effect(
    AppBreaker,
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make({
        // Three in a row: under `common` a single tenant may have removed the app, whose accounts must not stop all others.
        tripPolicy: CircuitBreaker.consecutive(3),
        openDuration: Schedule.min([Schedule.exponential("30 seconds"), Schedule.spaced("15 minutes")]),
      })
      return AppBreaker.of({
        guard: (key) => (effect) =>
          breaker.execute(effect, {
            key,
            classify: (exit) => {
              if (exit._tag === "Success") return CircuitBreaker.success
              const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
              const failureClass = failed !== undefined && "error" in failed.error
                ? failed.error.error.class
                : undefined
              if (failureClass === "app") return CircuitBreaker.failure()
              // A throttled or lost request says nothing about the app.
              return failureClass === "throttled" || failureClass === "transient" || failureClass === undefined
                ? CircuitBreaker.ignored
                : CircuitBreaker.success
            },
          }).pipe(
            Effect.catchIf(
              (error) => error instanceof CircuitBreaker.CircuitBreakerError,
              () => Effect.fail({ error: open }),
            ),
          ),
      })
    }),
  ).pipe(Layer.provide(CircuitBreaker.layerStoreMemory()))
}

const open = new ProviderError({
  class: "app",
  code: codeOf.app,
  message:
    "the provider refuses this OAuth app (see its last error); it is tried again from time to time, its accounts are left as they are",
  providerCode: "breaker_open",
  notSent: true,
})
