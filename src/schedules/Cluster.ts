/** The processes that share one fleet and know of each other: what runs in one of them only, and who they are. */
import { Context, Effect, Layer, type Scope } from "effect"
import { RunnerStorage, Sharding } from "effect/cluster"

export interface Member {
  /** `host:port`, where the others reach it. */
  readonly address: string
  /** False = it does not answer the others. */
  readonly healthy: boolean
}

export class Cluster extends Context.Service<Cluster, {
  /**
   * Keeps `work` running in one process of the cluster, until the scope closes. Where that process dies another begins it
   * anew, within half a minute; for a moment two may be at it, as when one was frozen.
   */
  readonly once: <R>(name: string, work: Effect.Effect<never, never, R>) => Effect.Effect<void, never, R | Scope.Scope>
  /** Those that have said within the last seconds that they live. Undefined = this process is by itself. */
  readonly members: Effect.Effect<ReadonlyArray<Member> | undefined>
}>()("mailfleet/schedules/Cluster") {
  /** A process by itself: all work is its own. Others may share its database, and then do the same beside it. */
  static readonly layerAlone: Layer.Layer<Cluster> = Layer.succeed(Cluster, {
    once: (_name, work) => Effect.asVoid(Effect.forkScoped(work)),
    members: Effect.succeed(undefined),
  })

  static readonly layer: Layer.Layer<Cluster, never, Sharding.Sharding | RunnerStorage.RunnerStorage> = Layer.effect(
    Cluster,
    Effect.gen(function* () {
      const sharding = yield* Sharding.Sharding
      const { getRunners } = yield* RunnerStorage.RunnerStorage
      return Cluster.of({
        once: (name, work) =>
          sharding.registerSingleton(
            name,
            Effect.andThen(
              Effect.annotateLogs(Effect.logInfo("taken up by this process, for all of the cluster"), { work: name }),
              work,
            ),
          ),
        members: Effect.map(
          Effect.orDie(getRunners),
          (runners) =>
            runners.map(([{ address: { host, port } }, healthy]) => ({ address: `${host}:${port}`, healthy })),
        ),
      })
    }),
  )
}
