import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Redacted } from "effect"
import { TestClock } from "effect/testing"
import {
  aadsts,
  type Endpoint,
  googleApp,
  json,
  makeEndpoint,
  publicApp,
  refreshToken,
  refused,
  secret,
} from "./endpoint.ts"

/** A body whose first bytes come at once, and the rest never. */
const stalled = (start: string) =>
  new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new TextEncoder().encode(start)) })

/** The failure of a redemption whose time runs out once the endpoint has its request. */
const timedOut = (endpoint: Endpoint, answer: () => Response | Promise<Response>, uninterruptible = false) =>
  Effect.gen(function* () {
    const arrived = yield* Deferred.make<void>()
    endpoint.answer = () => {
      Deferred.doneUnsafe(arrived, Effect.void)
      return answer()
    }
    const redeem = uninterruptible ? Effect.uninterruptible(endpoint.redeem()) : endpoint.redeem()
    const fiber = yield* Effect.forkChild(Effect.flip(redeem))
    yield* Deferred.await(arrived)
    yield* TestClock.adjust("7999 millis")
    assert.isUndefined(fiber.pollUnsafe())
    yield* TestClock.adjust("1 millis")
    return yield* Fiber.join(fiber)
  })

/** A server that reads a request and then does what `then` says. */
const raw = (then: (connection: Deno.TcpConn) => Promise<unknown>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, transport: "tcp" })
        const serving = (async () => {
          for await (const connection of listener) {
            await connection.read(new Uint8Array(65_536))
            await then(connection)
            connection.close()
          }
        })()
        return { listener, serving }
      }),
      ({ listener, serving }) =>
        Effect.promise(() => {
          listener.close()
          return serving
        }),
    ),
    ({ listener }) => `http://127.0.0.1:${listener.addr.port}`,
  )

describe("TokenEndpoint", () => {
  it.effect("gives up after 8 seconds without an answer, also where nothing else interrupts", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      for (const uninterruptible of [false, true]) {
        const failure = yield* timedOut(endpoint, () => new Promise(() => {}), uninterruptible)
        assert.strictEqual(failure.error.class, "transient")
        assert.include(failure.error.message, "unknown")
      }
    }))

  it.effect("counts the body into the 8 seconds", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const start = `{"error":"invalid_grant","error_codes":[700082]`
      const success = yield* timedOut(endpoint, () => new Response(stalled(`{"access_token":"AT"`)))
      assert.strictEqual(success.error.class, "transient")
      assert.include(success.error.message, "unknown")
      const dead = yield* timedOut(endpoint, () => new Response(stalled(start), { status: 400 }))
      assert.strictEqual(dead.error.class, "transient")
    }))

  it.effect("takes a connection that breaks, or never comes about, for a passing fault", () =>
    Effect.gen(function* () {
      const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
      const write = (text: string) => (connection: Deno.TcpConn) => connection.write(new TextEncoder().encode(text))
      for (
        const then of [
          () => Promise.resolve(),
          write("HTTP/1.1 200"),
          write("nonsense\r\n\r\n"),
          write(`${head}content-length: 500\r\n\r\n{"access_token":"AT"}`),
          write(`${head}transfer-encoding: chunked\r\n\r\n15\r\n{"access_token":"AT"}\r\n`),
        ]
      ) {
        const endpoint = yield* makeEndpoint(yield* raw(then))
        const failure = yield* Effect.flip(endpoint.redeem({ app: { ...publicApp, secret: Redacted.make(secret) } }))
        assert.strictEqual(failure.error.class, "transient")
        for (const text of [...endpoint.told, JSON.stringify(failure), Deno.inspect(failure, { depth: 20 })]) {
          for (const word of [refreshToken, secret, encodeURIComponent(refreshToken)]) assert.notInclude(text, word)
        }
      }
      const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 })
      const { port } = closed.addr
      closed.close()
      const { error } = yield* Effect.flip((yield* makeEndpoint(`http://127.0.0.1:${port}`)).redeem())
      assert.strictEqual(error.class, "transient")
    }))

  it.effect("believes a 429 even where its body breaks off", () =>
    Effect.gen(function* () {
      const answer = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\ncontent-length: 500\r\n\r\nToo"
      const url = yield* raw((connection) => connection.write(new TextEncoder().encode(answer)))
      const { error, reach } = yield* Effect.flip((yield* makeEndpoint(url)).redeem())
      assert.deepStrictEqual([error.class, error.retryAfterMillis, reach], ["throttled", 2_000, "app"])
    }))

  it.effect("follows no redirect: the token would go along", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const elsewhere = yield* makeEndpoint()
      for (const status of [301, 302, 303, 307, 308]) {
        const headers = { location: `${elsewhere.url}/common/oauth2/v2.0/token` }
        const { error } = yield* refused(endpoint, () => new Response(null, { status, headers }))
        assert.strictEqual(error.class, "transient")
        assert.include(error.message, "MAILFLEET_MICROSOFT_AUTHORITY")
      }
      assert.strictEqual(endpoint.received.length, 5)
      assert.strictEqual(elsewhere.received.length, 0)
    }))

  it.effect("reads bodies of up to 1 MiB, announced or not", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const body = (length: number) => {
        const start = `{"access_token":"AT","more":"`
        return `${start}${"é".repeat((length - start.length - 2) / 2)}"}`
      }
      const bytes = (text: string) => new TextEncoder().encode(text)
      const limit = 1024 * 1024
      for (const announced of [true, false]) {
        const respond = (text: string) =>
          announced ? new Response(text) : new Response(new Blob([bytes(text)]).stream())
        assert.isAtMost(bytes(body(limit)).length, limit)
        endpoint.answer = () => respond(body(limit))
        yield* endpoint.redeem()
        const { error } = yield* refused(endpoint, () => respond(body(limit + 4)))
        assert.strictEqual(error.class, "transient")
      }
      // The connections are still good.
      endpoint.answer = () => json({ access_token: "AT" })
      yield* endpoint.redeem()
    }))

  it.effect("keeps a rotated token that came without a usable access token, and believes none of a refusal", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const successor = (failure: { readonly refreshToken?: Redacted.Redacted }) =>
        failure.refreshToken && Redacted.value(failure.refreshToken)
      for (const app of [publicApp, googleApp]) {
        for (const access_token of [undefined, "", "A\nT"]) {
          const failure = yield* refused(endpoint, () => json({ access_token, refresh_token: "RT2" }), { app })
          assert.strictEqual(failure.error.class, "transient")
          assert.strictEqual(successor(failure), "RT2")
        }
        const answers = [json({ refresh_token: " " }), json({ ...aadsts([700082]), refresh_token: "RT2" }, 400)]
        for (const answer of answers) {
          assert.isUndefined(successor(yield* refused(endpoint, () => answer, { app })))
        }
      }
      for (const told of endpoint.told) assert.notInclude(told, "RT2")
    }))

  it.effect("reads compressed answers, and not more of them than of others", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const gzip = (text: string) =>
        new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip")), {
          headers: { "content-encoding": "gzip" },
        })
      endpoint.answer = () => gzip(JSON.stringify({ access_token: "AT" }))
      yield* endpoint.redeem()
      const { error } = yield* refused(endpoint, () => gzip(`{"access_token":"AT"${" ".repeat(2_000_000)}}`))
      assert.strictEqual(error.class, "transient")
    }))

  it.effect("can be interrupted, and goes on to serve others", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const arrived = yield* Deferred.make<void>()
      endpoint.answer = () => {
        Deferred.doneUnsafe(arrived, Effect.void)
        return new Promise(() => {})
      }
      const fiber = yield* Effect.forkChild(endpoint.redeem())
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(fiber)
      const { error } = yield* refused(endpoint, () => json(aadsts([700082]), 400))
      assert.strictEqual(error.class, "needs_user")
    }))
})
