/** How many pieces of work of each kind go on at once in this process: a number, or as many as the provider bears. */
import { Context, Effect, Exit, Layer, Semaphore } from "effect"
import type { AppReach } from "../domain/App.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import type { RunKind } from "../domain/Run.ts"
import { type Concurrency as Configured, Settings } from "../domain/Settings.ts"
import { AdaptiveConcurrency, type Feedback } from "../pacing/AdaptiveConcurrency.ts"

/** How many requests of an OAuth client, over all tenants, are let through at once at present. */
export interface AppLimit extends Omit<AppReach, "tenant"> {
  readonly limit: number
}

export interface Lane {
  /** Fibers that work at items. With `auto` most of them wait to be admitted. */
  readonly concurrency: number
  /** Of the clients that have a limit of their own, which is only so with `auto`. */
  readonly limits: Effect.Effect<ReadonlyArray<AppLimit>>
  /** Runs the part of the work that asks the provider, once there is room for it. */
  readonly admit: (app: AppReach) => <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** What the end of a piece of work says about the provider's capacity. */
const feedbackOf = (exit: Exit.Exit<unknown, unknown>): Feedback => {
  if (Exit.isSuccess(exit)) return "ok"
  const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
  if (!(failed?.error instanceof ProviderError) || failed.error.notSent === true) return "ignored"
  switch (failed.error.class) {
    case "throttled":
      return "throttled"
    case "transient":
      return "ignored"
    default:
      return "ok"
  }
}

export class Concurrency extends Context.Service<Concurrency, Readonly<Record<RunKind | "backgroundRefresh", Lane>>>()(
  "mailfleet/programs/Concurrency",
) {
  static readonly layer: Layer.Layer<Concurrency, never, AdaptiveConcurrency | Settings> = Layer.effect(
    Concurrency,
    Effect.gen(function* () {
      const settings = yield* Settings
      const adaptive = yield* AdaptiveConcurrency

      const lane = (configured: Configured, endpoint: "token" | "mail"): Effect.Effect<Lane> =>
        configured === "auto"
          ? Effect.succeed({
            concurrency: settings.concurrencyCeiling,
            limits: Effect.map(adaptive.limits, (limits) =>
              [...limits].flatMap(([key, { limit }]) => {
                const [kind, provider = "", ...clientId] = key.split(":")
                return kind === endpoint ? [{ provider, clientId: clientId.join(":"), limit }] : []
              })),
            admit: ({ clientId, provider }) => adaptive.admit(`${endpoint}:${provider}:${clientId}`, feedbackOf),
          })
          : Effect.map(Semaphore.make(configured), (permits) => ({
            concurrency: configured,
            limits: Effect.succeed([]),
            admit: () => permits.withPermit,
          }))

      return Concurrency.of({
        import: yield* lane(settings.importConcurrency, "token"),
        refresh: yield* lane(settings.refreshConcurrency, "token"),
        // Requested and scheduled syncs together.
        sync: yield* lane(settings.syncConcurrency, "mail"),
        backgroundRefresh: yield* lane(settings.backgroundRefreshConcurrency, "token"),
      })
    }),
  )
}
