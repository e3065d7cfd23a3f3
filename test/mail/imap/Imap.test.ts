import { assert, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Dovecot, hasDovecot, letter, within, writerOf } from "../../support/dovecot.ts"
import { gmailLacks, imapProxy, outlookLacks } from "../../support/imapProxy.ts"
import { heldBy, newUser, openMailbox } from "./imapWorld.ts"

const profiles = [
  { name: "everything Dovecot has", hidden: undefined },
  { name: "no more than Gmail has", hidden: gmailLacks },
  { name: "no more than Outlook has", hidden: outlookLacks },
]

it("has a Dovecot to be tested with", () => assert.isTrue(hasDovecot, "apt-get install dovecot-imapd"))

layer(Dovecot.layer, { timeout: "60 seconds", excludeTestServices: true })("IMAP", (it) => {
  for (const { hidden, name } of profiles) {
    it.effect(`follows a mailbox on a server with ${name}`, () =>
      Effect.gen(function* () {
        const { port, seed } = yield* Dovecot
        const proxy = yield* imapProxy(port, hidden === undefined ? {} : { hidden })
        const email = newUser()
        const writer = yield* writerOf(email)
        const { mailbox, replica } = yield* openMailbox({ url: proxy.url, email })
        const inStep = Effect.gen(function* () {
          yield* replica.round(mailbox)
          assert.deepStrictEqual(replica.held, yield* heldBy(writer))
        })
        yield* Effect.promise(async () => {
          await seed(email, "INBOX", Array.from({ length: 450 }, () => letter()))
          await writer.mailboxCreate("Projects/Älpha/Entwürfe & mehr")
          await writer.append("Projects/Älpha/Entwürfe & mehr", letter(), ["\\Draft", "urgent"])
        })
        yield* inStep
        assert.strictEqual(replica.lost, 0)

        // New ones, flags on old and new, a keyword, a move, deletions.
        yield* within(writer, "INBOX", async () => {
          await writer.messageFlagsAdd("1:20,449", ["\\Flagged"])
          await writer.messageFlagsRemove("1,4", ["\\Seen"])
          await writer.messageFlagsAdd("440", ["later"])
          await writer.messageMove("100:110", "Trash")
          await writer.messageDelete("5,200:210,430")
        })
        yield* Effect.promise(() => writer.append("INBOX", letter(), ["\\Flagged"]))
        yield* inStep

        // As many come as go.
        yield* within(writer, "INBOX", () => writer.messageDelete("1"))
        yield* Effect.promise(() => writer.append("INBOX", letter()))
        yield* inStep

        // Nothing.
        const before = proxy.commands.length
        yield* inStep
        const commands = proxy.commands.slice(before)
        if (hidden !== outlookLacks) {
          assert.isFalse(commands.some((command) => /EXAMINE|FETCH|SEARCH/.test(command)), commands.join("\n"))
          assert.isAtMost(commands.length, 2, commands.join("\n"))
        }
        assert.isFalse(proxy.commands.some((command) => /^(?:UID )?(?:SELECT|STORE|MOVE|EXPUNGE)/.test(command)))
        assert.isTrue(proxy.commands.some((c) =>
          c.startsWith(hidden === outlookLacks ? "AUTHENTICATE XOAUTH2" : "AUTHENTICATE OAUTHBEARER")
        ))
      }), 60_000)
  }
})
