/**
 * One mailbox of Gmail's: messages that bear labels, and the history of what happened to them. As with {@link Mailbox}, only
 * changes are remembered.
 */
import { type Letter, writeLetter } from "./Letters.ts"
import type { Delivery } from "./Mailbox.ts"
import type { Settings } from "./Options.ts"
import type { Population } from "./Population.ts"
import { hash, pick, share } from "./Random.ts"

export interface GmailLabel {
  readonly id: string
  readonly name: string
  readonly type: "system" | "user"
}

export interface GmailItem {
  readonly ordinal: number
  readonly labels: ReadonlySet<string>
  /** Epoch milliseconds. */
  readonly receivedAt: number
  /** Of the last change. */
  readonly historyId: bigint
  readonly version: number
  readonly gone: boolean
  readonly letter: Partial<Letter>
}

export interface HistoryRecord {
  readonly id: bigint
  /** Epoch milliseconds. */
  readonly at: number
  readonly kind: "messagesAdded" | "messagesDeleted" | "labelsAdded" | "labelsRemoved"
  readonly ordinal: number
  /** What the message bore then. */
  readonly labels: ReadonlySet<string>
  /** Which of them came or went. */
  readonly changed: ReadonlyArray<string>
}

/** Somebody wants to be told of changes by Pub/Sub. */
export interface GmailWatch {
  readonly topicName: string
  readonly labelIds: ReadonlyArray<string>
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

const systemLabels = [
  "INBOX",
  "SENT",
  "DRAFT",
  "SPAM",
  "TRASH",
  "UNREAD",
  "STARRED",
  "IMPORTANT",
  "CHAT",
  "CATEGORY_PERSONAL",
  "CATEGORY_SOCIAL",
  "CATEGORY_PROMOTIONS",
  "CATEGORY_UPDATES",
  "CATEGORY_FORUMS",
].map((id): GmailLabel => ({ id, name: id, type: "system" }))

/** Half of the mailboxes have nested labels; `/` nests, whether or not the label before it exists. */
const nested = ["Projects", "Projects/2026", "Projects/2026/Q3 – plans", "Größe/Übersicht", "رسائل"]
const flat = ["Receipts"]

const isNested = (seed: number, index: number): boolean => share(seed, 0x6f1, index) < 0.5

/** Beyond what a JavaScript number holds exactly. */
const firstHistoryId = 9_100_000_000_000_000_000n

/** Milliseconds between two initial messages, on average. */
const spacing = 3 * 3_600_000

const nothing: ReadonlySet<string> = new Set()

export class GmailMailbox {
  private records: Map<number, GmailItem> | undefined
  private userLabels: ReadonlyArray<GmailLabel>
  private labelsMade: number
  private log: Array<HistoryRecord> = []
  /** Ordinal of the next message. */
  private next: number
  private lastHistoryId: bigint
  /** History before it is forgotten. */
  private oldestHistoryId: bigint
  watch: GmailWatch | undefined = undefined
  /** Error that every request meets, e.g. 403 `domainPolicy`. */
  refusal: { readonly status: number; readonly code: string } | undefined = undefined

  constructor(
    private readonly settings: Settings,
    readonly index: number,
    readonly email: string,
    private readonly now: () => number,
  ) {
    const names = isNested(settings.seed, index) ? nested : flat
    this.userLabels = names.map((name, n) => ({ id: `Label_${n + 1}`, name, type: "user" }))
    this.labelsMade = names.length
    this.next = settings.messages
    this.lastHistoryId = firstHistoryId + BigInt(index) * 1_000_000n
    this.oldestHistoryId = this.lastHistoryId
  }

  get historyId(): bigint {
    return this.lastHistoryId
  }

  // Labels

  labels(): ReadonlyArray<GmailLabel> {
    return [...systemLabels, ...this.userLabels]
  }

  label(id: string): GmailLabel | undefined {
    return this.labels().find((label) => label.id === id)
  }

  /** `undefined` if there is one of that name, which knows no case. */
  addLabel(name: string): GmailLabel | undefined {
    if (this.labels().some((label) => label.name.toLowerCase() === name.toLowerCase())) return undefined
    const label: GmailLabel = { id: `Label_${++this.labelsMade}`, name, type: "user" }
    this.userLabels = [...this.userLabels, label]
    return label
  }

  /** With the labels nested in it. The history does not tell of it. */
  renameLabel(id: string, name: string): GmailLabel | undefined {
    const before = this.userLabels.find((label) => label.id === id)
    if (before === undefined) return undefined
    const renamed = (label: GmailLabel) =>
      label.id === id
        ? { ...label, name }
        : label.name.startsWith(`${before.name}/`)
        ? { ...label, name: name + label.name.slice(before.name.length) }
        : label
    this.userLabels = this.userLabels.map(renamed)
    return this.label(id)
  }

  /** Its messages stay. That the history tells of them is a guess. */
  removeLabel(id: string): boolean {
    const isThere = this.userLabels.some((label) => label.id === id)
    if (!isThere) return false
    for (const { labels, ordinal } of [...this.messages()]) if (labels.has(id)) this.modify(ordinal, [], [id])
    this.userLabels = this.userLabels.filter((label) => label.id !== id)
    return true
  }

  /** Messages and unread messages under each label. */
  counts(): Map<string, { total: number; unread: number }> {
    const counts = new Map<string, { total: number; unread: number }>()
    for (const { labels } of this.messages()) {
      for (const label of labels) {
        const count = counts.get(label) ?? { total: 0, unread: 0 }
        count.total++
        if (labels.has("UNREAD")) count.unread++
        counts.set(label, count)
      }
    }
    return counts
  }

  // Messages

  message(ordinal: number): GmailItem | undefined {
    if (!(ordinal >= 0 && ordinal < this.next)) return undefined
    const message = this.records?.get(ordinal) ?? this.initial(ordinal)
    return message.gone ? undefined : message
  }

  find(id: string): GmailItem | undefined {
    const ordinal = /^19[0-9a-f]{14}$/.test(id) ? parseInt(id.slice(8), 16) : -1
    return this.idOf(ordinal) === id ? this.message(ordinal) : undefined
  }

  /** 16 hexadecimal digits, as Gmail's are. */
  idOf(ordinal: number): string {
    return `19${this.index.toString(16).padStart(6, "0")}${Math.max(0, ordinal).toString(16).padStart(8, "0")}`
  }

  /** Threads are of three messages. */
  threadIdOf(ordinal: number): string {
    return this.idOf(ordinal - ordinal % 3)
  }

  /** Newest first, starting below an ordinal. */
  *messages(below = this.next): Generator<GmailItem> {
    for (let ordinal = Math.min(below, this.next) - 1; ordinal >= 0; ordinal--) {
      const message = this.message(ordinal)
      if (message !== undefined) yield message
    }
  }

  letter({ letter, ordinal }: GmailItem): Letter {
    const outgoing = ordinal < this.settings.messages && this.initialLabels(ordinal).has("SENT")
    const owner = { name: `Sim ${this.index + 1}`, address: this.email }
    return { ...writeLetter(this.settings.seed, this.index, ordinal, owner, outgoing), ...letter }
  }

  deliver(delivery: Delivery, labels: Iterable<string>): GmailItem {
    const { folder: _, isRead, ...letter } = delivery
    const message: GmailItem = {
      ordinal: this.next++,
      labels: new Set([...labels, ...(isRead === true ? [] : ["UNREAD"])]),
      receivedAt: this.now(),
      historyId: 0n,
      version: 0,
      gone: false,
      letter,
    }
    return this.store(message, {}, "messagesAdded", [...message.labels])
  }

  /** Changes labels; what is there already, or not there, changes nothing. */
  modify(ordinal: number, add: ReadonlyArray<string>, remove: ReadonlyArray<string>): GmailItem | undefined {
    let message = this.message(ordinal)
    if (message === undefined) return undefined
    const gone = remove.filter((label) => message?.labels.has(label) && !add.includes(label))
    const come = add.filter((label) => !message?.labels.has(label))
    if (gone.length > 0) {
      const labels = new Set([...message.labels].filter((label) => !gone.includes(label)))
      message = this.store(message, { labels }, "labelsRemoved", gone)
    }
    if (come.length > 0) {
      message = this.store(message, { labels: new Set([...message.labels, ...come]) }, "labelsAdded", come)
    }
    return message
  }

  /** Deletes a message for good; into the trash it is moved by a label. */
  remove(ordinal: number): boolean {
    const message = this.message(ordinal)
    if (message === undefined) return false
    this.store(message, { gone: true }, "messagesDeleted", [])
    return true
  }

  // History

  /** What happened since, or `undefined` if it does not reach back so far. */
  history(start: bigint): ReadonlyArray<HistoryRecord> | undefined {
    if (start < this.oldestHistoryId) return undefined
    const records = this.log.filter(({ id }) => id > start)
    const oldest = records[0]
    return oldest !== undefined && this.now() - oldest.at > this.settings.deltaLifetime ? undefined : records
  }

  /** Every history id of before is too old. */
  expireHistory(): void {
    this.lastHistoryId += 7n
    this.oldestHistoryId = this.lastHistoryId
    this.log = []
  }

  private store(
    message: GmailItem,
    change: Partial<GmailItem>,
    kind: HistoryRecord["kind"],
    changed: ReadonlyArray<string>,
  ): GmailItem {
    // Ids grow, with gaps.
    this.lastHistoryId += 1n + BigInt(hash(this.settings.seed, 0x615, message.ordinal, this.log.length) % 40)
    const stored = { ...message, ...change, version: message.version + 1, historyId: this.lastHistoryId }
    this.records ??= new Map()
    this.records.set(message.ordinal, stored)
    const { labels, ordinal } = stored
    this.log.push({ id: this.lastHistoryId, at: this.now(), kind, ordinal, labels, changed })
    return stored
  }

  private initial(ordinal: number): GmailItem {
    const { epoch, messages, seed } = this.settings
    const age = (messages - 1 - ordinal) * spacing + hash(seed, 0xa9e, this.index, ordinal) % spacing
    return {
      ordinal,
      labels: this.initialLabels(ordinal),
      receivedAt: Math.floor((epoch - age) / 1000) * 1000,
      historyId: firstHistoryId + BigInt(this.index) * 1_000_000n,
      version: 1,
      gone: false,
      letter: {},
    }
  }

  /** 11 of 20 in the inbox, the rest spread over the others. */
  private initialLabels(ordinal: number): ReadonlySet<string> {
    const { seed } = this.settings
    const h = (salt: number) => hash(seed, salt, this.index, ordinal)
    const place = h(0x6f2) % 20
    const names = isNested(seed, this.index) ? nested : flat
    const own = `Label_${1 + h(0x6f3) % names.length}`
    const labels = place < 11
      ? ["INBOX", pick(categories, h(0x6f4)), ...(h(0x6f5) % 4 === 0 ? [own] : [])]
      : place < 13
      ? ["SENT"]
      : place === 14
      ? ["TRASH"]
      : place === 15
      ? ["SPAM"]
      : place === 16
      ? ["DRAFT"]
      : place > 16
      ? [own]
      : []
    if (place !== 11 && place !== 12 && place !== 16 && h(0x4ead) % 3 === 0) labels.push("UNREAD")
    if (h(0xf1a9) % 20 === 0) labels.push("STARRED")
    if (h(0xf1aa) % 5 === 0) labels.push("IMPORTANT")
    return labels.length === 0 ? nothing : new Set(labels)
  }
}

const categories: readonly [string, ...Array<string>] = ["CATEGORY_PERSONAL", "CATEGORY_UPDATES", "CATEGORY_SOCIAL"]

/** All of them, each made when it is first looked at. */
export class GmailMailboxes {
  private readonly mailboxes = new Map<number, GmailMailbox>()

  constructor(
    private readonly settings: Settings,
    private readonly population: Population,
    private readonly now: () => number,
  ) {}

  get(index: number): GmailMailbox {
    let mailbox = this.mailboxes.get(index)
    if (mailbox === undefined) {
      mailbox = new GmailMailbox(this.settings, index, this.population.email(index), this.now)
      this.mailboxes.set(index, mailbox)
    }
    return mailbox
  }
}
