/** How much one app may ask of one mailbox: four requests at once, and ten thousand in ten minutes. */
import { Context, Effect, Layer, RcMap, type Scope } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"

/** Microsoft Graph runs at most 4 requests of one app in one mailbox at a time (throttling limits, Outlook service). */
const concurrentRequests = 4

/** Requests of one app to one mailbox within {@link span} (throttling limits, Outlook service). */
const requestsInSpan = 10_000

/** Milliseconds. */
const span = 600_000

/** Counts are kept for pieces of the span; the piece that is half gone counts as a whole, so that no window sees more. */
const piece = 30_000

/** Where requests wait for a place, those for fresh mail go before those that fill up the past. */
export type MailLane = "fresh" | "backfill"

export interface MailPlace {
  /** Default `fresh`. */
  readonly lane?: MailLane | undefined
  /** Places that are taken, 1 to 4: a batch of requests is run four at a time. Default 1. */
  readonly places?: number | undefined
}

/** At most 4 requests at once for a mailbox, whoever sends them. Keys as `mailboxKey` makes them. */
export class MailboxLimiter extends Context.Service<MailboxLimiter, {
  readonly limit: (
    key: string,
    place?: MailPlace,
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Waits for a place and keeps it until the scope closes. */
  readonly take: (key: string, place?: MailPlace) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Counts requests that are about to be sent. Where they would be more than ten minutes allow, they are not counted, and the
   * answer is after how many milliseconds to ask again; 0 = send.
   */
  readonly spend: (key: string, requests: number) => Effect.Effect<number>
}>()("mailfleet/pacing/MailboxLimiter") {
  static readonly layer: Layer.Layer<MailboxLimiter> = Layer.effect(
    MailboxLimiter,
    Effect.suspend(() => Effect.map(makeMailboxLimiter, ({ takeAll: _, ...limiter }) => MailboxLimiter.of(limiter))),
  )
}

/** One that counts for itself. Beside what the service has: `takeAll` takes all places of a mailbox that nobody uses or waits for. */
export const makeMailboxLimiter = Effect.gen(function* () {
  const mailboxes = yield* RcMap.make({
    lookup: (_key: string) => Effect.sync(() => ({ places: new Places(), window: new Window() })),
    // Until what was sent counts no more.
    idleTimeToLive: span + piece,
  })

  const take = (key: string, { lane = "fresh", places = 1 }: MailPlace = {}) =>
    Effect.flatMap(
      RcMap.get(mailboxes, key),
      (mailbox) =>
        Effect.uninterruptibleMask((restore) =>
          restore(mailbox.places.take(places, lane)).pipe(
            Effect.andThen(Effect.addFinalizer(() => Effect.sync(() => mailbox.places.release(places)))),
          )
        ),
    )

  const takeAll = (key: string): Effect.Effect<boolean, never, Scope.Scope> =>
    Effect.flatMap(RcMap.get(mailboxes, key), ({ places }) =>
      Effect.acquireRelease(
        Effect.sync(() => places.takeAll()),
        (taken) => Effect.sync(() => taken && places.release(concurrentRequests)),
      ))

  const limit: MailboxLimiter["Service"]["limit"] = (key, place) => (effect) =>
    Effect.scoped(Effect.andThen(take(key, place), effect))

  const spend = (key: string, requests: number) =>
    Effect.scoped(
      Effect.flatMap(RcMap.get(mailboxes, key), ({ window }) =>
        Effect.map(monotonicMillis, (now) => window.spend(requests, now))),
    )

  return { take, takeAll, limit, spend }
})

interface Waiting {
  readonly places: number
  readonly enter: () => void
}

/** First come, first served within a lane. Whoever waits for several places is overtaken in its lane by nobody. */
class Places {
  private free = concurrentRequests
  private readonly lanes: Readonly<Record<MailLane, Array<Waiting>>> = { fresh: [], backfill: [] }

  take(places: number, lane: MailLane): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const waiting: Waiting = { places, enter: () => resume(Effect.void) }
      const queue = this.lanes[lane]
      queue.push(waiting)
      this.admit()
      return Effect.sync(() => {
        const at = queue.indexOf(waiting)
        if (at >= 0) queue.splice(at, 1)
        // Whoever waited behind this one may fit in.
        this.admit()
      })
    })
  }

  takeAll(): boolean {
    if (this.free < concurrentRequests || this.lanes.fresh.length + this.lanes.backfill.length > 0) return false
    this.free = 0
    return true
  }

  release(places: number): void {
    this.free += places
    this.admit()
  }

  private admit(): void {
    while (true) {
      const queue = this.lanes.fresh.length > 0 ? this.lanes.fresh : this.lanes.backfill
      const first = queue[0]
      if (first === undefined || first.places > this.free) return
      queue.shift()
      this.free -= first.places
      first.enter()
    }
  }
}

/** What was sent lately, by pieces of the span, oldest first. */
class Window {
  private pieces: Array<{ readonly number: number; sent: number }> = []

  spend(requests: number, now: number): number {
    const number = Math.floor(now / piece)
    const oldest = number - span / piece
    if (this.pieces[0] !== undefined && this.pieces[0].number < oldest) {
      this.pieces = this.pieces.filter((one) => one.number >= oldest)
    }
    let over = requests - requestsInSpan
    for (const { sent } of this.pieces) over += sent
    if (over > 0) {
      for (const one of this.pieces) {
        over -= one.sent
        if (over <= 0) return (one.number + 1 + span / piece) * piece - now
      }
    }
    const last = this.pieces.at(-1)
    if (last?.number === number) last.sent += requests
    else this.pieces.push({ number, sent: requests })
    return 0
  }
}
