/**
 * Whatever happens in a mailbox whose ids do not outlive a move, and however its pages and our rounds fall into it: in the end
 * the store has what the mailbox has, and the log tells how it came to that.
 */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Page, Removed, Upsert } from "../../../src/mail/Mailbox.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../../support/databases.ts"
import { changesOf, mailStorage, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const names = ["A", "B", "C"] as const

const Step = Schema.Struct({
  act: Schema.Literals([
    "create",
    "create",
    "move",
    "move",
    "copy",
    "delete",
    "flag",
    "renumber",
    "page",
    "page",
    "round",
  ]),
  folder: Schema.Literals(names),
  to: Schema.Literals(names),
  pick: Schema.Literals([0, 1, 2, 3, 4]),
})
type Step = typeof Step.Type

interface Letter {
  readonly key: string
  readonly read: boolean
}

/** A folder with its history, as a server with numbers and without ids keeps it. */
class ServerFolder {
  validity = 1
  next = 1
  letters = new Map<number, Letter>()
  history: Array<Upsert | Removed> = []
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
  id(uid: number): string {
    return `${this.name}/${this.validity}.${uid}`
  }
  show(uid: number): Upsert {
    const { key, read } = this.letters.get(uid)!
    return { ...upsert(this.id(uid), { subject: key, isRead: read, size: key.length }), twinKey: key }
  }
  add(letter: Letter) {
    const uid = this.next++
    this.letters.set(uid, letter)
    this.history.push(this.show(uid))
  }
  remove(uid: number) {
    this.letters.delete(uid)
    this.history.push({ _tag: "Removed", remoteId: this.id(uid) })
  }
  flag(uid: number) {
    const letter = this.letters.get(uid)!
    this.letters.set(uid, { ...letter, read: !letter.read })
    this.history.push({ ...upsert(this.id(uid), { isRead: !letter.read }), ifKnown: true })
  }
  renumber() {
    const letters = [...this.letters.values()]
    this.validity++
    this.letters = new Map(letters.map((letter, index) => [index + 1, letter]))
    this.next = letters.length + 1
    this.history = []
  }
  /** Two changes at a time; undefined = the cursor is lost. A listing begins with the newest, and ends with what has happened since. */
  page(cursor: string | null): Page | undefined {
    const [validity, place, below] = cursor === null
      ? [this.validity, this.history.length, this.next]
      : cursor.split(" ").map(Number)
    if (validity !== this.validity) return undefined
    if (below !== undefined) {
      const uids = [...this.letters.keys()].filter((uid) => uid < below).sort((a, b) => b - a).slice(0, 2)
      return {
        changes: uids.map((uid) => this.show(uid)),
        cursor: uids.length === 0 ? `${validity} ${place}` : `${validity} ${place} ${uids.at(-1)}`,
        roundComplete: uids.length === 0 && place === this.history.length,
      }
    }
    const end = Math.min(place! + 2, this.history.length)
    return {
      // What was shown and has gone since is not to be had any more.
      changes: this.history.slice(place, end).filter((change) =>
        change._tag === "Removed" || this.letters.has(Number(change.remoteId.split(".")[1]))
      ),
      cursor: `${validity} ${end}`,
      roundComplete: end === this.history.length,
    }
  }
}

await onDatabases("Any history of a mailbox", mailStorage, (it) => {
  it.effect.prop(
    "the store comes to what the mailbox is, and the log tells how",
    [Schema.Array(Step).check(Schema.isMinLength(20), Schema.isMaxLength(50))],
    ([steps]) =>
      Effect.gen(function* () {
        const writer = yield* MessageWriter
        const messages = yield* Messages
        const box = yield* mailbox()
        const server = new Map(names.map((name) => [name as string, new ServerFolder(name)]))
        let made = 0

        /** One page of a folder; true = its round is complete. */
        const readPage = Effect.fnUntraced(function* (name: string) {
          const page = server.get(name)!.page(box.folder(name).cursor)
          if (page === undefined) {
            yield* box.restart(name)
            return false
          }
          const twins = yield* writer.liveTwins(box.lease, box.folder(name), page.changes)
          for (const [other, ids] of twins) {
            const { letters } = server.get(other)!
            const present = new Set([...letters.keys()].map((uid) => server.get(other)!.id(uid)))
            yield* writer.left(box.lease, other, ids.filter((id) => !present.has(id)))
          }
          yield* box.apply(name, page)
          return page.roundComplete
        })
        const round = Effect.gen(function* () {
          const time = yield* writer.now
          for (const name of names) {
            for (let complete = false; !complete;) complete = yield* readPage(name)
          }
          yield* writer.settle(box.lease, time)
        })

        // Something to move about.
        for (const name of names) {
          for (let n = 0; n < 3; n++) server.get(name)!.add({ key: `key ${++made}`, read: false })
        }
        yield* round
        for (const { act, folder, pick, to } of steps) {
          const here = server.get(folder)!
          const uid = [...here.letters.keys()][pick]
          if (act === "page") yield* readPage(folder)
          else if (act === "round") yield* round
          else if (act === "create") here.add({ key: `key ${++made}`, read: false })
          else if (act === "renumber") here.renumber()
          else if (uid !== undefined) {
            const letter = here.letters.get(uid)!
            if (act === "delete") here.remove(uid)
            if (act === "flag") here.flag(uid)
            if (act === "copy") {
              made++
              server.get(to)!.add(letter)
            }
            if (act === "move" && to !== folder) {
              here.remove(uid)
              server.get(to)!.add(letter)
            }
          }
        }
        yield* round
        yield* round

        const { items } = yield* messages.list({ accountId: box.account.id, limit: 500 })
        const stored = (name: string) =>
          items.filter(({ folderId }) => folderId === box.folder(name).id).map(({ isRead, subject }) =>
            `${subject} ${isRead}`
          ).toSorted()
        for (const [name, { letters }] of server) {
          assert.deepStrictEqual(
            stored(name),
            [...letters.values()].map(({ key, read }) => `${key} ${read}`).toSorted(),
          )
        }
        // The counts of folders and account.
        yield* box.holds

        const told = new Map<string, string>()
        const entries = yield* changesOf(box.account.id)
        for (const { folderId, kind, messageId } of entries) {
          assert.strictEqual(told.has(messageId!), kind !== "message.created", kind)
          if (kind === "message.deleted") told.delete(messageId!)
          else told.set(messageId!, folderId!)
        }
        assert.deepStrictEqual(
          [...told].toSorted(),
          items.map(({ folderId, id }): [string, string] => [id, folderId]).toSorted(),
        )
        // Nothing that moved was told as new.
        assert.isAtMost(entries.filter(({ kind }) => kind === "message.created").length, made)
      }),
    { arbitrary: { runs: 25 }, timeout: 120_000 },
  )
})
