/** What this process has claimed and not done yet, by OAuth client. */
import { Effect, Latch } from "effect"
import type { AppLimit } from "../programs/Concurrency.ts"
import type { DueGrant, InHand } from "../storage/grants/DueGrants.ts"

/**
 * With `auto`, no client has more than twice as much in hand as it is let do at once: the rest would hold lanes only to wait
 * for it, and once all lanes did, no other client would get on. With a fixed number none waits for its own client.
 */
const perPlace = 2

interface Client {
  readonly provider: string
  readonly clientId: string
  count: number
  most: number | null
  isFull: boolean
}

export class ClaimsInHand {
  readonly #claims = new Set<DueGrant>()
  readonly #clients = new Map<string, Client>()
  readonly #room = Latch.makeUnsafe()

  #clientOf({ clientId, provider }: Pick<Client, "provider" | "clientId">): Client {
    const key = `${provider}:${clientId}`
    const found = this.#clients.get(key)
    if (found !== undefined) return found
    const client: Client = { provider, clientId, count: 0, most: null, isFull: false }
    this.#clients.set(key, client)
    return client
  }

  /** What there is of each client, asked for before more is claimed. */
  ofClients(limits: ReadonlyArray<AppLimit>): ReadonlyArray<InHand> {
    for (const [key, client] of this.#clients) {
      client.most = null
      if (client.count === 0) this.#clients.delete(key)
    }
    for (const { limit, ...app } of limits) this.#clientOf(app).most = Math.ceil(perPlace * limit)
    return [...this.#clients.values()]
  }

  /** Takes in what was claimed, which may be nothing. */
  add(claimed: ReadonlyArray<DueGrant>): void {
    for (const claim of claimed) {
      this.#claims.add(claim)
      this.#clientOf(claim.app).count++
    }
    for (const client of this.#clients.values()) client.isFull = client.most !== null && client.count >= client.most
    this.#room.closeUnsafe()
  }

  done(claim: DueGrant): void {
    if (!this.#claims.delete(claim)) return
    const client = this.#clientOf(claim.app)
    client.count--
    // Not for each that is done, and before a place stands empty.
    if (client.isFull && client.count <= client.most! * 3 / 4) this.#room.openUnsafe()
  }

  /** Ends once a client that was full has room again. */
  readonly room: Effect.Effect<void> = this.#room.await

  /** Lets go of all of them. */
  takeAll(): ReadonlyArray<DueGrant> {
    const all = [...this.#claims]
    this.#claims.clear()
    this.#clients.clear()
    return all
  }
}
