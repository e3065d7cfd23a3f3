/** One suite over all channels: whatever happens to a mailbox, the store ends in step with it, and the change log says so once. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import type { Change, Message } from "../../src/domain/Mail.ts"
import type { MailAccount, Mailbox } from "../../src/mail/Mailbox.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import type { Database } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { type Engine, onDatabases } from "../support/databases.ts"
import { changesOf, mailStorage, makeAccount } from "../support/mail.ts"
import { lineOf, nested, Remote, type RemoteBox, replay, storedLines } from "../support/remote.ts"
import { beforePages, oddPages, Tap } from "../support/tap.ts"

/** A mailbox at the provider and the account that it is stored as. */
interface Pair {
  readonly box: RemoteBox
  readonly account: MailAccount
}

const aPair = Effect.gen(function* () {
  const remote = yield* Remote
  const box = yield* remote.open
  const { clientId, email } = box
  const account = yield* makeAccount({ email, clientId, channel: remote.channel, provider: remote.provider })
  return { box, account } satisfies Pair
})

const once = ({ account }: Pair) => Effect.flatMap(SyncAccount, (program) => program.sync(account.id))

/** A round that is asked for again as long as the provider asks to wait. */
const sync = (pair: Pair) =>
  Effect.retry(once(pair), {
    times: 20,
    schedule: Schedule.spaced("200 millis"),
    while: (error) => error._tag === "ProviderError" && (error.class === "throttled" || error.class === "transient"),
  })

const during = <A, E, R>({ account }: Pair, tap: (mailbox: Mailbox) => Mailbox, work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { of } = yield* Tap
    of.set(account.id, tap)
    return yield* work.pipe(Effect.ensuring(Effect.sync(() => of.delete(account.id))))
  })

const stored = Effect.fnUntraced(function* ({ account }: Pair) {
  const folders = yield* Effect.flatMap(Folders, (folders) => folders.list(account.id))
  const messages = []
  for (let cursor: string | undefined = undefined;;) {
    const page: {
      readonly items: ReadonlyArray<Message>
      readonly nextCursor: string | null
    } = yield* Effect.flatMap(
      Messages,
      (list) => Effect.orDie(list.list({ accountId: account.id, limit: 500, cursor })),
    )
    messages.push(...page.items)
    if (page.nextCursor === null) return { folders, messages }
    cursor = page.nextCursor
  }
})

/** The store holds what the mailbox holds, and the change log leads to just that. */
const inStep = Effect.fnUntraced(function* (pair: Pair) {
  const { folders, messages } = yield* stored(pair)
  assert.deepStrictEqual(storedLines(folders, messages), (yield* pair.box.mail).map(lineOf).toSorted())
  const log = yield* changesOf(pair.account.id)
  const replayed = replay(log)
  assert.deepStrictEqual(replayed.faults, [])
  assert.deepStrictEqual(replayed.folders, new Map(messages.map(({ folderId, id }) => [id, folderId])))
  for (const folder of folders) {
    assert.strictEqual(folder.messages, messages.filter(({ folderId }) => folderId === folder.id).length)
    assert.isNotNull(folder.syncedAt, folder.displayName)
  }
  return { folders, messages, log }
})

/** Kinds, and fields of updates, in the order of the alphabet. */
const kindsOf = (log: ReadonlyArray<Change>) =>
  log.map(({ fields, kind, origin }) =>
    [kind.replace("message.", ""), ...(kind === "message.updated" ? fields ?? [] : []), origin].join(" ")
  ).toSorted()

/** A listing from the start finds what a round over changes would have found, under its own origin. */
const withoutOrigin = (kind: string): string => kind.replace(/ (live|reconcile)$/, "")

/** Declares the suite on every engine, or on those of `on`. */
export const conformance = (
  name: string,
  layer: Layer.Layer<Remote | Tap | SyncAccount, never, Database>,
  on?: ReadonlyArray<Engine>,
) =>
  onDatabases(`Conformance of ${name}`, Layer.provideMerge(layer, mailStorage), (it) => {
    /** A pair that has been synced once, and what the change log says of `work` and a round after it. */
    const after = <E, R>(work: (pair: Pair) => Effect.Effect<unknown, E, R>) =>
      Effect.gen(function* () {
        const pair = yield* aPair
        yield* sync(pair)
        const { log: before } = yield* inStep(pair)
        yield* work(pair)
        yield* sync(pair)
        const { log, ...rest } = yield* inStep(pair)
        return { ...rest, pair, kinds: kindsOf(log.slice(before.length)) }
      })

    it.effect("stores a mailbox whole, nested and localised folders included", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        const names = ["Ablage", "Größen & Maße", "收据", "الفواتير", '"quoted" & 100 %']
        let around: string | undefined
        for (const name of names) {
          around = yield* pair.box.createFolder(name, around)
          yield* pair.box.deliver({ subject: `within ${name}`, place: around })
        }
        yield* sync(pair)
        const { folders, log } = yield* inStep(pair)
        assert.includeMembers(folders.map(({ displayName }) => displayName), names)
        assert.deepStrictEqual(new Set(kindsOf(log)), new Set(["created backfill"]))
        assert.includeMembers(folders.flatMap(({ role }) => role === undefined ? [] : [role]), [
          "inbox",
          "sent",
          "trash",
        ])
      }))

    it.effect("says nothing of a mailbox in which nothing happened", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(() => Effect.void)
        assert.deepStrictEqual(kinds, [])
      }))

    it.effect("brings new mail", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.forEach([1, 2, 3], (n) => box.deliver({ subject: `fresh ${n}`, isRead: n === 2 }))
        )
        assert.deepStrictEqual(kinds, ["created live", "created live", "created live"])
      }))

    it.effect("brings flags, and each only when it changed", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.gen(function* () {
            const [a, b, c] = yield* box.mail
            yield* box.edit(a!, { isRead: !a!.isRead })
            yield* box.edit(b!, { isFlagged: !b!.isFlagged })
            yield* box.edit(yield* box.edit(c!, { isRead: !c!.isRead }), { isRead: c!.isRead })
          })
        )
        assert.deepStrictEqual(kinds, ["updated isFlagged live", "updated isRead live"])
      }))

    it.effect("tells a move as a move, with what changed on the way, there and back too", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.gen(function* () {
            const [a, b, c] = (yield* box.mail).filter(({ place }) => place === "inbox")
            yield* box.move(a!, "archive")
            yield* box.move(yield* box.edit(b!, { isRead: !b!.isRead }), "trash")
            yield* box.move(yield* box.move(c!, "archive"), "inbox")
          })
        )
        assert.deepStrictEqual(kinds, ["moved live", "moved live"])
      }))

    it.effect("tells a deletion as one", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.gen(function* () {
            const [a, b] = yield* box.mail
            yield* box.remove(a!)
            yield* box.remove(b!)
          })
        )
        assert.deepStrictEqual(kinds, ["deleted live", "deleted live"])
      }))

    it.effect("says nothing of mail that came and went between two rounds", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.gen(function* () {
            yield* box.remove(yield* box.deliver({ subject: "gone again" }))
          })
        )
        assert.deepStrictEqual(kinds, [])
      }))

    it.effect("keeps the mail of a folder that is renamed, and of those within it", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        const { box } = pair
        const outer = yield* box.createFolder("outer")
        const inner = yield* box.createFolder("inner", outer)
        for (const place of [outer, inner]) {
          yield* box.deliver({ subject: `one in ${place}`, place })
          yield* box.deliver({ subject: `two in ${place}`, place })
        }
        yield* sync(pair)
        const { log: before, messages } = yield* inStep(pair)
        yield* box.renameFolder(outer, "other")
        yield* sync(pair)
        const now = yield* inStep(pair)
        assert.deepStrictEqual(kindsOf(now.log.slice(before.length)), [])
        assert.sameMembers(now.messages.map(({ id }) => id), messages.map(({ id }) => id))
        assert.include(yield* box.places, `other${nested}inner`)
      }))

    it.effect("brings flags of mail in a folder that is renamed, before and after, and renamed again", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        const { box } = pair
        const outer = yield* box.createFolder("outer")
        const inner = yield* box.createFolder("inner", outer)
        for (let n = 1; n <= 8; n++) yield* box.deliver({ subject: `${n} in a folder that is renamed`, place: inner })
        yield* sync(pair)
        const flag = (n: number) =>
          Effect.gen(function* () {
            const mail = (yield* box.mail).find(({ subject }) => subject.startsWith(`${n} in a folder`))
            yield* box.edit(mail!, { isFlagged: true, isRead: true })
          })
        yield* flag(1)
        const once = yield* box.renameFolder(inner, "once")
        yield* flag(2)
        yield* sync(pair)
        yield* inStep(pair)
        yield* flag(3)
        yield* sync(pair)
        yield* inStep(pair)
        yield* flag(4)
        yield* box.renameFolder(once, "twice")
        yield* flag(5)
        yield* box.renameFolder(outer, "elsewhere")
        yield* flag(6)
        yield* sync(pair)
        yield* inStep(pair)
        yield* flag(7)
        yield* sync(pair)
        const { log } = yield* inStep(pair)
        assert.isFalse(log.some(({ kind }) => kind === "message.moved" || kind === "message.deleted"))
      }))

    it.effect("follows folders that come and go", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        const { box } = pair
        yield* sync(pair)
        const [a, b] = (yield* box.mail).filter(({ place }) => place === "inbox")
        const outer = yield* box.createFolder("outer")
        const inner = yield* box.createFolder("inner", outer)
        const moved = yield* box.move(a!, inner)
        yield* box.move(b!, inner)
        yield* sync(pair)
        const { log: before } = yield* inStep(pair)
        yield* box.move(moved, "inbox")
        yield* box.removeFolder(outer)
        yield* sync(pair)
        const { log } = yield* inStep(pair)
        const news = log.slice(before.length)
        if ((yield* Remote).foldersHoldMail) {
          return assert.deepStrictEqual(kindsOf(news), ["deleted live", "moved live"])
        }
        assert.strictEqual(new Set(news.map(({ messageId }) => messageId)).size, 2)
        assert.isTrue(news.every(({ kind }) => kind === "message.moved" || kind === "message.updated"))
      }))

    it.effect("logs true differences only when a cursor is lost", () =>
      Effect.gen(function* () {
        const { kinds } = yield* after(({ box }) =>
          Effect.gen(function* () {
            yield* box.loseCursors
            const [a, b, c] = (yield* box.mail).filter(({ place }) => place === "inbox")
            yield* box.edit(a!, { isRead: !a!.isRead })
            yield* box.move(b!, "archive")
            yield* box.remove(c!)
            yield* box.deliver({ subject: "since" })
          })
        )
        assert.deepStrictEqual(kinds.map(withoutOrigin), [
          "created",
          "deleted",
          "moved",
          "updated isRead",
        ])
      }))

    it.effect("bears empty pages and items that repeat", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        yield* during(
          pair,
          oddPages,
          Effect.gen(function* () {
            yield* sync(pair)
            yield* inStep(pair)
            const [a, b, c] = yield* pair.box.mail
            yield* pair.box.edit(a!, { isFlagged: !a!.isFlagged })
            yield* pair.box.remove(b!)
            yield* pair.box.move(c!, c!.place === "archive" ? "inbox" : "archive")
            yield* pair.box.deliver({ subject: "one more" })
            const before = (yield* changesOf(pair.account.id)).length
            yield* sync(pair)
            const { log } = yield* inStep(pair)
            assert.deepStrictEqual(kindsOf(log.slice(before)), [
              "created live",
              "deleted live",
              "moved live",
              "updated isFlagged live",
            ])
          }),
        )
      }))

    for (const trouble of ["locked", "gone"] as const) {
      it.effect(`keeps what it has while the mailbox is ${trouble}, and goes on from there`, () =>
        Effect.gen(function* () {
          const { classOf } = yield* Remote
          const { kinds } = yield* after((pair) =>
            Effect.gen(function* () {
              yield* pair.box.deliver({ subject: "before it" })
              yield* pair.box.suffer(trouble)
              const error = yield* Effect.flip(once(pair))
              assert.strictEqual(error._tag === "ProviderError" && error.class, classOf[trouble])
              yield* pair.box.suffer(null)
              yield* pair.box.deliver({ subject: "after it" })
            })
          )
          assert.deepStrictEqual(kinds, ["created live", "created live"])
        }), 90_000)
    }

    const inTheMiddle = (what: string, happen: (box: RemoteBox) => Effect.Effect<void>) =>
      it.effect(`goes on where it was when ${what} in the middle of a round`, () =>
        Effect.gen(function* () {
          /** Ahead of the second page, and not again when the round is asked for anew. */
          const onceIn = (box: RemoteBox) => {
            let happened = false
            return (n: number) =>
              Effect.suspend(() => {
                if (happened || n !== 2) {
                  return Effect.void
                }
                happened = true
                return happen(box)
              })
          }
          const pair = yield* aPair
          yield* during(
            pair,
            beforePages(onceIn(pair.box)),
            sync(pair),
          )
          const { log } = yield* inStep(pair)
          assert.strictEqual(log.length, (yield* pair.box.mail).length)
          const kinds = yield* during(
            pair,
            beforePages(onceIn(pair.box)),
            Effect.gen(function* () {
              const [a, b] = yield* pair.box.mail
              yield* pair.box.edit(a!, { isRead: !a!.isRead })
              yield* pair.box.remove(b!)
              yield* pair.box.deliver({ subject: "meanwhile" })
              yield* sync(pair)
              return kindsOf((yield* inStep(pair)).log.slice(log.length))
            }),
          )
          assert.deepStrictEqual(kinds.map(withoutOrigin), ["created", "deleted", "updated isRead"])
        }), 60_000)

    inTheMiddle("requests are too many", (box) =>
      box.throttle(3))
    inTheMiddle("the access token expires", (box) =>
      box.expireTokens)
    inTheMiddle("cursors are lost", (box) =>
      box.loseCursors)

    it.effect("loses and repeats nothing when it is cut off between any two pages", () =>
      Effect.gen(function* () {
        const pair = yield* aPair
        const { box } = pair
        let delivered = (yield* box.mail).length
        let removed = 0
        let whole = 0
        for (let cut = 1; whole < 3; cut++) {
          assert.isBelow(cut, 200, "a round never ends")
          const outcome = yield* during(
            pair,
            beforePages((n) => n > cut ? Effect.die("cut off") : Effect.void),
            Effect.exit(once(pair)),
          )
          // Whole although it was to be cut: all its pages came before that.
          if (outcome._tag === "Success") whole++
          const inbox = (yield* box.mail).filter(({ place }) => place === "inbox")
          yield* box.deliver({ subject: `after ${cut} pages` })
          delivered++
          yield* box.move(inbox[cut % inbox.length]!, cut % 2 === 0 ? "archive" : "trash")
          const rest = yield* box.mail
          yield* box.edit(rest[(cut * 3) % rest.length]!, { isFlagged: cut % 3 === 0 })
          if (cut % 4 === 0) {
            yield* box.remove(rest[(cut * 5) % rest.length]!)
            removed++
          }
        }
        yield* sync(pair)
        const { log, messages } = yield* inStep(pair)
        const { counts } = replay(log)
        // What came and went unseen is in neither count.
        assert.strictEqual(messages.length, delivered - removed)
        assert.strictEqual((counts["message.created"] ?? 0) - (counts["message.deleted"] ?? 0), messages.length)
        assert.isAtMost(counts["message.created"] ?? 0, delivered)
        assert.isAtMost(counts["message.deleted"] ?? 0, removed)
      }), 120_000)
  }, on)
