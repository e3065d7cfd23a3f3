/** Gmail's push, as a topic of Pub/Sub would bring it: a real process, and a watch that it keeps. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { make } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import { ended, eventually, found, install, serveSimulator, upload } from "../support/processes.ts"
import { addressOf } from "../support/remoteSimulated.ts"

const topic = "projects/fleet/topics/mail"

const Messages = Schema.Struct({ items: Schema.Array(Schema.Struct({ subject: Schema.String })) })

const Watched = Schema.Struct({ watch: Schema.Struct({ topicName: Schema.String, expiresAt: Schema.Number }) })

const headers = { "content-type": "application/json" }

const [engine] = await usableEngines

describe("push of Gmail", () => {
  it.live("is asked for, prolonged, and brings mail at once", () =>
    Effect.gen(function* () {
      const simulator = yield* make({ accounts: 1, googleAccounts: 1, messages: 20 })
      const origin = yield* serveSimulator(simulator)
      const email = addressOf(1, "gmail")
      const { clientId, clientSecret, provider } = simulator.account(email)
      const installation = yield* install(engine!, origin, {
        MAILFLEET_GOOGLE_TOKEN_URL: `${origin}/google/token`,
        MAILFLEET_GMAIL_URL: `${origin}/gmail/v1`,
        MAILFLEET_GMAIL_TOPIC: topic,
        MAILFLEET_GMAIL_PUSH_TOKEN: "pub-sub",
        MAILFLEET_SYNC_EVERY: "1 day",
        MAILFLEET_SYNC_SPACING: "0 seconds",
      })
      const service = yield* installation.start()
      yield* service.call(Schema.Unknown, "/v1/apps", {
        method: "POST",
        status: 201,
        headers,
        body: JSON.stringify({ provider, clientId, secret: clientSecret }),
      })
      const run = yield* upload(service, [...simulator.importLines({ format: "csv" })].join(""))
      assert.deepInclude(yield* ended(service, run.id), { state: "completed", succeeded: 1 })

      const watch = Effect.sync(() => {
        const state = Schema.decodeUnknownOption(Watched)(simulator.mailbox(email))
        return state._tag === "Some" ? state.value.watch : undefined
      })
      const first = found(yield* eventually("the mailbox is watched", watch, (it) => it !== undefined))
      assert.strictEqual(first.topicName, topic)
      yield* eventually(
        "it is known to be",
        service.send("/metrics"),
        ({ text }) => /^mailfleet_subscriptions\{state="active"\} 1$/m.test(text),
      )

      const push = (token: string) =>
        service.send(`/v1/notifications/gmail?token=${token}`, {
          method: "POST",
          headers: { ...headers, authorization: "" },
          body: JSON.stringify(simulator.push(email)),
        })
      simulator.deliver(email, { subject: "pushed" })
      assert.strictEqual((yield* push("guessed")).status, 401)
      assert.strictEqual((yield* push("pub-sub")).status, 202)
      yield* eventually(
        "it arrives",
        service.call(Messages, "/v1/messages?q=pushed"),
        ({ items }) => items.length > 0,
      )

      // A day later it is asked for again, by whichever process is there then.
      yield* service.kill
      yield* installation.query((sql, table) => Effect.orDie(sql`update ${table("subscriptions")} set due_at = now()`))
      yield* installation.start()
      yield* eventually("it is prolonged", watch, (it) => it !== undefined && it.expiresAt > first.expiresAt)
      assert.deepStrictEqual(simulator.counters().violations, {})
    }), 180_000)
})
