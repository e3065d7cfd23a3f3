/**
 * The pacing of a mailbox in a cluster: one process, whichever has the mailbox's shard, says who may use it.
 *
 * As a rule one process at a time has to do with a mailbox. It is given all places, to be handed out as if it were by itself,
 * and keeps them while it uses them, so that most requests ask nobody. Once another process wants a place it gives them
 * back, and as long as several want some, each request has a place of its own. Either is a stream that whoever asks keeps
 * open: once it ends it, dies, or hangs up, the places are free again.
 *
 * When a shard moves, its new process does not know of the requests that are under way: for as long as those take, a mailbox
 * may see up to four more (docs/decisions/0032).
 */
import {
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Latch,
  Layer,
  Option,
  RcMap,
  Schema,
  Scope,
  Stream,
} from "effect"
import { Entity, type Sharding } from "effect/cluster"
import { Rpc } from "effect/rpc"
import { monotonicMillis } from "../domain/Monotonic.ts"
import type { Settings } from "../domain/Settings.ts"
import { MailboxLimiter, type MailPlace, makeMailboxLimiter } from "./MailboxLimiter.ts"
import { MailboxUnits } from "./MailboxUnits.ts"

/** What is said of places; a `beat` is a sign of life. */
const Word = Schema.Literals(["waiting", "taken", "busy", "wanted", "beat"])
type Word = typeof Word.Type

/** Named by the keys that `mailboxKey` makes. */
const MailboxPlaces = Entity.make("MailboxPlaces", [
  /** All places, if nobody has any: `taken`, and `wanted` once somebody else asks. Else `busy`. */
  Rpc.make("Hold", { success: Word, stream: true }),
  /** Some places: `waiting` as soon as the request has come, then `taken`. */
  Rpc.make("Take", {
    payload: { lane: Schema.Literals(["fresh", "backfill"]), places: Schema.Int },
    success: Word,
    stream: true,
  }),
  Rpc.make("Spend", { payload: { requests: Schema.Int }, success: Schema.Finite }),
  Rpc.make("ReserveUnits", { payload: { units: Schema.Finite }, success: Schema.Finite }),
])

/** As long as a process that has all places keeps them unused. */
const heldUnused = "1 second"

/** Requests that are counted at once for whoever has all places. What it does not send of them counts all the same. */
const allowance = 50

/**
 * For how long nobody may answer for a mailbox, because its process has just died or cannot be reached. Then the process that
 * asks counts for itself: mail goes on, and the provider says when it is too much.
 */
const patience = "3 seconds"

/** How often whoever has places is sent a sign of life, which it has to take. */
const beat = Duration.seconds(10)
/** Who has not taken one for so long is frozen or cut off, and has its places no longer. */
const silence = Duration.seconds(25)

/** How long an entity without requests is kept. What is counted outlives it, in its process. */
const maxIdleTime = "10 seconds"

/** What the mailboxes of this process's shards have been asked for, by all processes. */
class OwnMailboxes extends Context.Service<OwnMailboxes, Effect.Success<typeof makeMailboxLimiter>>()(
  "mailfleet/pacing/OwnMailboxes",
) {
  static readonly layer: Layer.Layer<OwnMailboxes> = Layer.effect(OwnMailboxes, makeMailboxLimiter)
}

const handlers = MailboxPlaces.toLayer(
  Effect.gen(function* () {
    const { entityId: key } = yield* Entity.CurrentAddress
    const mailboxes = yield* OwnMailboxes
    const units = yield* MailboxUnits
    /** Opened when somebody wants some while another has all. */
    let wanted = yield* Latch.make()

    /** That they are taken; then signs of life, and once that they are wanted. Unless these are heard, frees the places. */
    const keep = (places: Scope.Closeable, wanted: Effect.Effect<void>): Stream.Stream<Word> =>
      Stream.unwrap(Effect.gen(function* () {
        // The next one is asked for once the last one was heard.
        let askedAt = yield* monotonicMillis
        let isSaid = false
        const isLost = Effect.map(monotonicMillis, (now) => now - askedAt > Duration.toMillis(silence))
        yield* Effect.sleep("1 second").pipe(
          Effect.andThen(isLost),
          Effect.repeat({ until: (isLost) => isLost }),
          Effect.andThen(Scope.close(places, Exit.void)),
          Effect.forkScoped,
        )
        const next = Effect.gen(function* () {
          if (yield* isLost) return undefined
          askedAt = yield* monotonicMillis
          const said = Effect.as(Effect.sleep(beat), "beat" as const)
          if (isSaid) return yield* said
          const word = yield* Effect.raceFirst(said, Effect.as(wanted, "wanted" as const))
          isSaid = word === "wanted"
          return word
        })
        const later = Stream.takeWhile(Stream.fromEffectRepeat(next), (word) => word !== undefined)
        return Stream.concat(Stream.make<[Word]>("taken"), later)
      }))

    return MailboxPlaces.of({
      Hold: () =>
        Stream.unwrap(Effect.gen(function* () {
          const all = yield* Scope.fork(yield* Effect.scope)
          const isFree = (yield* Scope.provide(mailboxes.takeAll(key), all)) &&
            (yield* mailboxes.spend(key, allowance)) === 0
          if (!isFree) {
            yield* Scope.close(all, Exit.void)
            return Stream.make<[Word]>("busy")
          }
          const latch = wanted = yield* Latch.make()
          return keep(all, latch.await)
        })),
      Take: ({ payload }) =>
        Stream.concat(
          Stream.fromEffect(Effect.as(Effect.suspend(() => wanted.open), "waiting" as Word)),
          Stream.unwrap(Effect.gen(function* () {
            const some = yield* Scope.fork(yield* Effect.scope)
            yield* Scope.provide(mailboxes.take(key, payload), some)
            return keep(some, Effect.never)
          })),
        ),
      Spend: ({ payload }) => mailboxes.spend(key, payload.requests),
      ReserveUnits: ({ payload }) => units.reserve(key, payload.units),
    })
  }),
  { concurrency: "unbounded", maxIdleTime },
)

/** Answers for the mailboxes whose shards this process has, and asks the others for theirs. */
export const layer: Layer.Layer<MailboxLimiter | MailboxUnits, never, Settings | Sharding.Sharding> = Layer
  .effectContext(
    Effect.gen(function* () {
      const own = yield* OwnMailboxes
      const ownUnits = yield* MailboxUnits
      const scope = yield* Effect.scope
      yield* Layer.build(handlers)
      const mailbox = yield* MailboxPlaces.client
      /** Hands out the places that this process was given. */
      const given = yield* makeMailboxLimiter
      const allowances = new Map<string, number>()

      /** Keeps a stream open until the scope closes. Nobody waits for a farewell: the other side may be frozen. */
      const keepOpen = (stream: Effect.Effect<unknown>) =>
        Effect.acquireRelease(
          Effect.forkIn(stream, scope),
          (fiber) => Effect.asVoid(Effect.forkIn(Fiber.interrupt(fiber), scope)),
        )

      /** What the mailbox's process answers; where there is none, what this one says itself. */
      const ask = <A>(answer: Effect.Effect<A, unknown>, itself: Effect.Effect<A>): Effect.Effect<A> =>
        Effect.timeoutOption(answer, patience).pipe(
          Effect.catchCause(() => Effect.succeed(Option.none<A>())),
          Effect.flatMap((answered) => Option.isSome(answered) ? Effect.succeed(answered.value) : itself),
        )

      /** True = all places of the mailbox are this process's. */
      const holds: RcMap.RcMap<string, boolean> = yield* RcMap.make({
        lookup: Effect.fnUntraced(function* (key: string) {
          const answer = yield* Deferred.make<boolean>()
          const letGo: Effect.Effect<void> = Effect.suspend(() => RcMap.invalidate(holds, key))
          yield* keepOpen(
            mailbox(key).Hold().pipe(
              Stream.runForEach((word) => word === "wanted" ? letGo : Deferred.succeed(answer, word !== "busy")),
              Effect.ignoreCause,
              Effect.andThen(letGo),
              Effect.andThen(Deferred.succeed(answer, false)),
            ),
          )
          const isHeld = yield* ask(Deferred.await(answer), Effect.succeed(true))
          if (isHeld) {
            yield* Effect.acquireRelease(
              Effect.sync(() => allowances.set(key, allowance)),
              () => Effect.sync(() => allowances.delete(key)),
            )
          }
          return isHeld
        }),
        idleTimeToLive: heldUnused,
      })

      /** Takes places beside other processes. */
      const takeSome = Effect.fnUntraced(function* (key: string, { lane = "fresh", places = 1 }: MailPlace) {
        const heard = yield* Deferred.make<void>()
        const taken = yield* Deferred.make<void>()
        yield* keepOpen(
          mailbox(key).Take({ lane, places }).pipe(
            Stream.runForEach((word) => Deferred.succeed(word === "waiting" ? heard : taken, undefined)),
            Effect.catchCause(() => Effect.sleep("100 millis")),
            // Its process died, or its shard moved. What is under way goes on; what waits asks again.
            Effect.repeat({ until: () => Deferred.isDoneUnsafe(taken) }),
          ),
        )
        const isHeard = yield* ask(Effect.as(Deferred.await(heard), true), Effect.succeed(false))
        yield* isHeard ? Deferred.await(taken) : own.take(key, { lane, places })
      })

      const take = Effect.fnUntraced(function* (key: string, place: MailPlace = {}) {
        if (yield* RcMap.get(holds, key)) return yield* given.take(key, place)
        yield* RcMap.invalidate(holds, key)
        yield* takeSome(key, place)
      })

      const spend = Effect.fnUntraced(function* (key: string, requests: number) {
        const count = (requests: number) => ask(mailbox(key).Spend({ requests }), own.spend(key, requests))
        const left = allowances.get(key)
        if (left === undefined) return yield* count(requests)
        if (left >= requests) {
          allowances.set(key, left - requests)
          return 0
        }
        if ((yield* count(requests + allowance)) > 0) return yield* count(requests)
        if (allowances.has(key)) allowances.set(key, allowance)
        return 0
      })

      const limiter = MailboxLimiter.of({
        take,
        limit: (key, place) => (effect) => Effect.scoped(Effect.andThen(take(key, place), effect)),
        spend,
      })
      const reserve: MailboxUnits["Service"]["reserve"] = (key, units) =>
        ask(mailbox(key).ReserveUnits({ units }), ownUnits.reserve(key, units))
      const units = MailboxUnits.of({
        most: ownUnits.most,
        reserve,
        spend: (key, units) =>
          Effect.flatMap(reserve(key, units), (wait) => wait > 0 ? Effect.sleep(wait) : Effect.void),
      })
      return Context.make(MailboxLimiter, limiter).pipe(Context.add(MailboxUnits, units))
    }),
  ).pipe(Layer.provide([OwnMailboxes.layer, MailboxUnits.layer]))
