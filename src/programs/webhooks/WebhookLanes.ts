/** What waits for one webhook, in memory: of each lane the deliveries in their order, and which lanes may send. */
import type { QueuedDelivery } from "../../storage/webhooks/WebhookOutbox.ts"

interface Lane {
  readonly name: string
  /** Ids of rows, oldest first. The first is on its way, or the next one. */
  readonly ids: Array<bigint>
}

export interface Head {
  readonly lane: string
  readonly id: bigint
}

export class WebhookLanes {
  readonly #lanes = new Map<string, Lane>()
  /** Names of those that may send, in the order in which they came to be so. */
  #ready: Array<string> = []
  /** Names of those that wait after a failure, with the time in milliseconds at which that ends. */
  readonly #later = new Map<string, number>()
  #size = 0

  /** Deliveries that wait or are on their way. */
  get size(): number {
    return this.#size
  }

  add(queued: ReadonlyArray<QueuedDelivery>, now: number): void {
    for (const { id, lane: name, waitMillis } of queued) {
      this.#size++
      const lane = this.#lanes.get(name)
      if (lane !== undefined) {
        lane.ids.push(id)
        continue
      }
      this.#lanes.set(name, { name, ids: [id] })
      if (waitMillis > 0) this.#later.set(name, now + waitMillis)
      else this.#ready.push(name)
    }
  }

  /** The next deliveries of at most `count` lanes, which send nothing else until `done` or `retry` is called. */
  take(count: number, now: number): ReadonlyArray<Head> {
    for (const [name, at] of this.#later) {
      if (at > now) continue
      this.#later.delete(name)
      this.#ready.push(name)
    }
    return this.#ready.splice(0, count).map((lane) => ({ lane, id: this.#lanes.get(lane)!.ids[0]! }))
  }

  /** The delivery that was taken has arrived, or is there no more. */
  done(name: string): void {
    const lane = this.#lanes.get(name)!
    lane.ids.shift()
    this.#size--
    if (lane.ids.length === 0) this.#lanes.delete(name)
    else this.#ready.push(name)
  }

  /** The delivery that was taken is to be tried again at a time in milliseconds. */
  retry(name: string, at: number): void {
    this.#later.set(name, at)
  }

  /** Nothing waits after a failure any more. */
  retryAll(): void {
    this.#ready.push(...this.#later.keys())
    this.#later.clear()
  }
}
