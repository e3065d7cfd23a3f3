/** One message to one receiver over real sockets. */
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Redacted } from "effect"
import https from "node:https"
import type { AddressInfo } from "node:net"
import { WebhookAddress } from "../../../src/programs/webhooks/WebhookAddress.ts"
import { WebhookSender } from "../../../src/programs/webhooks/WebhookSender.ts"
import { certificate, privateKey } from "../../simulator/certificate.ts"
import { startReceiver, webhookSettings } from "../../support/webhooks.ts"

const secret = `whsec_${btoa("s".repeat(32))}`

/** Names of `.example` have no address outside: whoever would resolve them again, reached nothing. */
const toMyself = Layer.succeed(WebhookAddress, { resolve: () => Effect.succeed(["127.0.0.1"]) })
const settings = webhookSettings({ webhookTimeout: Duration.seconds(2) })

const send = (url: string) =>
  Effect.flatMap(WebhookSender, (sender) =>
    sender.send({ url, secrets: [Redacted.make(secret)] }, {
      id: "m1",
      body: JSON.stringify({ type: "t", timestamp: "now", data: { text: "Grüße 🎉" } }),
    }))

const sender = WebhookSender.layer.pipe(Layer.provide(toMyself), Layer.provide(settings))

layer(sender, { excludeTestServices: true })("WebhookSender", (it) => {
  it.effect("connects to the address that was checked, in the name of the URL", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      receiver.secrets.push(secret)
      const outcome = yield* send(`http://hooks.example:${receiver.port}/a?b=c`)
      assert.deepInclude({ ...outcome }, { delivered: true, status: 200, error: null })
      assert.deepStrictEqual(receiver.received[0]?.signedWith, [secret])
      assert.deepStrictEqual(receiver.received[0]?.data, { text: "Grüße 🎉" })
      assert.deepInclude(receiver.requests[0]!, { host: `hooks.example:${receiver.port}`, url: "/a?b=c" })
    }))

  it.effect("says what came of it, and never more than the status", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const expected = [
        [204, true, null],
        [301, false, "it answered 301: redirects are not followed"],
        [307, false, "it answered 307: redirects are not followed"],
        [404, false, "it answered 404"],
        [500, false, "it answered 500"],
        ["hang", false, "no answer within 2s"],
        ["reset", false, "it hung up without an answer"],
      ] as const
      for (const [answer, delivered, error] of expected) {
        receiver.answer = () =>
          typeof answer === "string"
            ? answer
            : { status: answer, headers: { location: receiver.url }, body: answer === 204 ? "" : "CANARY" }
        const before = receiver.received.length
        const outcome = yield* send(receiver.url)
        assert.deepStrictEqual([outcome.delivered, outcome.error], [delivered, error])
        // Where a connection that was kept breaks, the runtime tries the next one by itself.
        if (answer !== "reset") assert.strictEqual(receiver.received.length - before, 1)
      }
    }))

  it.effect("tells how long the receiver wants to be left alone, and that it is gone", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      const asked = (status: number, retryAfter: string) =>
        Effect.suspend(() => {
          receiver.answer = () => ({ status, headers: { "retry-after": retryAfter } })
          return Effect.map(send(receiver.url), ({ retryAfter }) => Option.map(retryAfter, Duration.toSeconds))
        })
      assert.deepStrictEqual(yield* asked(429, "7"), Option.some(7))
      assert.deepStrictEqual(yield* asked(503, "1.5"), Option.some(1.5))
      assert.deepStrictEqual(yield* asked(503, "999999999"), Option.some(86_400))
      assert.deepStrictEqual(yield* asked(503, "soon"), Option.none())
      assert.deepStrictEqual(yield* asked(500, "7"), Option.none())
      const inAMinute = yield* asked(429, new Date(Date.now() + 60_000).toUTCString())
      assert.isTrue(Option.isSome(inAMinute) && inAMinute.value > 50 && inAMinute.value <= 60)
      receiver.answer = () => 410
      assert.isTrue((yield* send(receiver.url)).gone)
    }))

  it.effect("does not read on where the answer has no end", () =>
    Effect.gen(function* () {
      const receiver = yield* startReceiver
      receiver.answer = () => "endless"
      assert.isTrue((yield* send(receiver.url)).delivered)
      yield* receiver.quiet
    }))

  it.effect("checks the certificate of the URL's name, which it asks for", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      const port = yield* Effect.acquireRelease(
        Effect.promise(() =>
          new Promise<https.Server>((resolve) => {
            const server = https.createServer({
              cert: certificate,
              key: privateKey,
              SNICallback: (name, done) => {
                names.push(name)
                done(null)
              },
            }, (_request, response) => response.end())
            server.listen(0, "127.0.0.1", () => resolve(server))
          })
        ),
        (server) => Effect.sync(() => server.close()),
      ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
      const outcome = yield* send(`https://hooks.example:${port}/`)
      assert.isFalse(outcome.delivered)
      assert.match(outcome.error ?? "", /certificate/)
      assert.deepStrictEqual(names, ["hooks.example"])
    }))
})
