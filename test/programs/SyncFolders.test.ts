import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { CursorLost, FolderGone, type Mailbox, type Page } from "../../src/mail/Mailbox.ts"
import { syncFolders } from "../../src/programs/SyncFolders.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { SyncTurns } from "../../src/storage/mail/SyncTurns.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, changesOf, mailStorage, makeAccount, remoteFolder, removed, upsert } from "../support/mail.ts"

type Answer = readonly [cursor: string, ...changes: Page["changes"]] | "lost" | "gone"

/** A mailbox that answers from a table of `folder cursor`; a cursor that ends in `…` stands in the middle of a round. */
const scripted = (names: ReadonlyArray<string>, answers: Record<string, Answer>) => {
  const asked: Array<string> = []
  const mailbox: Mailbox = {
    concurrency: 4,
    folders: () => Effect.succeed(names.map((name) => remoteFolder(name))),
    page: (folder, cursor) =>
      Effect.suspend((): ReturnType<Mailbox["page"]> => {
        const key = `${folder} ${cursor ?? "-"}`
        asked.push(key)
        const answer = answers[key]
        if (answer === "lost") return Effect.fail(new CursorLost())
        if (answer === "gone") return Effect.fail(new FolderGone())
        const [next, ...changes] = answer ?? [cursor ?? "0"]
        return Effect.succeed({ changes, cursor: next, roundComplete: !next.endsWith("…") })
      }),
  }
  return { mailbox, asked }
}

const account = Effect.gen(function* () {
  const folders = yield* Folders
  const writer = yield* MessageWriter
  const turns = yield* SyncTurns
  const { id } = yield* makeAccount({})
  const lease = yield* acquireLease(id)
  const sync = ({ mailbox }: { readonly mailbox: Mailbox }) =>
    Effect.flatMap(
      turns.begin(lease),
      (start) => syncFolders({ mailbox, folders, writer }, lease, start),
    )
  const kinds = Effect.map(changesOf(id), (entries) => entries.map(({ kind }) => kind.replace("message.", "")))
  return { sync, kinds, lease, folders, writer }
})

const one = upsert("1", { subject: "one" })

/** Changes nothing, but is not nothing: the cursor of a page without changes is not stored at once. */
const unknown = { ...upsert("unknown"), ifKnown: true }

await onDatabases("syncFolders", mailStorage, (it) => {
  it.effect("does not take a move for a deletion because a round was begun before it", () =>
    Effect.gen(function* () {
      const box = yield* account
      yield* box.sync(scripted(["A", "B"], { "A -": ["a1", one], "B -": ["b1"] }))
      // An earlier process got as far as this: 1 has left A, and B is in the middle of a round from before that.
      const [a, b] = yield* box.folders.states(box.lease)
      const page = (cursor: string, ...changes: Page["changes"]) => ({
        cursor,
        changes,
        roundComplete: !cursor.endsWith("…"),
      })
      yield* box.writer.applyPage(box.lease, b!, page("b2…"))
      yield* box.writer.applyPage(box.lease, a!, page("a2", removed("1")))
      const { asked, ...rest } = scripted(["A", "B"], { "B b2…": ["b3"], "B b3": ["b4", one] })
      yield* box.sync(rest)
      assert.deepStrictEqual(asked.toSorted(), ["A a2", "B b2…", "B b3"])
      assert.deepStrictEqual(yield* box.kinds, ["created", "moved"])
    }))

  it.effect("asks those folders again that were asked before a message left another", () =>
    Effect.gen(function* () {
      const box = yield* account
      yield* box.sync(scripted(["A", "B"], { "A -": ["a1", one], "B -": ["b1"] }))
      const { asked, ...rest } = scripted(["A", "B"], {
        "A a1": ["a2", removed("1")],
        "B b1": ["b2", unknown],
        "B b2": ["b3", one],
      })
      yield* box.sync(rest)
      assert.deepStrictEqual(asked.toSorted(), ["A a1", "A a2", "B b1", "B b2"])
      assert.deepStrictEqual(yield* box.kinds, ["created", "moved"])
    }))

  it.effect("keeps the mail of a folder that is listed, whatever its delta says, and of one that is not, while its delta answers", () =>
    Effect.gen(function* () {
      const box = yield* account
      yield* box.sync(scripted(["A", "B"], { "A -": ["a1", one], "B -": ["b1"] }))
      yield* box.sync(scripted(["A", "B"], { "A a1": "gone" }))
      yield* box.sync(scripted(["B"], { "A a1": ["a2", unknown] }))
      assert.deepStrictEqual(yield* box.kinds, ["created"])
      yield* box.sync(scripted(["B"], { "A a2": "gone" }))
      assert.deepStrictEqual(yield* box.kinds, ["created", "deleted"])
      assert.deepStrictEqual((yield* box.folders.states(box.lease)).map(({ remoteId }) => remoteId), ["B"])
    }))

  it.effect("lists a folder afresh when its cursor is lost, in the middle of a listing too", () =>
    Effect.gen(function* () {
      const box = yield* account
      const two = upsert("2", { subject: "two" })
      yield* box.sync(scripted(["A"], { "A -": ["a1", one, two] }))
      let listings = 0
      const { asked, mailbox } = scripted(["A"], { "A a1": "lost", "A a2…": "lost", "A a3…": ["a4"] })
      const page: Mailbox["page"] = (folder, cursor) =>
        cursor === null && ++listings > 0
          ? Effect.succeed({ changes: [listings === 1 ? one : two], cursor: `a${listings + 1}…`, roundComplete: false })
          : mailbox.page(folder, cursor)
      yield* box.sync({ mailbox: { ...mailbox, page } })
      assert.strictEqual(listings, 2)
      assert.include(asked, "A a3…")
      // What only the broken listing showed is gone.
      assert.deepStrictEqual(yield* box.kinds, ["created", "created", "deleted"])
    }))

  it.effect("gives up on a folder that loses its place without end", () =>
    Effect.gen(function* () {
      const box = yield* account
      for (
        const answers of [{ "A -": "lost" }, { "A -": ["a1…"], "A a1…": "lost" }, {
          "A -": ["a1…"],
          "A a1…": ["a1…"],
        }] satisfies ReadonlyArray<Record<string, Answer>> as ReadonlyArray<Record<string, Answer>>
      ) {
        const error = yield* Effect.flip(box.sync(scripted(["A"], answers)))
        assert.strictEqual(error._tag === "ProviderError" && error.class, "transient")
      }
    }))
})
