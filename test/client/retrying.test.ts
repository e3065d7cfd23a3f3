import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { HttpClient, HttpClientError, HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { retrying } from "../../src/client/retrying.ts"

type Answer = number | "broken" | { readonly status: number; readonly after: string }

/** A server that gives these answers one after another, and counts how many it gave. */
const server = (answers: ReadonlyArray<Answer>) => {
  const asked = { times: 0 }
  const client = HttpClient.make((request) =>
    Effect.suspend(() => {
      const answer = answers[asked.times++] ?? 200
      if (answer === "broken") {
        return Effect.fail(
          new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request }) }),
        )
      }
      const { status, headers } = typeof answer === "number"
        ? { status: answer, headers: {} }
        : { status: answer.status, headers: { "retry-after": answer.after } }
      return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status, headers })))
    })
  )
  return { asked, client: retrying(3)(client) }
}

const get = HttpClientRequest.get("http://mailfleet.test/v1/accounts")
const post = HttpClientRequest.post("http://mailfleet.test/v1/refreshes")

const statusOf = Effect.fnUntraced(function* (
  client: HttpClient.HttpClient,
  request: HttpClientRequest.HttpClientRequest,
  wait: `${number} ${"millis" | "seconds"}`,
) {
  const fiber = yield* Effect.forkChild(Effect.result(client.execute(request)))
  yield* TestClock.adjust(wait)
  const result = yield* Fiber.join(fiber)
  return result._tag === "Success" ? result.success.status : result.failure.reason._tag
})

describe("retrying", () => {
  it.effect("asks again after what passes, more slowly each time, and then lets the answer stand", () =>
    Effect.gen(function* () {
      const passing = server([503, "broken", 502])
      assert.strictEqual(yield* statusOf(passing.client, get, "1400 millis"), 200)
      assert.strictEqual(passing.asked.times, 4)
      const lasting = server([503, 503, 503, 503, 503])
      assert.strictEqual(yield* statusOf(lasting.client, get, "1400 millis"), 503)
      assert.strictEqual(lasting.asked.times, 4)
      const unreachable = server(["broken", "broken", "broken", "broken"])
      assert.strictEqual(yield* statusOf(unreachable.client, get, "1400 millis"), "TransportError")
    }))

  it.effect("waits as long as Retry-After says, and not at all where that is long", () =>
    Effect.gen(function* () {
      const busy = server([{ status: 429, after: "7" }])
      const fiber = yield* Effect.forkChild(busy.client.execute(get))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual(busy.asked.times, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
      const closed = server([{ status: 503, after: "900" }])
      assert.strictEqual(yield* statusOf(closed.client, get, "1 seconds"), 503)
    }))

  it.effect("repeats a POST with an idempotency key only, and no body that can be read once only", () =>
    Effect.gen(function* () {
      const bare = server([503])
      assert.strictEqual(yield* statusOf(bare.client, post, "1 seconds"), 503)
      const keyed = server([503])
      const withKey = HttpClientRequest.setHeader(post, "idempotency-key", "k")
      assert.strictEqual(yield* statusOf(keyed.client, withKey, "1 seconds"), 200)
      const streamed = server([503])
      const withBody = HttpClientRequest.bodyStream(withKey, Stream.make(new Uint8Array()))
      assert.strictEqual(yield* statusOf(streamed.client, withBody, "1 seconds"), 503)
    }))

  it.effect("lets refusals stand", () =>
    Effect.gen(function* () {
      for (const status of [400, 401, 404, 409, 500]) {
        const { asked, client } = server([status])
        assert.strictEqual(yield* statusOf(client, get, "1 seconds"), status)
        assert.strictEqual(asked.times, 1)
      }
    }))
})
