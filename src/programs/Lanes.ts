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
  /**
   * Of the items that wait, a free lane takes one whose key has the fewest lanes: so no key holds all lanes while others wait,
   * and one that is alone gets them all. Without it, and within a key, items are taken in order.
   */
  readonly keyOf?: ((item: Item) => string) | undefined
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

/** Items that wait for a lane, by key, and how many lanes work for each key. */
class Waiting<Item> {
  readonly #keyOf: (item: Item) => string
  readonly #entries = new Map<string, Array<Entry<Item>>>()
  readonly #working = new Map<string, number>()

  constructor(keyOf: ((item: Item) => string) | undefined) {
    this.#keyOf = keyOf ?? (() => "")
  }

  add(entry: Entry<Item>): void {
    const key = this.#keyOf(entry.item)
    const entries = this.#entries.get(key)
    if (entries === undefined) this.#entries.set(key, [entry])
    else entries.push(entry)
  }

  /** The next to be worked on. There must be one. */
  begin(): Entry<Item> {
    let next = { key: "", working: Infinity }
    for (const key of this.#entries.keys()) {
      const working = this.#working.get(key) ?? 0
      if (working < next.working) next = { key, working }
    }
    const entries = this.#entries.get(next.key)!
    const entry = entries.shift()!
    if (entries.length === 0) this.#entries.delete(next.key)
    this.#working.set(next.key, next.working + 1)
    return entry
  }

  end({ item }: Entry<Item>): void {
    const key = this.#keyOf(item)
    const working = this.#working.get(key)!
    if (working === 1) this.#working.delete(key)
    else this.#working.set(key, working - 1)
  }
}

/** Works through all items; ends when each has a result. */
export const lanes = Effect.fnUntraced(function* <Item, A, R>(options: LaneOptions<Item, A, R>) {
  const waiting = new Waiting(options.keyOf)
  // At most one for each entry that waits: whoever takes it takes whichever entry is next by then.
  const tickets = yield* Queue.bounded<void, Cause.Done>(Math.max(2, options.concurrency))
  const room = yield* Semaphore.make(mostPostponed + 2 * options.concurrency)
  const scope = yield* Effect.scope
  let open = 0
  let exhausted = false
  const endWhenDone = Effect.suspend(() => exhausted && open === 0 ? Queue.end(tickets) : Effect.void)

  const ticket = Queue.offer(tickets, undefined)

  const feed = Effect.gen(function* () {
    while (true) {
      const items = yield* options.next
      if (items.length === 0) break
      open += items.length
      for (const item of items) waiting.add({ item, attempt: 0 })
      for (const _ of items) {
        yield* room.take(1)
        yield* ticket
      }
    }
    exhausted = true
    yield* endWhenDone
  })

  const later = (entry: Entry<Item>, millis: number) =>
    Effect.sleep(millis).pipe(
      Effect.andThen(Effect.sync(() => waiting.add(entry))),
      Effect.andThen(ticket),
      Effect.forkIn(scope),
    )

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
      yield* Queue.take(tickets)
      if (!first && options.spacing !== undefined) yield* Effect.sleep(options.spacing)
      first = false
      const entry = waiting.begin()
      yield* workOn(entry)
      waiting.end(entry)
    }
  }).pipe(Effect.catchIf(Cause.isDone, () => Effect.void))

  const work = Effect.forEach(Array.from({ length: options.concurrency }), () => lane, {
    concurrency: "unbounded",
    discard: true,
  })
  // Together, so that the lanes end where the items cannot be had.
  yield* Effect.all([feed, work], { concurrency: "unbounded", discard: true })
}, Effect.scoped)

export const isPostponed = (result: unknown): result is Postponed =>
  typeof result === "object" && result !== null && "_tag" in result && result._tag === "Postponed"
