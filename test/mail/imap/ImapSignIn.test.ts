import { assert, layer } from "@effect/vitest"
import { Context, Effect } from "effect"
import { mailboxKey, Throttle } from "../../../src/pacing/Throttle.ts"
import { Dovecot } from "../../support/dovecot.ts"
import { imapProxy } from "../../support/imapProxy.ts"
import { openMailbox } from "./imapWorld.ts"

layer(Dovecot.layer, { timeout: "60 seconds", excludeTestServices: true })("Signing in to IMAP", (it) => {
  it.effect("speaks TLS from the start, or after STARTTLS", () =>
    Effect.gen(function* () {
      const { port, tlsPort } = yield* Dovecot
      for (const url of [`imaps://localhost:${tlsPort}`, `imap://localhost:${port}`]) {
        const { mailbox } = yield* openMailbox({ url })
        assert.include((yield* mailbox.folders([])).map(({ remoteId }) => remoteId), "INBOX")
      }
    }).pipe(Effect.scoped))

  for (const [name, hidden] of [["OAUTHBEARER", undefined], ["XOAUTH2", /^AUTH=OAUTHBEARER$/]] as const) {
    it.effect(`replaces a token that is refused, once, and signs in by ${name}`, () =>
      Effect.gen(function* () {
        const { introspection, port } = yield* Dovecot
        const proxy = yield* imapProxy(port, hidden === undefined ? {} : { hidden })
        const { issued, mailbox } = yield* openMailbox({ url: proxy.url })
        introspection.valid.delete(issued.current)
        yield* mailbox.folders([])
        assert.strictEqual(issued.refreshed, 1)
        const methods = proxy.commands.filter((command) => command.startsWith("AUTHENTICATE"))
        assert.deepStrictEqual(methods.map((command) => command.split(" ")[1]), [name, name])
        // The challenge that tells why is answered: by an empty line, or by 0x01 (RFC 7628 section 3.2.3).
        assert.include(proxy.commands, hidden === undefined ? "AQ==" : "")
      }).pipe(Effect.scoped))
  }

  it.effect("does not call a grant dead whose fresh token is refused", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      proxy.answer = (command) => command.startsWith("AUTHENTICATE") ? "TAG NO AUTHENTICATE failed." : undefined
      const { issued, mailbox } = yield* openMailbox({ url: proxy.url })
      const error = yield* Effect.flip(mailbox.folders([]))
      assert.deepStrictEqual([error.class, error.retryable, issued.refreshed], ["unknown", true, 1])
      assert.notInclude(error.message, issued.current)
    }).pipe(Effect.scoped))

  it.effect("takes a server that cannot check tokens for a passing fault", () =>
    Effect.gen(function* () {
      const { introspection } = yield* Dovecot
      const { issued, mailbox } = yield* openMailbox()
      introspection.fault = 500
      const error = yield* Effect.flip(mailbox.folders([])).pipe(
        Effect.ensuring(Effect.sync(() => introspection.fault = undefined)),
      )
      assert.deepStrictEqual([error.class, error.providerCode, issued.refreshed], ["transient", "UNAVAILABLE", 0])
      yield* mailbox.folders([])
    }).pipe(Effect.scoped))

  it.effect("does not take 'authenticated but not connected' for a refused token", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      proxy.answer = (command) =>
        command.startsWith("NAMESPACE") ? "TAG BAD User is authenticated but not connected." : undefined
      const { issued, mailbox } = yield* openMailbox({ url: proxy.url })
      const error = yield* Effect.flip(mailbox.folders([]))
      assert.deepStrictEqual([error.class, issued.refreshed], ["unknown", 0])
      assert.include(error.message, "IMAP may be off")
    }).pipe(Effect.scoped))

  it.effect("pauses a mailbox for as long as Exchange says, and sends nothing meanwhile", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      proxy.answer = (command) =>
        command.startsWith("LIST")
          ? "TAG BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"
          : undefined
      const { account, context, mailbox } = yield* openMailbox({ url: proxy.url })
      const began = performance.now()
      const error = yield* Effect.flip(mailbox.folders([]))
      assert.deepStrictEqual([error.class, error.retryAfterMillis], ["throttled", 92_415])
      assert.isBelow(performance.now() - began, 20_000)
      const left = yield* Context.get(context, Throttle).remaining(mailboxKey(account.clientId, account.id))
      assert.isAbove(left, 60_000)
      const before = proxy.commands.length
      const again = yield* Effect.flip(mailbox.page("INBOX", null))
      assert.deepStrictEqual(["class" in again && again.class, "notSent" in again && again.notSent], [
        "throttled",
        true,
      ])
      assert.strictEqual(proxy.commands.length, before)
    }).pipe(Effect.scoped))

  it.effect("waits when a mailbox has too many connections", () =>
    Effect.gen(function* () {
      const { port } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      let refused = 0
      proxy.answer = (command) =>
        command.startsWith("AUTHENTICATE") && refused++ === 0
          ? "TAG NO [ALERT] Too many simultaneous connections. (Failure)"
          : undefined
      const { issued, mailbox } = yield* openMailbox({ url: proxy.url, provider: "google" })
      yield* mailbox.folders([])
      assert.deepStrictEqual([refused, issued.refreshed], [2, 0])
    }).pipe(Effect.scoped))

  it.effect("goes on with a fresh token where a connection ends after its own has ended", () =>
    Effect.gen(function* () {
      const { port, seed } = yield* Dovecot
      const proxy = yield* imapProxy(port)
      const { email, issued, mailbox, replica } = yield* openMailbox({ url: proxy.url })
      yield* Effect.promise(() =>
        seed(email, "INBOX", Array.from({ length: 250 }, (_, n) => `Message-ID: <${n}@x>\r\n\r\nx`))
      )
      yield* replica.list(mailbox)
      assert.isFalse(yield* replica.step(mailbox, "INBOX"))
      issued.revoke()
      proxy.cut()
      while (!(yield* replica.step(mailbox, "INBOX"))) { /* the next page */ }
      assert.strictEqual(issued.refreshed, 1)
      assert.strictEqual(replica.held.length, 250)
    }).pipe(Effect.scoped))
})
