/** A mailbox in memory that is read as any provider's: listings in pages, newest first, and then changes. */
import { DateTime, Effect } from "effect"
import {
  FolderGone,
  type Mailbox,
  type Page,
  type RemoteBody,
  type Removed,
  type Upsert,
} from "../../src/mail/Mailbox.ts"
import { remoteFolder, removed, upsert } from "./mail.ts"

interface Held {
  /** Oldest first. */
  readonly ids: Array<string>
  readonly log: Array<Upsert | Removed>
}

export class MemoryMailbox {
  readonly #folders = new Map<string, Held>()
  /** What was asked: `page folder cursor`, `newest folder`, `bodies folder count`. */
  readonly asked: Array<string> = []
  /** Milliseconds that a page takes. */
  latency = 0
  pageSize = 10
  /** Ids by their folder that the provider does not tell of: they are there, and no page shows them. */
  readonly hidden = new Set<string>()

  constructor(readonly roles: Readonly<Record<string, "inbox" | "trash" | null>>) {
    for (const name of Object.keys(roles)) this.#folders.set(name, { ids: [], log: [] })
  }

  #of(folder: string): Held {
    return this.#folders.get(folder)!
  }

  /** Without a trace in the log: as it was before anybody looked. */
  fill(folder: string, count: number): void {
    for (let n = 1; n <= count; n++) this.#of(folder).ids.push(`${folder}-${n}`)
  }

  deliver(folder: string, id: string): void {
    this.#of(folder).ids.push(id)
    if (!this.hidden.has(id)) this.#of(folder).log.push(shown(id))
  }

  remove(folder: string, id: string): void {
    const held = this.#of(folder)
    held.ids.splice(held.ids.indexOf(id), 1)
    held.log.push(removed(id))
  }

  move(id: string, from: string, to: string): void {
    this.remove(from, id)
    this.deliver(to, id)
  }

  get size(): number {
    return [...this.#folders.values()].reduce((sum, { ids }) => sum + ids.length, 0)
  }

  #page(folder: string, cursor: string | null): Page {
    const { ids, log } = this.#of(folder)
    const [kind = "list", at = "0", from = String(log.length)] = cursor?.split(" ") ?? []
    if (kind === "list") {
      // As they were when the listing began: what has come or gone since is in the log.
      const start = Number(at)
      const listed = ids.filter((id) => !this.hidden.has(id)).toReversed()
      const changes = listed.slice(start, start + this.pageSize).map(shown)
      const end = start + this.pageSize
      return end >= listed.length
        ? { changes, cursor: `log ${from}`, roundComplete: true }
        : { changes, cursor: `list ${end} ${from}`, roundComplete: false }
    }
    const start = Number(at)
    const changes = log.slice(start, start + this.pageSize)
    const end = start + changes.length
    return { changes, cursor: `log ${end}`, roundComplete: end >= log.length }
  }

  readonly mailbox: Mailbox = {
    concurrency: 1,
    folders: () =>
      Effect.sync(() =>
        [...this.#folders].map(([name, { ids }]) =>
          remoteFolder(name, { role: this.roles[name] ?? null, totalItems: ids.length })
        )
      ),
    page: (folder, cursor) =>
      Effect.suspend((): ReturnType<Mailbox["page"]> => {
        this.asked.push(`page ${folder} ${cursor ?? "-"}`)
        return this.#folders.has(folder)
          ? Effect.as(Effect.sleep(this.latency), this.#page(folder, cursor))
          : Effect.fail(new FolderGone())
      }),
    newest: (folder) =>
      Effect.sync(() => {
        this.asked.push(`newest ${folder}`)
        return this.#of(folder).ids.slice(-5).toReversed().map(shown)
      }),
    ids: (folder) => Effect.sync(() => [...this.#of(folder).ids]),
  }
}

const today = DateTime.nowUnsafe()
const shown = (id: string) => upsert(id, { subject: id, receivedAt: today })

export const aBody = (text: string): RemoteBody => ({
  text,
  html: null,
  attachments: [],
  bodyState: "complete",
  bodyReason: null,
})
