/** Webhooks end to end: a provider, a real process, and a receiver that is told what happens to mail and accounts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { WebhookWithSecret } from "../../src/api/Webhooks.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import { ended, eventually, found, install, serveSimulator, startOverAll, upload } from "../support/processes.ts"
import { startReceiver, takenBy } from "../support/webhooks.ts"

const email = "sim00001@sim.example"

const engines = await usableEngines

describe("webhooks", () => {
  for (const engine of engines) {
    it.live(`tell what happens to mail, accounts and runs (${engine})`, () =>
      Effect.gen(function* () {
        const simulator = yield* make({ accounts: 1, messages: 10 })
        const receiver = yield* startReceiver
        const installation = yield* install(engine, yield* serveSimulator(simulator), {
          MAILFLEET_WEBHOOK_ALLOW_PRIVATE: "on",
          MAILFLEET_SYNC_EVERY: "1 second",
          MAILFLEET_SYNC_SPACING: "0 seconds",
        })
        const service = yield* installation.start()
        const { secret } = yield* service.call(WebhookWithSecret, "/v1/webhooks", {
          method: "POST",
          status: 201,
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ url: receiver.url }),
        })
        receiver.secrets.push(Redacted.value(secret))
        const told = (type: string) =>
          Effect.map(
            eventually(
              `${type} is told`,
              Effect.sync(() => takenBy(receiver).filter((message) => message.type === type)),
              (messages) => messages.length > 0,
            ),
            (messages) => {
              assert.lengthOf(messages, 1, type)
              return found(messages[0]).data
            },
          )

        const run = yield* upload(service, [...simulator.importLines({ format: "csv" })].join(""))
        assert.deepInclude((yield* told("run.finished")).run, { id: run.id, state: "completed", succeeded: 1 })
        yield* ended(service, (yield* startOverAll(service, "sync")).id)

        simulator.deliver(email, { subject: "new" })
        const created = yield* told("message.created")
        assert.deepInclude(created, { email, origin: "live" })
        const message = yield* service.send(`/v1/messages/${created.messageId}`)
        assert.strictEqual(JSON.parse(message.text).subject, "new")

        const remote = found(simulator.mailbox(email).messages.find(({ subject }) => subject === "new"))
        simulator.editMessage(email, remote.id, { isRead: !remote.isRead })
        assert.deepStrictEqual((yield* told("message.updated")).fields, ["isRead"])
        simulator.moveMessage(email, remote.id, "archive")
        assert.strictEqual((yield* told("message.moved")).messageId, created.messageId)
        simulator.removeMessage(email, remote.id)
        assert.strictEqual((yield* told("message.deleted")).messageId, created.messageId)

        simulator.lock(email)
        yield* ended(service, (yield* startOverAll(service, "refresh")).id)
        assert.include((yield* told("account.blocked")).message, "is blocked")
        simulator.unlock(email)
        yield* ended(service, (yield* startOverAll(service, "refresh")).id)
        assert.include((yield* told("account.recovered")).message, "is signed in again")
        simulator.revoke(email)
        yield* ended(service, (yield* startOverAll(service, "refresh")).id)
        const dead = yield* told("account.needs_reauth")
        assert.deepInclude(dead, { email, accountId: created.accountId, subject: created.accountId })
        assert.include(dead.message, "must be signed in again")
        assert.match(dead.reconnectUrl, /\/reconnect\//)

        const mail = takenBy(receiver).filter(({ data }) => data.accountId === created.accountId)
        assert.deepStrictEqual(mail.map(({ type }) => type), [
          "message.created",
          "message.updated",
          "message.moved",
          "message.deleted",
          "account.blocked",
          "account.recovered",
          "account.needs_reauth",
        ])
        for (const { signedWith } of receiver.received) assert.deepStrictEqual(signedWith, receiver.secrets)
        assert.strictEqual(yield* service.stop, 0)
      }), { concurrent: true, timeout: 180_000 })
  }
})
