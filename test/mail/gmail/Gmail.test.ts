import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Stream } from "effect"
import { readPush } from "../../../src/mail/gmail/GmailWatch.ts"
import { readGmailBatch, runGmailBatch } from "../../../src/simulator/GmailBatch.ts"
import { advancing, gmailBox, heldLines, Mirror } from "../../support/gmail.ts"

const failure = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => "class" in error ? error.class : error._tag)

const all = "ALL_MAIL"

/** So many units that no request waits for them. */
const plenty = { units: 1_000_000 }

/** Brings a mirror into step, and forgets the requests. */
const inStep = Effect.fnUntraced(function* (box: Effect.Success<ReturnType<typeof gmailBox>>) {
  const mirror = new Mirror()
  yield* advancing(mirror.round(box.mailbox))
  assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
  box.requests()
  return mirror
})

describe("Gmail", () => {
  it.effect("lists a whole mailbox newest first, a batch for each page, each message once in its folder", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 120, gmailUnits: 1_000_000 }, plenty)
      const mirror = new Mirror()
      const pages = yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(box.requests(), [
        "labels",
        `batch of ${box.simulator.mailbox(box.email).folders.length - 1}`,
        "profile",
        "profile",
        "messages",
        "batch of 50",
        "history",
        "messages",
        "batch of 50",
        "history",
        "messages",
        "batch of 20",
      ])
      assert.deepStrictEqual(pages.map(({ changes }) => changes.length), [50, 50, 20])
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
      const times = [...mirror.messages.values()].map(({ receivedAt }) => DateTime.toEpochMillis(receivedAt!))
      assert.deepStrictEqual(times, times.toSorted((a, b) => b - a))
      for (const message of mirror.messages.values()) {
        assert.strictEqual(message.bodyState, "complete")
        assert.isString(message.text)
        assert.isString(message.internetMessageId)
        assert.isNotNull(message.sentAt)
      }
      assert.isTrue([...mirror.messages.values()].some(({ attachments }) => (attachments?.length ?? 0) > 0))

      // Nothing happened: one request for the labels, and one that tells where the history ends.
      const before = mirror.cursor
      const known = (yield* box.mailbox.folders([])).map((folder) => ({ ...folder, cursor: mirror.cursor }))
      box.requests()
      yield* box.mailbox.folders(known)
      const quiet = yield* box.mailbox.page(all, mirror.cursor)
      assert.deepStrictEqual(quiet, { changes: [], cursor: before!, roundComplete: true })
      assert.deepStrictEqual(box.requests(), ["labels", "profile"])
      // Asked again, it looks.
      yield* box.mailbox.page(all, mirror.cursor)
      assert.deepStrictEqual(box.requests(), ["history"])
    }))

  it.effect("follows deliveries, flags, moves and deletions; what labels say needs no message to be fetched", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 30 }, plenty)
      const mirror = yield* inStep(box)
      const { email, simulator } = box
      const inbox = simulator.mailbox(email).messages.filter(({ folderId }) => folderId === "INBOX")
      const [a, b, c, d, e] = inbox.map(({ id }) => id)
      simulator.editMessage(email, a!, { isRead: !inbox[0]!.isRead, flagStatus: "flagged", importance: "high" })
      simulator.moveMessage(email, b!, "Label_1")
      simulator.moveMessage(email, c!, "deleteditems")
      simulator.removeMessage(email, d!)
      simulator.moveMessage(email, e!, "archive")
      yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(mirror.lines(), heldLines(simulator, email))
      assert.isFalse(box.requests().some((request) => request.startsWith("messages") || request === "batch of 5"))
      assert.strictEqual(mirror.messages.get(a!)!.importance, "high")
      assert.deepStrictEqual(
        [a, b, c, d, e].map((id) => mirror.messages.get(id!)?.folder),
        ["INBOX", "Label_1", "TRASH", undefined, all],
      )

      simulator.deliver(email, { count: 3, subject: "fresh" })
      const gone = simulator.deliver(email, { subject: "gone again" })[0]!.id
      simulator.removeMessage(email, gone)
      const pages = yield* mirror.round(box.mailbox)
      assert.strictEqual(pages.length, 1)
      assert.deepStrictEqual(box.requests().slice(-2), ["history", "batch of 3"])
      assert.deepStrictEqual(mirror.lines(), heldLines(simulator, email))
    }))

  it.effect("tells fresh mail first while the first listing is under way, and nothing twice at its end", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 120, gmailUnits: 1_000_000 }, plenty)
      const mirror = new Mirror()
      mirror.apply(yield* box.mailbox.page(all, null))
      const [fresh] = box.simulator.deliver(box.email, { subject: "fresh" })
      box.simulator.moveMessage(box.email, mirror.pages[0]!.changes[0]!.remoteId, "Label_1")
      const oldest = box.simulator.mailbox(box.email).messages.at(-1)!
      box.simulator.editMessage(box.email, oldest.id, { flagStatus: "flagged" })
      const next = yield* box.mailbox.page(all, mirror.cursor)
      assert.strictEqual(next.changes[0]!.remoteId, fresh!.id)
      assert.isFalse(next.roundComplete)
      mirror.apply(next)
      yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
      yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(mirror.pages.at(-1)!.changes, [])
    }))

  it.effect("pages of a long history are followed to the end, empty and repeated ones included", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 130, oddPages: 0.6, gmailUnits: 1_000_000 }, plenty)
      const mirror = yield* inStep(box)
      const { email, simulator } = box
      simulator.deliver(email, { count: 140 })
      for (const { id } of simulator.mailbox(email).messages.slice(0, 200)) {
        simulator.editMessage(email, id, { flagStatus: "flagged" })
      }
      const { value: pages } = yield* advancing(mirror.round(box.mailbox))
      assert.isAbove(pages.length, 3)
      assert.isTrue(pages.every(({ changes }) => changes.length <= 100))
      assert.deepStrictEqual(mirror.lines(), heldLines(simulator, email))
      assert.deepStrictEqual((yield* box.mailbox.ids!(all)).toSorted(), [...mirror.messages.keys()].toSorted())
    }))

  it.effect("labels are folders, nested by their names; a new name changes nothing else", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 20 }, plenty)
      const { email, simulator } = box
      const parent = simulator.addFolder(email, { displayName: "Zebra" })
      const child = simulator.addFolder(email, { displayName: "Stripes", parent: parent.id })
      const orphan = simulator.addFolder(email, { displayName: "No/Parent/Here" })
      const folders = yield* box.mailbox.folders([])
      const find = (id: string) => folders.find(({ remoteId }) => remoteId === id)!
      assert.deepStrictEqual(
        folders.filter(({ role }) => role !== null).map(({ displayName, followedBy, role }) => [
          role,
          displayName,
          followedBy,
        ]),
        [
          ["archive", "All Mail", undefined],
          ["trash", "Trash", all],
          ["junk", "Spam", all],
          ["drafts", "Drafts", all],
          ["inbox", "Inbox", all],
          ["sent", "Sent", all],
        ],
      )
      assert.deepStrictEqual([find(child.id).parentRemoteId, find(child.id).displayName], [parent.id, "Stripes"])
      assert.deepStrictEqual([find(orphan.id).parentRemoteId, find(orphan.id).displayName], [null, "No/Parent/Here"])
      assert.strictEqual(find(all).totalItems, 20)
      assert.isTrue(folders.every(({ followedBy, totalItems }) => totalItems !== null && followedBy !== ""))

      const mirror = yield* inStep(box)
      simulator.renameFolder(email, parent.id, "Giraffe")
      const renamed = yield* box.mailbox.folders([])
      assert.deepStrictEqual(
        renamed.filter(({ remoteId }) => remoteId === parent.id || remoteId === child.id).map((f) => f.displayName),
        ["Giraffe", "Stripes"],
      )
      assert.deepStrictEqual((yield* box.mailbox.page(all, mirror.cursor)).changes, [])
      assert.deepStrictEqual(yield* box.mailbox.page("INBOX", null), { changes: [], cursor: all, roundComplete: true })

      // A label that folders were not told of yet cannot be a message's folder: the next round tells of it first.
      const late = simulator.addFolder(email, { displayName: "Late" })
      simulator.moveMessage(email, simulator.mailbox(email).messages[0]!.id, late.id)
      assert.strictEqual(yield* failure(box.mailbox.page(all, mirror.cursor)), "transient")
      yield* mirror.round(box.mailbox)
      assert.include(mirror.lines().join("\n"), `${late.id} `)

      // Its messages are told to lie elsewhere when a label goes.
      simulator.removeFolder(email, late.id)
      yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(
        mirror.lines().filter((line) => line.includes("Late")),
        [],
      )
    }))

  it.effect("a history that does not reach back so far, and a cursor that is none, are lost", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 60 }, plenty)
      const { cursor } = yield* box.mailbox.page(all, null)
      box.simulator.deliver(box.email)
      box.simulator.expireCursors(box.email)
      assert.strictEqual(yield* failure(box.mailbox.page(all, cursor)), "CursorLost")
      for (const odd of ["https://graph.microsoft.com/v1.0/delta", "{}", '{"historyId":"12a"}']) {
        assert.strictEqual(yield* failure(box.mailbox.page(all, odd)), "CursorLost")
      }
      const { historyId } = JSON.parse((yield* box.mailbox.page(all, null)).cursor)
      assert.isAbove(Number(historyId), Number.MAX_SAFE_INTEGER)
      // Tokens of pages live less long than ids: of a listing there is no other way in.
      assert.strictEqual(
        yield* failure(box.mailbox.page(all, JSON.stringify({ historyId, listing: "old" }))),
        "CursorLost",
      )
      const again = yield* box.mailbox.page(all, JSON.stringify({ historyId, historyPage: "old" }))
      assert.isTrue(again.roundComplete)
    }))

  it.effect("waits a second or more when it is told to slow down, in either form, and goes on", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 10 }, plenty)
      const mirror = yield* inStep(box)
      box.simulator.deliver(box.email)
      const limit = { error: { code: 403, errors: [{ reason: "userRateLimitExceeded" }] } }
      box.simulator.script({
        endpoint: "gmail",
        email: box.email,
        answers: [{ status: 403, body: limit }, { fault: "throttled-bare" }, { fault: "throttled-bare" }],
      })
      const { millis } = yield* advancing(mirror.round(box.mailbox))
      // 1 + 2 + 4 seconds, and half as much again at most.
      assert.isTrue(millis >= 7_000 && millis < 12_000, `${millis} ms`)
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))

      box.simulator.script({
        endpoint: "gmail",
        answers: [{ status: 429, body: limit, headers: { "retry-after": "600" } }],
      })
      const refused = yield* Effect.flip(box.mailbox.page(all, mirror.cursor))
      assert.isTrue(refused._tag === "ProviderError" && refused.class === "throttled")
      assert.deepInclude(refused, { retryAfterMillis: 600_000 })
      assert.deepInclude(yield* Effect.flip(box.mailbox.page(all, mirror.cursor)), { notSent: true })
    }))

  it.effect("asks again for the parts of a batch that were throttled, and for no others", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 50, gmailUnits: 1_000_000 }, plenty)
      yield* box.mailbox.folders([])
      const mirror = new Mirror()
      box.requests()
      box.simulator.configure({ faultRate: 0.3, faultKinds: ["throttled-bare", "error"] })
      yield* advancing(mirror.round(box.mailbox))
      box.simulator.configure({ faultRate: 0 })
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
      const sizes = box.requests().filter((request) => request.startsWith("batch")).map((request) =>
        Number(request.slice(9))
      )
      const full = sizes.indexOf(50)
      assert.isAtLeast(sizes[full + 1] ?? 0, 2)
      assert.isBelow(sizes[full + 1] ?? 50, 35)
    }))

  it.effect("waits longer each time that a whole batch is throttled", () =>
    Effect.gen(function* () {
      let refusals = 3
      const box = yield* gmailBox({ messages: 20 }, {
        ...plenty,
        stand: (request, body) => {
          if (!request.url.includes("/batch/") || refusals-- <= 0) return undefined
          const parts = readGmailBatch(request.headers.get("content-type") ?? "", body)
          const answer = "status" in parts ? parts : runGmailBatch(parts, 1, 1, () => ({
            status: 429,
            headers: { "content-type": "application/json" },
            body: "",
          }))
          return new Response(answer.body, answer)
        },
      })
      const { millis } = yield* advancing(box.mailbox.page(all, null))
      // 1 + 2 + 4 seconds, and half as much again at most.
      assert.isTrue(millis >= 7_000 && millis < 12_000, `${millis} ms`)
    }))

  it.effect("spends no more units than it may, so that no request is refused", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 400 })
      const mirror = new Mirror()
      const { millis } = yield* advancing(mirror.round(box.mailbox), "1 second")
      assert.deepStrictEqual(box.simulator.violations().counts, {})
      assert.strictEqual(mirror.messages.size, 400)
      // 8,000 units: the first thousand at once, the others by five thousand a minute.
      assert.isTrue(millis > 80_000 && millis < 110_000, `${millis} ms`)
    }))

  it.effect("replaces a token that Gmail refuses, once", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 30 }, plenty)
      const mirror = yield* inStep(box)
      box.simulator.deliver(box.email, { count: 2 })
      assert.strictEqual(box.issued(), 1)
      box.simulator.withdrawAccessTokens(box.email)
      yield* advancing(Effect.sleep(10))
      yield* mirror.round(box.mailbox)
      assert.strictEqual(box.issued(), 2)
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
    }))

  it.effect("leaves out a message that is gone before it could be fetched", () =>
    Effect.gen(function* () {
      let doomed = ""
      const box = yield* gmailBox({ messages: 10 }, {
        ...plenty,
        stand: (request) => {
          if (request.url.includes("/batch/") && doomed !== "") {
            box.simulator.removeMessage(box.email, doomed)
            doomed = ""
          }
          return undefined
        },
      })
      const mirror = yield* inStep(box)
      box.simulator.deliver(box.email, { count: 2 })
      yield* box.mailbox.folders([])
      doomed = box.simulator.mailbox(box.email).messages[0]!.id
      const page = yield* box.mailbox.page(all, mirror.cursor)
      assert.strictEqual(page.changes.length, 1)
      mirror.apply(page)
      yield* mirror.round(box.mailbox)
      assert.deepStrictEqual(mirror.lines(), heldLines(box.simulator, box.email))
    }))

  it.effect("fetches one by one where there are no batches, and keeps a message that Gmail cannot show", () =>
    Effect.gen(function* () {
      let broken = "none"
      const box = yield* gmailBox({ messages: 12 }, {
        ...plenty,
        stand: (request) =>
          request.url.includes("/batch/")
            ? new Response("Not Found", { status: 404 })
            : request.url.includes(`/${broken}?format=full`)
            ? Response.json({ error: { code: 400, errors: [{ reason: "invalidArgument" }] } }, { status: 400 })
            : undefined,
      })
      broken = box.simulator.mailbox(box.email).messages[3]!.id
      const mirror = new Mirror()
      yield* mirror.round(box.mailbox)
      assert.strictEqual(mirror.messages.size, 12)
      const kept = mirror.messages.get(broken)!
      assert.deepStrictEqual([kept.bodyState, kept.subject], ["refused", undefined])
      assert.include(kept.bodyReason ?? "", "invalidArgument")
      assert.isNotNull(kept.receivedAt)
      assert.strictEqual(box.requests().filter((request) => request.startsWith("batch")).length, 1)
      assert.strictEqual((yield* box.mailbox.bodies!(all, [broken])).get(broken)?.bodyState, "refused")
    }))

  it.effect("brings headers only where bodies are not wanted, and bodies when they are asked for", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 20 }, { ...plenty, account: { bodiesSince: null } })
      const mirror = yield* inStep(box)
      for (const message of mirror.messages.values()) {
        assert.isUndefined(message.bodyState)
        assert.isUndefined(message.text)
        assert.isString(message.subject)
      }
      const ids = [...mirror.messages.keys()]
      const bodies = yield* box.mailbox.bodies!(all, [...ids, "19ffffffffffffff"])
      assert.deepStrictEqual([...bodies.keys()], ids)
      assert.isTrue([...bodies.values()].every(({ bodyState, text }) => bodyState === "complete" && text !== null))

      const since = DateTime.makeUnsafe(Date.UTC(2026, 9, 31, 12))
      const young = yield* gmailBox({ messages: 20 }, { ...plenty, account: { bodiesSince: since } })
      for (const { bodyState, receivedAt } of (yield* inStep(young)).messages.values()) {
        assert.strictEqual(bodyState, DateTime.isGreaterThanOrEqualTo(receivedAt!, since) ? "complete" : undefined)
      }
      const recent = yield* gmailBox({ messages: 20 }, { ...plenty, account: { since } })
      const some = new Mirror()
      yield* some.round(recent.mailbox)
      assert.isTrue(some.messages.size > 0 && some.messages.size < 8, `${some.messages.size} messages`)
    }))

  it.effect("streams attachments, whatever Gmail calls them this time", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 60, gmailUnits: 1_000_000 }, plenty)
      const mirror = yield* inStep(box)
      const files = [...mirror.messages].flatMap(([id, { attachments }]) =>
        (attachments ?? []).map((file) => ({ id, file }))
      )
      assert.isTrue(files.some(({ file }) => file.inline && file.contentId === "image001@sim"))
      const large = files.find(({ file }) => file.size === 300_001)!
      const small = files.find(({ file }) => file.size === 12)!
      assert.deepInclude(large.file, { name: "Bericht – Q3.txt", contentType: "text/plain", inline: false })
      for (const { file, id } of [large, small]) {
        const pieces = yield* Stream.runCollect(box.mailbox.attachment!(all, id, file.remoteId))
        assert.strictEqual(pieces.reduce((sum, piece) => sum + piece.length, 0), file.size)
        if (file === large.file) assert.isAbove(pieces.length, 1)
      }
      assert.strictEqual(yield* failure(Stream.runDrain(box.mailbox.attachment!(all, large.id, "7.7"))), "MessageGone")
      box.simulator.removeMessage(box.email, large.id)
      assert.strictEqual(
        yield* failure(Stream.runDrain(box.mailbox.attachment!(all, large.id, large.file.remoteId))),
        "MessageGone",
      )
      const labelled = yield* box.mailbox.ids!("INBOX")
      const inbox = box.simulator.mailbox(box.email).messages.filter(({ labels }) => labels?.includes("INBOX"))
      assert.deepStrictEqual(labelled.toSorted(), inbox.map(({ id }) => id).toSorted())
      assert.strictEqual(yield* failure(box.mailbox.ids!("Label_99")), "FolderGone")
    }))

  it.effect("tells what an administrator or the user must do", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 5 }, plenty)
      const cases = [
        [403, "domainPolicy", "blocked"],
        [400, "failedPrecondition", "blocked"],
        [403, "accessNotConfigured", "app"],
        [403, "forbidden", "unknown"],
      ] as const
      for (const [status, code, expected] of cases) {
        box.simulator.refuseMailbox(box.email, { status, code })
        assert.strictEqual(yield* failure(box.mailbox.page(all, null)), expected)
      }
      box.simulator.refuseMailbox(box.email, null)
      box.simulator.consent(box.email, ["https://www.googleapis.com/auth/gmail.labels"])
      box.simulator.withdrawAccessTokens(box.email)
      yield* advancing(Effect.sleep(10))
      assert.strictEqual(yield* failure(box.mailbox.page(all, null)), "scope")
    }))

  it.effect("has a mailbox watched, and reads what is pushed then", () =>
    Effect.gen(function* () {
      const box = yield* gmailBox({ messages: 5 }, plenty)
      const watched = yield* box.watch.watch(box.account, "projects/p/topics/t")
      assert.strictEqual(watched.historyId, (box.simulator.mailbox(box.email) as { historyId?: string }).historyId)
      assert.strictEqual(DateTime.toEpochMillis(watched.expiresAt), 7 * 86_400_000)
      box.simulator.deliver(box.email)
      const { historyId } = box.simulator.mailbox(box.email) as { historyId?: string }
      // In either form, of which one would not survive as a JavaScript number.
      for (let n = 0; n < 2; n++) {
        const notice = Option.getOrThrow(readPush(box.simulator.push(box.email)))
        assert.deepInclude(notice, { email: box.email, historyId, subscription: "projects/p/subscriptions/mailfleet" })
        assert.notStrictEqual(notice.messageId, "")
      }
      for (const odd of [null, {}, { message: { data: "bm90IGpzb24" } }, { message: { data: btoa("{}") } }]) {
        assert.isTrue(Option.isNone(readPush(odd)))
      }
      yield* box.watch.stop(box.account)
      assert.throws(() => box.simulator.push(box.email))
    }))
})
