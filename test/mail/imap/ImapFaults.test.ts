import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Stream } from "effect"
import { ImapIdle } from "../../../src/mail/imap/ImapIdle.ts"
import { Dovecot, letter, within, writerOf } from "../../support/dovecot.ts"
import { type ImapProxy, imapProxy, outlookLacks } from "../../support/imapProxy.ts"
import { heldBy, newUser, openMailbox } from "./imapWorld.ts"

const count = 450

/** An inbox of `count` letters behind a proxy, with a short patience. */
const behindProxy = Effect.fnUntraced(function* (options: { readonly hidden?: RegExp } = {}) {
  const { port, seed } = yield* Dovecot
  const proxy: ImapProxy = yield* imapProxy(port, options)
  const email = newUser()
  yield* Effect.promise(() =>
    seed(email, "INBOX", Array.from({ length: count }, () => letter({ text: "word ".repeat(400) })))
  )
  const open = yield* openMailbox({ url: proxy.url, email, imap: { socketTimeout: 1_500, maxIdle: 60_000 } })
  return { ...open, proxy, email }
})

layer(Dovecot.layer, { timeout: "60 seconds", excludeTestServices: true })("A connection to an IMAP server", (it) => {
  for (const kind of ["fin", "rst"] as const) {
    it.effect(
      `that ends in the middle of an answer (${kind}) is replaced, and nothing is lost`,
      () =>
        Effect.gen(function* () {
          const { email, mailbox, proxy, replica } = yield* behindProxy()
          yield* replica.list(mailbox)
          proxy.breakOff(kind, 20_000)
          while (!(yield* replica.step(mailbox, "INBOX"))) {
            // In the listing, and in the bodies.
            proxy.breakOff(kind, 30_000)
          }
          proxy.fault = undefined
          const ids = [...replica.folders.get("INBOX")!.messages.keys()]
          assert.strictEqual(ids.length, count)
          proxy.breakOff(kind, 200_000)
          const bodies = yield* mailbox.bodies!("INBOX", ids)
          assert.strictEqual(bodies.size, count)
          assert.deepStrictEqual(replica.held, yield* heldBy(yield* writerOf(email)))
        }).pipe(Effect.scoped),
      60_000,
    )
  }

  it.effect("that ends again and again fails for the time being", () =>
    Effect.gen(function* () {
      const { mailbox, proxy, replica } = yield* behindProxy()
      yield* replica.list(mailbox)
      yield* replica.step(mailbox, "INBOX")
      const cursor = replica.folders.get("INBOX")!.cursor
      // The second one as soon as it is there.
      proxy.answer = (command) => {
        if (command.startsWith("UID FETCH")) proxy.cut()
        return undefined
      }
      const error = yield* Effect.flip(replica.step(mailbox, "INBOX"))
      assert.deepInclude(error, { class: "transient" })
      assert.strictEqual(replica.folders.get("INBOX")!.cursor, cursor)
      proxy.answer = () => undefined
      while (!(yield* replica.step(mailbox, "INBOX"))) { /* the next page */ }
      assert.strictEqual(replica.held.length, count)
    }).pipe(Effect.scoped), 30_000)

  it.effect(
    "on which nothing comes any more is given up, and the next round goes on where it was",
    () =>
      Effect.gen(function* () {
        const { mailbox, proxy, replica } = yield* behindProxy()
        yield* replica.list(mailbox)
        yield* replica.step(mailbox, "INBOX")
        proxy.breakOff("stall", 20_000)
        const began = performance.now()
        const error = yield* Effect.flip(replica.step(mailbox, "INBOX"))
        assert.deepInclude(error, { class: "transient" })
        assert.isBelow(performance.now() - began, 10_000)
        while (!(yield* replica.step(mailbox, "INBOX"))) { /* the next page */ }
        assert.strictEqual(replica.held.length, count)
      }).pipe(Effect.scoped),
    30_000,
  )

  it.effect("can be given up in the middle of an answer", () =>
    Effect.gen(function* () {
      const { mailbox, proxy, replica } = yield* behindProxy()
      yield* replica.list(mailbox)
      proxy.breakOff("stall", 20_000)
      const round = yield* Effect.forkChild(replica.step(mailbox, "INBOX"))
      while (proxy.fault !== undefined) yield* Effect.sleep("20 millis")
      const began = performance.now()
      yield* Fiber.interrupt(round)
      assert.isBelow(performance.now() - began, 1_000)
      while (!(yield* replica.step(mailbox, "INBOX"))) { /* the next page */ }
      assert.strictEqual(replica.held.length, count)
    }).pipe(Effect.scoped), 30_000)

  it.effect("serves mail that arrives during a first listing before all that is older", () =>
    Effect.gen(function* () {
      const { email, mailbox, replica } = yield* behindProxy()
      const writer = yield* writerOf(email)
      yield* replica.list(mailbox)
      yield* replica.step(mailbox, "INBOX")
      yield* Effect.promise(() => writer.append("INBOX", letter({ id: "fresh@example.org" })))
      yield* within(writer, "INBOX", async () => {
        await writer.messageFlagsAdd(`${count}`, ["\\Flagged"])
        await writer.messageDelete(`${count - 1},3`)
      })
      const page = yield* mailbox.page("INBOX", replica.folders.get("INBOX")!.cursor)
      assert.deepInclude(page.changes[0], { twinKey: "<fresh@example.org>" })
      // As after a crash: the same cursor, in a process that remembers nothing.
      const again = yield* openMailbox({ email, replica })
      yield* replica.round(again.mailbox)
      assert.deepStrictEqual(replica.held, yield* heldBy(writer))
    }).pipe(Effect.scoped), 30_000)

  it.effect("brings a thousand changed flags and more in pages that may be interrupted", () =>
    Effect.gen(function* () {
      const { seed } = yield* Dovecot
      const email = newUser()
      yield* Effect.promise(() => seed(email, "INBOX", Array.from({ length: 2_300 }, () => letter())))
      const { mailbox, replica } = yield* openMailbox({ email })
      yield* replica.round(mailbox)
      const writer = yield* writerOf(email)
      yield* within(writer, "INBOX", async () => {
        await writer.messageFlagsAdd("1:2300", ["\\Seen"])
        await writer.messageDelete("7,1500")
      })
      const first = replica.pages
      assert.isFalse(yield* replica.step(mailbox, "INBOX"))
      const again = yield* openMailbox({ email, replica })
      yield* replica.list(again.mailbox)
      while (!(yield* replica.step(again.mailbox, "INBOX"))) { /* the next page */ }
      assert.isAtLeast(replica.pages - first, 3)
      assert.deepStrictEqual(replica.held, yield* heldBy(writer))
    }).pipe(Effect.scoped), 60_000)

  for (const hidden of [undefined, /^IDLE$/]) {
    it.effect(
      `tells of news, with a fresh token after each loss${hidden === undefined ? "" : ", where it must be asked"}`,
      () =>
        Effect.gen(function* () {
          const { context, account, email, issued, proxy } = yield* behindProxy(hidden === undefined ? {} : { hidden })
          const writer = yield* writerOf(email)
          let news = 0
          const watch = hidden === undefined ? Context.get(context, ImapIdle).watch(account) : Context.get(
            (yield* openMailbox({ url: proxy.url, email, imap: { maxIdle: 300 } })).context,
            ImapIdle,
          ).watch(account)
          yield* watch.pipe(Stream.runForEach(() => Effect.sync(() => news++)), Effect.forkScoped)
          const until = (n: number) =>
            Effect.gen(function* () {
              while (news < n) yield* Effect.sleep("20 millis")
            }).pipe(Effect.timeout("10 seconds"))
          yield* until(1)
          yield* Effect.promise(() => writer.append("INBOX", letter()))
          yield* until(2)
          issued.revoke()
          const seen = news
          proxy.cut()
          yield* until(seen + 1)
          assert.isFalse(proxy.commands.some((command) => command.startsWith("SELECT")))
          assert.strictEqual(proxy.commands.includes("IDLE"), hidden === undefined)
        }).pipe(Effect.scoped),
      30_000,
    )
  }

  it.effect(
    "compares the flags of all messages by turns where the server keeps no count of changes",
    () =>
      Effect.gen(function* () {
        const { port, seed } = yield* Dovecot
        const proxy = yield* imapProxy(port, { hidden: outlookLacks })
        const email = newUser()
        yield* Effect.promise(() => seed(email, "INBOX", Array.from({ length: 1_700 }, () => letter())))
        const { mailbox, replica } = yield* openMailbox({ url: proxy.url, email })
        yield* replica.round(mailbox)
        const writer = yield* writerOf(email)
        yield* within(writer, "INBOX", () => writer.messageFlagsAdd("1,600,1100,1650", ["\\Seen"]))
        yield* replica.round(mailbox)
        const newest = [...replica.folders.get("INBOX")!.messages].filter(([, { isRead }]) => isRead)
        assert.isAtLeast(newest.length, 1)
        for (let round = 0; round < 3; round++) yield* replica.round(mailbox)
        assert.deepStrictEqual(replica.held, yield* heldBy(writer))
      }).pipe(Effect.scoped),
    60_000,
  )
})
