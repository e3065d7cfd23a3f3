/** Turns of a sync: bounded, resumed, fresh mail first; bodies, twins, choices and counts within them. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import type { Mailbox } from "../../src/mail/Mailbox.ts"
import { type BacklogPlaces, bodiesPerTurn, serveBodies } from "../../src/programs/SyncBodies.ts"
import { syncFolders } from "../../src/programs/SyncFolders.ts"
import { reconcile } from "../../src/programs/SyncReconcile.ts"
import { type TurnLimits, turnLimits } from "../../src/programs/SyncTurn.ts"
import { Database } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { SyncCounts } from "../../src/storage/mail/SyncCounts.ts"
import { type SyncLease, SyncLeases } from "../../src/storage/mail/SyncLeases.ts"
import { SyncTurns } from "../../src/storage/mail/SyncTurns.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, changesOf, mailStorage, makeAccount, remoteFolder, upsert } from "../support/mail.ts"
import { aBody, MemoryMailbox } from "../support/memoryMailbox.ts"

const few: TurnLimits = { pages: 4, millis: 20_000 }

/** An account whose turns the test takes. */
const account = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  const folders = yield* Folders
  const writer = yield* MessageWriter
  const counts = yield* SyncCounts
  const turns = yield* SyncTurns
  const leases = yield* SyncLeases
  const { id } = yield* makeAccount({})

  const turn = Effect.fnUntraced(function* (
    mailbox: Mailbox,
    limits: TurnLimits = turnLimits,
    mail: Partial<SyncLease["mail"]> = {},
  ) {
    const lease = yield* acquireLease(id)
    const held = { ...lease, mail: { ...lease.mail, ...mail } }
    const start = yield* turns.begin(lease)
    const outcome = yield* Effect.exit(syncFolders({ mailbox, folders, writer }, held, start, limits))
    if (outcome._tag === "Success" && outcome.value.complete) yield* leases.succeed(lease, 0)
    else yield* turns.unfinished(lease, start, outcome._tag === "Success" ? outcome.value.asked : [])
    return yield* outcome
  })
  /** What was asked a minute ago is asked again. */
  const later = sql`update ${t.folders} set asked_at = asked_at - interval '2 minutes' where account_id = ${id}`
  const log = Effect.map(
    changesOf(id),
    (entries) => entries.map(({ kind, origin }) => `${kind.replace("message.", "")} ${origin}`),
  )
  const stored = Effect.map(
    sql<{ id: string; folder: string; body: string | null }>`select m.remote_id as id, f.remote_id as folder,
        b.body_text as body
      from ${t.messages} m left join ${t.message_bodies} b on b.message_id = m.id join ${t.folders} f on f.account_id = m.account_id and f.id = m.folder_id
      where m.account_id = ${id}`,
    (rows) => new Map(rows.map((row) => [row.id, row])),
  )
  return { id, turn, later, log, stored, folders, writer, counts }
})

const times = (list: ReadonlyArray<string>, entry: string) => list.filter((one) => one === entry).length

await onDatabases("Turns", mailStorage, (it) => {
  it.effect("end after so many pages, and the next goes on where the last one stood", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox" })
      memory.fill("inbox", 95)
      const first = yield* box.turn(memory.mailbox, few)
      assert.deepStrictEqual([first.complete, first.changes, first.asked], [false, 40, []])
      assert.strictEqual((yield* box.turn(memory.mailbox, few)).complete, false)
      const last = yield* box.turn(memory.mailbox, few)
      assert.isTrue(last.complete)
      assert.strictEqual((yield* box.stored).size, 95)
      assert.strictEqual(times(yield* box.log, "created backfill"), 95)
      // Each page was asked once.
      const pages = memory.asked.filter((one) => one.startsWith("page inbox list") || one === "page inbox -")
      assert.strictEqual(new Set(pages).size, pages.length)
    }))

  it.effect("end after so much time, and get on by a page at the least", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox" })
      memory.fill("inbox", 50)
      memory.latency = 30
      const { changes, complete } = yield* box.turn(memory.mailbox, { pages: 1_000, millis: 20 })
      assert.deepStrictEqual([complete, changes], [false, 10])
    }))

  it.effect("bring fresh mail before they go on with a backlog, that of the folder itself included", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ small: null, huge: null })
      memory.fill("small", 5)
      memory.fill("huge", 500)
      yield* box.turn(memory.mailbox, few)
      memory.deliver("small", "fresh")
      memory.deliver("huge", "fresh as well")
      yield* box.later
      memory.asked.splice(0)
      assert.isFalse((yield* box.turn(memory.mailbox, few)).complete)
      assert.deepStrictEqual(memory.asked.slice(0, 2), ["newest huge", "page small log 0"])
      assert.isTrue(memory.asked[2]?.startsWith("page huge list"))
      const stored = yield* box.stored
      assert.isTrue(stored.has("fresh") && stored.has("fresh as well"))
      // The newest five of the huge folder: four are stored already, one is live.
      assert.strictEqual(times(yield* box.log, "created live"), 2)
    }))

  it.effect("do not ask again what was asked a moment ago, while they follow each other at once", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ small: null, huge: null })
      memory.fill("small", 5)
      memory.fill("huge", 100)
      yield* box.turn(memory.mailbox, few)
      memory.asked.splice(0)
      yield* box.turn(memory.mailbox, few)
      assert.isFalse(memory.asked.some((one) => one.startsWith("page small")))
    }))

  it.effect("tell a move from a deletion, however many turns a round takes", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ small: null, huge: null, late: null })
      memory.fill("small", 5)
      memory.fill("huge", 150)
      memory.fill("late", 3)
      yield* box.turn(memory.mailbox, few)
      memory.move("small-1", "small", "huge")
      memory.move("small-2", "small", "late")
      memory.remove("small", "small-3")
      for (let turn = 0; turn < 12; turn++) {
        yield* box.later
        if ((yield* box.turn(memory.mailbox, few)).complete) break
        assert.strictEqual(times(yield* box.log, "deleted live"), 0)
      }
      yield* box.turn(memory.mailbox)
      const stored = yield* box.stored
      assert.strictEqual(stored.size, memory.size)
      assert.strictEqual(stored.get("small-1")?.folder, "huge")
      assert.strictEqual(stored.get("small-2")?.folder, "late")
      const log = yield* box.log
      assert.deepStrictEqual(
        [times(log, "deleted live"), log.filter((one) => one.startsWith("moved")).length],
        [1, 2],
      )
      assert.strictEqual(log.filter((one) => one.startsWith("created")).length, 158)
    }))

  it.effect("get through more folders than fit into one, slow as they may be", () =>
    Effect.gen(function* () {
      const box = yield* account
      const names = Array.from({ length: 12 }, (_, n) => `folder ${n}`)
      const memory = new MemoryMailbox(Object.fromEntries(names.map((name) => [name, null])))
      for (const name of names) memory.fill(name, 1)
      yield* box.turn(memory.mailbox)
      const { sql, tables: t } = yield* Database
      yield* sql`update ${t.accounts} set synced_at = now() - interval '1 hour' where id = ${box.id}`
      memory.latency = 10
      let turns = 1
      while (!(yield* box.turn(memory.mailbox, { pages: 100, millis: 35 })).complete) {
        assert.isBelow(++turns, 12)
        yield* box.later
      }
      assert.isAbove(turns, 1)
    }))

  it.effect("fetch bodies with the page, and those that could not be had from the backlog", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox" })
      memory.fill("inbox", 12)
      let refuse = true
      const refused = new ProviderError({ class: "throttled", code: "throttled", message: "slow down" })
      const mailbox: Mailbox = {
        ...memory.mailbox,
        bodies: (_, ids) =>
          refuse && ids.includes("inbox-1")
            ? Effect.fail(refused)
            : Effect.succeed(new Map(ids.map((id) => [id, aBody(`text of ${id}`)]))),
      }
      assert.strictEqual(yield* Effect.flip(box.turn(mailbox)), refused)
      const before = yield* box.stored
      assert.deepStrictEqual([before.size, before.get("inbox-12")?.body], [12, "text of inbox-12"])
      assert.isNull(before.get("inbox-1")?.body)
      refuse = false
      assert.isTrue((yield* box.turn(mailbox)).complete)
      const lease = yield* acquireLease(box.id)
      assert.isFalse(yield* serveBodies({ mailbox, writer: box.writer }, lease, new Map()))
      assert.isTrue([...(yield* box.stored).values()].every(({ body, id }) => body === `text of ${id}`))
    }))

  it.effect("hold up no body behind those that the provider never grants", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox" })
      const count = bodiesPerTurn + 50
      memory.fill("inbox", count)
      const { concurrency, folders, page } = memory.mailbox
      while (!(yield* box.turn({ concurrency, folders, page }, few)).complete) yield* box.later
      const lease = yield* acquireLease(box.id)
      const places: BacklogPlaces = new Map()
      const asked: Array<ReadonlyArray<string>> = []
      let granted: (id: string) => boolean = () => false
      const mailbox: Mailbox = {
        ...memory.mailbox,
        bodies: (_, ids) =>
          Effect.sync(() => {
            asked.push(ids)
            return new Map(ids.filter((id) => granted(id)).map((id) => [id, aBody(`text of ${id}`)]))
          }),
      }
      const serve = serveBodies({ mailbox, writer: box.writer }, lease, places)
      assert.isFalse(yield* serve)
      const never = new Set(asked[0])
      assert.strictEqual(never.size, bodiesPerTurn)
      granted = (id) => !never.has(id)
      yield* serve
      const have = [...(yield* box.stored).values()].filter(({ body }) => body !== null)
      assert.strictEqual(have.length, 50)
      // Then from the beginning again.
      yield* serve
      assert.deepStrictEqual(asked[2], asked[0])
      granted = () => true
      yield* serve
      yield* serve
      assert.isTrue([...(yield* box.stored).values()].every(({ body }) => body !== null))
    }))

  it.effect("know a message again that moved without keeping its id, and take a copy for a copy", () =>
    Effect.gen(function* () {
      const box = yield* account
      const letter = (id: string, twinKey: string) => ({ ...upsert(id, { subject: twinKey, size: 5 }), twinKey })
      const pages = new Map([["A", [letter("A/1", "one"), letter("A/2", "two")]], ["B", []]])
      const there = new Set(["A/1", "A/2"])
      const mailbox: Mailbox = {
        concurrency: 1,
        folders: () => Effect.succeed([remoteFolder("B"), remoteFolder("A")]),
        page: (folder, cursor) =>
          Effect.sync(() => ({
            changes: pages.get(folder)!.splice(0),
            cursor: `${Number(cursor ?? 0) + 1}`,
            roundComplete: true,
          })),
        present: (_, ids) => Effect.succeed(new Set(ids.filter((id) => there.has(id)))),
      }
      yield* box.turn(mailbox)
      // B is asked first, and shows both; A has kept only one of them.
      there.delete("A/1")
      pages.set("B", [letter("B/1", "one"), letter("B/2", "two")])
      yield* box.turn({ ...mailbox, folders: () => Effect.succeed([remoteFolder("B"), remoteFolder("A")]) })
      assert.deepStrictEqual((yield* box.log).map((one) => one.split(" ")[0]), [
        "created",
        "created",
        "moved",
        "created",
      ])
      assert.sameMembers([...(yield* box.stored).keys()], ["B/1", "B/2", "A/2"])
    }))

  it.effect("read the folders that the account chose, by role or path, and none besides", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox", trash: "trash", Projects: null })
      for (const name of ["inbox", "trash", "Projects"]) memory.fill(name, 2)
      assert.isTrue((yield* box.turn(memory.mailbox, turnLimits, { folders: ["inbox", "projects"] })).complete)
      assert.sameMembers(
        [...(yield* box.stored).values()].map(({ folder }) => folder),
        ["inbox", "inbox", "Projects", "Projects"],
      )
      assert.isFalse(memory.asked.some((one) => one.startsWith("page trash")))
    }))

  it.effect("follow one stream for folders that share it, and leave out what lies in those that were not chosen", () =>
    Effect.gen(function* () {
      const box = yield* account
      const stream = [
        { ...upsert("1"), folderRemoteId: "inbox" },
        { ...upsert("2"), folderRemoteId: "spam" },
        upsert("3"),
      ]
      const asked: Array<string> = []
      const mailbox: Mailbox = {
        concurrency: 1,
        folders: () =>
          Effect.succeed([
            remoteFolder("all", { role: "archive" }),
            remoteFolder("inbox", { role: "inbox", followedBy: "all" }),
            remoteFolder("spam", { role: "junk", followedBy: "all" }),
          ]),
        page: (folder, cursor) =>
          Effect.sync(() => {
            asked.push(folder)
            return { changes: stream.splice(0), cursor: `${Number(cursor ?? 0) + 1}`, roundComplete: true }
          }),
      }
      yield* box.turn(mailbox, turnLimits, { folders: ["inbox"] })
      assert.deepStrictEqual(asked, ["all"])
      assert.deepStrictEqual([...(yield* box.stored).values()].map(({ folder, id }) => `${folder} ${id}`), ["inbox 1"])
      // Moved to where nobody looks: gone, as far as the account is concerned.
      stream.push({ ...upsert("1"), folderRemoteId: "spam" })
      yield* box.turn(mailbox, turnLimits, { folders: ["inbox"] })
      yield* box.turn(mailbox, turnLimits, { folders: ["inbox"] })
      assert.strictEqual((yield* box.stored).size, 0)
    }))

  it.effect("are followed by a look at the counts: what no page told of is found, and told once", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox", other: null })
      memory.fill("inbox", 30)
      memory.fill("other", 3)
      yield* box.turn(memory.mailbox)
      memory.hidden.add("missed")
      memory.deliver("inbox", "missed")
      const look = Effect.gen(function* () {
        yield* box.turn(memory.mailbox)
        const lease = yield* acquireLease(box.id)
        const services = { mailbox: memory.mailbox, folders: box.folders, counts: box.counts }
        const soon = yield* reconcile({ ...services, settings: { reconcileEvery: Duration.days(1) } }, lease)
        yield* (yield* SyncLeases).succeed(lease, 0)
        return soon
      })
      // Once may be mail that has just come.
      assert.isTrue(yield* look)
      memory.hidden.clear()
      assert.isTrue(yield* look)
      yield* box.turn(memory.mailbox)
      assert.deepStrictEqual((yield* box.log).slice(33), ["created reconcile"])
      assert.isFalse(yield* look)
      assert.strictEqual((yield* box.stored).size, 34)
      const { sql, tables: t } = yield* Database
      const rows = yield* sql<{ due: number }>`select extract(epoch from counts_due_at - now())::float8 as due
        from ${t.accounts} where id = ${box.id}`
      assert.closeTo(rows[0]!.due, 86_400, 8_700)
    }))

  it.effect("do without what a channel does not offer", () =>
    Effect.gen(function* () {
      const box = yield* account
      const memory = new MemoryMailbox({ inbox: "inbox" })
      memory.fill("inbox", 95)
      const { concurrency, folders, page } = memory.mailbox
      const bare: Mailbox = { concurrency, folders, page }
      while (!(yield* box.turn(bare, few)).complete) yield* box.later
      assert.strictEqual((yield* box.stored).size, 95)
      memory.remove("inbox", "inbox-1")
      yield* box.turn(bare)
      yield* box.turn(bare)
      assert.strictEqual((yield* box.stored).size, 94)
      assert.isFalse(yield* serveBodies({ mailbox: bare, writer: box.writer }, yield* acquireLease(box.id), new Map()))
    }))
})
