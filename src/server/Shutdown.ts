/** The end of the process, told to those who would otherwise outlast it. */
import { Context, Deferred, Effect, Layer, Stream } from "effect"

export class Shutdown extends Context.Service<Shutdown, {
  /** Ends all event streams and makes `/health/ready` say no. Called before the listener is closed, which waits for open streams. */
  readonly begin: Effect.Effect<void>
  readonly begun: Effect.Effect<boolean>
  /** The stream, until the shutdown begins; then it ends as if it were over. */
  readonly until: <A, E, R>(stream: Stream.Stream<A, E, R>) => Stream.Stream<A, E, R>
}>()("mailfleet/server/Shutdown") {
  static readonly layer: Layer.Layer<Shutdown> = Layer.effect(
    Shutdown,
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      return Shutdown.of({
        begin: Effect.asVoid(Deferred.succeed(latch, undefined)),
        begun: Deferred.isDone(latch),
        until: Stream.interruptWhen(Deferred.await(latch)),
      })
    }),
  )
}
