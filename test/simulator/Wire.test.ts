import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { email, mailScope, provider } from "./provider.ts"

/** A client process that redeems the given tokens and never gets round to anything else. */
const client = (url: string, clientId: string, refreshTokens: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      new Deno.Command(Deno.execPath(), {
        args: ["eval", clientProgram(url, clientId, refreshTokens)],
        stdout: "null",
        stderr: "inherit",
      }).spawn()
    ),
    (child) => Effect.promise(() => child.status),
  )

const clientProgram = (url: string, clientId: string, refreshTokens: ReadonlyArray<string>) => `
  const redeem = (refresh_token) => fetch(${JSON.stringify(url)}, { method: "POST", body: new URLSearchParams({
    client_id: ${JSON.stringify(clientId)}, grant_type: "refresh_token", scope: ${
  JSON.stringify(mailScope)
}, refresh_token
  }) }).then((answer) => answer.text())
  await Promise.all(${JSON.stringify(refreshTokens)}.map(redeem))`

const until = (condition: () => boolean) =>
  Effect.promise(async () => {
    for (let i = 0; i < 2000 && !condition(); i++) await new Promise((resume) => setTimeout(resume, 5))
  })

describe("answers on the wire", () => {
  it.live("names the accounts whose client was killed before the answer", () =>
    Effect.gen(function* () {
      const { base, redeem, simulator } = yield* provider({ accounts: 10, latency: "1 second", mode: "strict" })
      const doomed = [3, 4, 5].map(email)
      const account = simulator.account(email(3))
      const refreshTokens = doomed.map((name) => simulator.account(name).refreshToken)
      const child = yield* client(`${base}/common/oauth2/v2.0/token`, account.clientId, refreshTokens)
      yield* until(() => simulator.counters().token.inFlight === 3)
      assert.deepStrictEqual(
        simulator.onTheWire().map(({ delivery, email }) => [email, delivery]).sort(),
        doomed.map((name) => [name, "pending"]),
      )
      child.kill("SIGKILL")
      yield* until(() => simulator.counters().lostAnswers === 3)
      assert.deepStrictEqual(simulator.lostAnswers().map(({ email }) => email).sort(), doomed)

      simulator.configure({ latency: 0 })
      assert.strictEqual((yield* Effect.promise(() => redeem(email(1)))).status, 200)
      assert.strictEqual(simulator.counters().lostAnswers, 3)
      yield* Effect.promise(() => redeem(email(3), refreshTokens[0]))
      const [revoked] = simulator.grants({ revoked: true })
      assert.deepStrictEqual([revoked?.email, revoked?.delivery, revoked?.confirmed], [email(3), "lost", false])
    }), 20_000)

  it.live("counts a client that gives up, and a connection that the provider broke", () =>
    Effect.gen(function* () {
      const { base, redeem, simulator } = yield* provider({ accounts: 10, latency: 300, watchDelivery: true })
      const { clientId, refreshToken } = simulator.account(email(1))
      const stop = new AbortController()
      const request = fetch(`${base}/common/oauth2/v2.0/token`, {
        method: "POST",
        signal: stop.signal,
        body: new URLSearchParams({
          client_id: clientId,
          grant_type: "refresh_token",
          refresh_token: refreshToken,
          scope: mailScope,
        }),
      }).catch(() => {})
      yield* until(() => simulator.counters().token.inFlight === 1)
      stop.abort()
      yield* Effect.promise(() => request)
      yield* until(() => simulator.counters().lostAnswers === 1)
      assert.strictEqual(simulator.account(email(1)).delivery, "lost")

      simulator.script({ endpoint: "token", email: email(2), answers: [{ fault: "lost" }] })
      assert.strictEqual(yield* Effect.promise(() => redeem(email(2)).then(() => "answered", () => "broken")), "broken")
      assert.deepStrictEqual(simulator.lostAnswers().map((lost) => lost.email), [email(1), email(2)])
    }))

  it.live("a delivered token counts as stored only once it is presented", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({ accounts: 2 })
      yield* Effect.promise(() => redeem(email(1)))
      const { answeredAt, confirmed, delivery } = simulator.account(email(1))
      assert.deepStrictEqual([delivery, confirmed], ["delivered", false])
      assert.strictEqual(simulator.onTheWire((answeredAt ?? 0) + 20, 50).length, 1)
      assert.strictEqual(simulator.onTheWire((answeredAt ?? 0) + 20, 5).length, 0)
      yield* Effect.promise(() => redeem(email(1), undefined, { scope: "Mail.Read" }))
      assert.isTrue(simulator.account(email(1)).confirmed)
    }))

  it.live("holds a hanging request until the client gives up", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({ accounts: 2, hangLimit: 200 })
      simulator.script({ endpoint: "token", answers: [{ fault: "timeout" }] })
      const start = performance.now()
      yield* Effect.promise(() => redeem(email(1)).then(() => {}, () => {}))
      assert.isTrue(performance.now() - start >= 195)
      assert.strictEqual(simulator.account(email(1)).generation, 0)
    }))
})
