import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { FaultKind } from "../../src/simulator/Simulator.ts"
import { email, failure, mailScope, type Provider, provider, tokens } from "./provider.ts"

const one = email(1)

const meets = ({ redeem, simulator }: Provider, fault: FaultKind) =>
  Effect.promise(() => {
    simulator.script({ endpoint: "token", email: one, answers: [{ fault }] })
    return redeem(one)
  })

describe("a token endpoint that misbehaves", () => {
  it.live("answers with pages and texts that are no token answers, and does nothing", () =>
    Effect.gen(function* () {
      const microsoft = yield* provider({ accounts: 2 })
      const portal = yield* meets(microsoft, "html")
      assert.strictEqual(portal.status, 200)
      assert.strictEqual(portal.headers.get("content-type"), "text/html; charset=utf-8")
      assert.match(portal.text, /^<!doctype html>/)
      const plain = yield* meets(microsoft, "plain")
      assert.deepStrictEqual([plain.status, plain.text], [400, "Bad Request"])
      const wrong = yield* meets(microsoft, "error-200")
      assert.deepStrictEqual([wrong.status, failure(wrong).error], [200, "server_error"])
      assert.strictEqual(microsoft.simulator.account(one).generation, 0)
    }))

  it.live("cuts the answer in the middle: what was done is done", () =>
    Effect.gen(function* () {
      const microsoft = yield* provider({ accounts: 2 })
      const { status, text } = yield* meets(microsoft, "truncated")
      assert.strictEqual(status, 200)
      assert.match(text, /^\{"token_type":"Bearer"/)
      assert.throws(() => JSON.parse(text))
      const { delivery, generation } = microsoft.simulator.account(one)
      assert.deepStrictEqual([generation, delivery], [1, "lost"])
    }))

  it.live("takes its time, and is right in the end", () =>
    Effect.gen(function* () {
      const microsoft = yield* provider({ accounts: 2, hangLimit: 500 })
      for (const fault of ["slow", "drip"] as const) {
        const start = performance.now()
        const answer = tokens(yield* meets(microsoft, fault))
        assert.isAtLeast(performance.now() - start, 400)
        const { delivery, refreshToken } = microsoft.simulator.account(one)
        assert.deepStrictEqual([answer.refresh_token, delivery], [refreshToken, "delivered"])
      }
      assert.deepStrictEqual(microsoft.simulator.counters().token.statuses, { 200: 2 })
    }))

  it.live("drips for as long as the client bears it, and counts it as lost then", () =>
    Effect.gen(function* () {
      const { base, simulator } = yield* provider({ accounts: 2 })
      const { clientId, refreshToken } = simulator.account(one)
      simulator.script({ endpoint: "token", answers: [{ fault: "drip" }] })
      const fields = { client_id: clientId, grant_type: "refresh_token", refresh_token: refreshToken, scope: mailScope }
      const request = yield* Effect.tryPromise(async (signal) => {
        const body = new URLSearchParams(fields)
        const answer = await fetch(`${base}/common/oauth2/v2.0/token`, { method: "POST", body, signal })
        return await answer.text()
      }).pipe(Effect.forkChild)
      const until = (condition: () => boolean) =>
        Effect.promise(async () => {
          for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resume) => setTimeout(resume, 5))
        })
      yield* until(() => simulator.counters().token.inFlight === 1)
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(request)
      yield* until(() => simulator.counters().lostAnswers === 1)
      const { lostAnswers, token } = simulator.counters()
      assert.deepStrictEqual([lostAnswers, token.inFlight], [1, 0])
    }))

  it.live("is never drawn by chance unless named", () =>
    Effect.gen(function* () {
      const { simulator } = yield* provider({ accounts: 2 })
      assert.deepStrictEqual(simulator.configure({}).faultKinds, [
        "throttled",
        "throttled-bare",
        "unavailable",
        "error",
        "gateway",
        "timeout",
        "reset",
      ])
    }))

  it.live("tells the time by a wrong clock, and waits as dates", () =>
    Effect.gen(function* () {
      const microsoft = yield* provider({ accounts: 2, clockSkew: "-1 hour", retryAfter: "10 seconds" })
      const behind = (date: string | null) => (Date.now() - Date.parse(date ?? "")) / 60_000
      const error = yield* meets(microsoft, "error")
      assert.closeTo(behind(error.headers.get("date")), 60, 1)
      assert.closeTo(behind(failure(error).timestamp), 60, 1)
      assert.strictEqual((yield* meets(microsoft, "throttled")).headers.get("retry-after"), "10")
    }))

  it.live("asks for waits by date", () =>
    Effect.gen(function* () {
      const microsoft = yield* provider({ accounts: 2, retryAfterForm: "date", retryAfter: "10 seconds" })
      const { headers } = yield* meets(microsoft, "throttled")
      assert.match(headers.get("retry-after") ?? "", /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/)
      assert.closeTo(Date.parse(headers.get("retry-after") ?? "") - Date.now(), 10_000, 5_000)
      yield* Effect.sleep("150 millis")
      yield* Effect.promise(() => microsoft.redeem(one))
      assert.strictEqual(microsoft.simulator.counters().violations["before-retry-after"], 1)
    }))

  it.live("leaves expires_in out if told so", () =>
    Effect.gen(function* () {
      const { redeem } = yield* provider({ accounts: 2, expiresIn: "absent" })
      assert.notInclude((yield* Effect.promise(() => redeem(one))).text, "expires_in")
    }))
})
