/**
 * The pacing of a mailbox in a cluster: one process, whichever has the mailbox's shard, counts for all of them.
 *
 * A place is a stream that the asking process keeps open: once it ends it, dies, or hangs up, the place is free again. When a
 * shard moves, its new process does not know of the requests that are under way: for as long as those take, a mailbox may see
 * up to four more (docs/decisions/0032).
 */
import { Context, Deferred, Effect, Fiber, Layer, Option, Schema, type Scope, Stream } from "effect"
import { Entity, type Sharding } from "effect/cluster"
import { Rpc } from "effect/rpc"
import type { Settings } from "../domain/Settings.ts"
import { MailboxLimiter, type MailPlace } from "./MailboxLimiter.ts"
import { MailboxUnits } from "./MailboxUnits.ts"

/** Named by the keys that `mailboxKey` makes. */
const MailboxPlaces = Entity.make("MailboxPlaces", [
  /** Says that the request has come, then that it has its places; it has them until whoever asked hangs up. */
  Rpc.make("Take", {
    payload: { lane: Schema.Literals(["fresh", "backfill"]), places: Schema.Int },
    success: Schema.Literals(["waiting", "taken"]),
    stream: true,
  }),
  Rpc.make("Spend", { payload: { requests: Schema.Int }, success: Schema.Finite }),
  Rpc.make("ReserveUnits", { payload: { units: Schema.Finite }, success: Schema.Finite }),
])

/**
 * For how long nobody may answer for a mailbox, because its process has just died or cannot be reached. Then the process that
 * asks counts for itself: mail goes on, and the provider says when it is too much.
 */
const patience = "10 seconds"

/** Longer than any request takes: whoever is frozen keeps its places no longer than that. */
const longestHold = "5 minutes"

/** How long an entity without requests is kept. What is counted outlives it, in this process. */
const maxIdleTime = "10 seconds"

/** Answers for the mailboxes whose shards this process has, and asks the others for theirs. */
export const layer: Layer.Layer<MailboxLimiter | MailboxUnits, never, Settings | Sharding.Sharding> = Layer
  .effectContext(
    Effect.gen(function* () {
      const own = yield* MailboxLimiter
      const ownUnits = yield* MailboxUnits
      const scope = yield* Effect.scope
      yield* Layer.build(handlers)
      const mailbox = yield* MailboxPlaces.client

      /** What the mailbox's process answers; where there is none, what this one says itself. */
      const ask = <A>(answer: Effect.Effect<A, unknown>, itself: Effect.Effect<A>): Effect.Effect<A> =>
        Effect.timeoutOption(answer, patience).pipe(
          Effect.catchCause(() => Effect.succeed(Option.none<A>())),
          Effect.flatMap((answered) => Option.isSome(answered) ? Effect.succeed(answered.value) : itself),
        )

      const take = Effect.fnUntraced(function* (key: string, place: MailPlace = {}) {
        const { lane = "fresh", places = 1 } = place
        const heard = yield* Deferred.make<void>()
        const taken = yield* Deferred.make<void>()
        const hold = mailbox(key).Take({ lane, places }).pipe(
          Stream.runForEach((word) => Deferred.succeed(word === "taken" ? taken : heard, undefined)),
          Effect.catchCause(() => Effect.sleep("100 millis")),
          // Its process died, or its shard moved. What is under way goes on; what waits asks again.
          Effect.repeat({ until: () => Deferred.isDoneUnsafe(taken) }),
        )
        // Nobody waits for a farewell: the process on the other side may be frozen.
        const fiber = yield* Effect.acquireRelease(
          Effect.forkIn(hold, scope),
          (fiber) => Effect.asVoid(Effect.forkIn(Fiber.interrupt(fiber), scope)),
        )
        if (Option.isNone(yield* Effect.timeoutOption(Deferred.await(heard), patience))) {
          yield* Effect.forkIn(Fiber.interrupt(fiber), scope)
          return yield* own.take(key, place)
        }
        yield* Deferred.await(taken)
      })

      const limiter = MailboxLimiter.of({
        take,
        limit: (key, place) => (effect) => Effect.scoped(Effect.andThen(take(key, place), effect)),
        spend: (key, requests) => ask(mailbox(key).Spend({ requests }), own.spend(key, requests)),
      })
      const reserve: MailboxUnits["Service"]["reserve"] = (key, units) =>
        ask(mailbox(key).ReserveUnits({ units }), ownUnits.reserve(key, units))
      const units = MailboxUnits.of({
        most: ownUnits.most,
        reserve,
        spend: (key, units) => Effect.flatMap(reserve(key, units), Effect.sleep),
      })
      return Context.make(MailboxLimiter, limiter).pipe(Context.add(MailboxUnits, units))
    }),
  ).pipe(Layer.provide([MailboxLimiter.layer, MailboxUnits.layer]))

const handlers = MailboxPlaces.toLayer(
  Effect.gen(function* () {
    const { entityId: key } = yield* Entity.CurrentAddress
    const limiter = yield* MailboxLimiter
    const units = yield* MailboxUnits
    return MailboxPlaces.of({
      Take: ({ payload }) =>
        Stream.concat(
          Stream.make("waiting" as const),
          Stream.unwrap(
            Effect.as(
              limiter.take(key, payload),
              Stream.concat(
                Stream.make("taken" as const),
                Stream.drain(Stream.fromEffect(Effect.sleep(longestHold))),
              ),
            ),
          ),
        ),
      Spend: ({ payload }) => limiter.spend(key, payload.requests),
      ReserveUnits: ({ payload }) => units.reserve(key, payload.units),
    })
  }),
  { concurrency: "unbounded", maxIdleTime },
)
