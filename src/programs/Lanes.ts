/** The engine under runs and schedules: a fixed number of lanes, each working on one item after another. */
import { Cause, type Duration, Effect, Queue, Semaphore } from "effect"

/** The item cannot be worked on now. It comes again after the time, and its lane goes on with others meanwhile. */
export interface Postponed {
  readonly _tag: "Postponed"
  readonly millis: number
  /** True where this try counts against the item's retries. */
  readonly counts: boolean
}

export const postponed = (millis: number, counts: boolean): Postponed => ({ _tag: "Postponed", millis, counts })

/** Items that wait for their time at once: with so many, no new ones are begun. It is new items that wait, never a lane. */
const mostPostponed = 10_000

export interface LaneOptions<Item, A, R> {
  readonly concurrency: number
  /** What each lane waits between two items. */
  readonly spacing?: Duration.Duration | undefined
  /** The next items, in order; an empty answer ends the work. Called ahead of need, so that no lane waits for the database. */
  readonly next: Effect.Effect<ReadonlyArray<Item>, never, R>
  /** @param attempt from 0; grows with each postponement that counts */
  readonly one: (item: Item, attempt: number) => Effect.Effect<A | Postponed, never, R>
  readonly done: (result: A) => Effect.Effect<void, never, R>
}

interface Entry<Item> {
  readonly item: Item
  readonly attempt: number
}

/** Works through all items; ends when each has a result. */
export const lanes = Effect.fnUntraced(function* <Item, A, R>(options: LaneOptions<Item, A, R>) {
  const queue = yield* Queue.bounded<Entry<Item>, Cause.Done>(Math.max(2, options.concurrency))
  const room = yield* Semaphore.make(mostPostponed + 2 * options.concurrency)
  const scope = yield* Effect.scope
  let open = 0
  let exhausted = false
  const endWhenDone = Effect.suspend(() => exhausted && open === 0 ? Queue.end(queue) : Effect.void)

  const feed = Effect.gen(function* () {
    while (true) {
      const items = yield* options.next
      if (items.length === 0) break
      open += items.length
      for (const item of items) {
        yield* room.take(1)
        yield* Queue.offer(queue, { item, attempt: 0 })
      }
    }
    exhausted = true
    yield* endWhenDone
  })

  const later = (entry: Entry<Item>, millis: number) =>
    Effect.forkIn(Effect.andThen(Effect.sleep(millis), Queue.offer(queue, entry)), scope)

  const workOn = Effect.fnUntraced(function* ({ item, attempt }: Entry<Item>) {
    const result = yield* options.one(item, attempt)
    if (isPostponed(result)) {
      yield* later({ item, attempt: result.counts ? attempt + 1 : attempt }, result.millis)
    } else {
      yield* options.done(result)
      open--
      yield* room.release(1)
      yield* endWhenDone
    }
  })

  const lane = Effect.gen(function* () {
    let first = true
    while (true) {
      const entry = yield* Queue.take(queue)
      if (!first && options.spacing !== undefined) yield* Effect.sleep(options.spacing)
      first = false
      yield* workOn(entry)
    }
  }).pipe(Effect.catchIf(Cause.isDone, () => Effect.void))

  const work = Effect.forEach(Array.from({ length: options.concurrency }), () => lane, {
    concurrency: "unbounded",
    discard: true,
  })
  // Together, so that the lanes end where the items cannot be had.
  yield* Effect.all([feed, work], { concurrency: "unbounded", discard: true })
}, Effect.scoped)

const isPostponed = (result: unknown): result is Postponed =>
  typeof result === "object" && result !== null && "_tag" in result && result._tag === "Postponed"
