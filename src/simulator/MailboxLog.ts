/** The log of one mailbox, which delta rounds read. */

/** How one message looks to somebody who last looked at a folder earlier. */
export type Change =
  | { readonly ordinal: number; readonly kind: "created" }
  | { readonly ordinal: number; readonly kind: "updated"; readonly fields: ReadonlySet<string> }
  /** `place` is the part of its default id that told where it was. */
  | {
    readonly ordinal: number
    readonly kind: "removed"
    readonly reason: "deleted" | "changed"
    readonly place: string
  }

interface LogEntry {
  readonly folder: number
  readonly change: Change
}

export class MailboxLog {
  private readonly entries: Array<LogEntry> = []
  private last: { readonly key: string; readonly changes: ReadonlyArray<Change> } | undefined

  add(folder: number, change: Change): void {
    this.entries.push({ folder, change })
  }

  /** Where the log ends; delta rounds cover what lies between two positions. */
  get position(): number {
    return this.entries.length
  }

  /** Net changes of a folder between two positions, in the order of their last event. */
  changes(folder: number, from: number, to: number): ReadonlyArray<Change> {
    // The pages of one long round ask for the same again and again.
    const key = `${folder} ${from} ${to}`
    if (this.last?.key === key) return this.last.changes
    const net = new Map<number, Change>()
    for (let i = from; i < to; i++) {
      const entry = this.entries[i]
      if (entry === undefined || entry.folder !== folder) continue
      const { change } = entry
      const before = net.get(change.ordinal)
      net.delete(change.ordinal)
      net.set(change.ordinal, before === undefined ? change : combine(before, change))
    }
    const changes = [...net.values()]
    this.last = changes.length > 100 ? { key, changes } : undefined
    return changes
  }
}

const combine = (before: Change, after: Change): Change => {
  if (after.kind !== "updated") return after
  if (before.kind === "created") return before
  if (before.kind === "updated") {
    return { ...after, fields: new Set([...before.fields, ...after.fields]) }
  }
  return after
}
