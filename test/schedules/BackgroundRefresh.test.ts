/** Due work on a real database, with a provider whose answers are a script. */
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { GrantId } from "../../src/domain/Ids.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { ReauthSpike } from "../../src/pacing/ReauthSpike.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { TokenRate } from "../../src/pacing/TokenRate.ts"
import { Concurrency } from "../../src/programs/Concurrency.ts"
import * as BackgroundRefresh from "../../src/schedules/BackgroundRefresh.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { DueGrants } from "../../src/storage/grants/DueGrants.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { accountOf, addAccount, age, failing, fleet, held, type Member, rotated, Script } from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"
import { noGrants } from "../support/grants.ts"
import { eventually } from "../support/processes.ts"

/** The schedule of one process, until the scope closes. */
const schedule = (script: Script, wrap: (grants: DueGrants["Service"]) => DueGrants["Service"] = (it) => it) =>
  Effect.gen(function* () {
    const grants = wrap(yield* DueGrants)
    yield* Layer.build(Layer.fresh(BackgroundRefresh.layer.pipe(
      Layer.provide([Concurrency.layer, Tokens.layer]),
      Layer.provide([
        AdaptiveConcurrency.layer,
        AppBreaker.layer,
        ReauthSpike.layer,
        Throttle.layer,
        TokenRate.layer,
        script.layer,
        Layer.succeed(DueGrants, grants),
      ]),
    )))
  })

const makeDue = (members: ReadonlyArray<Member>) =>
  Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    for (const { grantId } of members) {
      yield* sql`update ${t.grants} set due_at = now(), attempt_at = now() where id = ${grantId}`
    }
  }).pipe(orDie)

const refreshed = (member: Member) => Effect.map(accountOf(member), ({ token }) => token.refreshedAt !== null)

const allRefreshed = (members: ReadonlyArray<Member>) =>
  eventually("all are refreshed", Effect.forEach(members, refreshed), (all) => all.every(Boolean))

/** Some polls of the schedule, in which nothing may happen. */
const aWhile = Effect.sleep("800 millis")

await onDatabases("Background refresh", fleet, (it) => {
  it.effect("redeems what is due, once, and nothing else", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const due = yield* Effect.forEach(Array.from({ length: 30 }), () => addAccount())
      const later = yield* addAccount()
      yield* makeDue(due)
      yield* schedule(script)
      yield* schedule(script)
      yield* allRefreshed(due)
      yield* aWhile
      assert.strictEqual(script.sent.length, 30)
      assert.isFalse(yield* refreshed(later))
    })))

  it.effect("looks at an account again at the last moment: disabled or deleted, it is not redeemed", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const accounts = yield* Accounts
      const [disabled, deleted, kept] = yield* Effect.all([addAccount(), addAccount(), addAccount()])
      yield* makeDue([disabled, deleted, kept])
      yield* schedule(script, (grants) => ({
        ...grants,
        // Between the claim and the redemption.
        claim: (limit, seconds, except, inHand) =>
          Effect.tap(
            grants.claim(limit, seconds, except, inHand),
            (claimed) =>
              claimed.length === 0
                ? Effect.void
                : Effect.andThen(accounts.patch(disabled.id, { status: "disabled" }), accounts.remove(deleted.id)),
          ),
      }))
      yield* allRefreshed([kept])
      yield* aWhile
      assert.deepStrictEqual(script.sent.map(({ refreshToken }) => refreshToken), [`${kept.name}.1`])
    })))

  it.effect("leaves a paused app alone while others go on, and comes back to it", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const paused = yield* Effect.forEach(Array.from({ length: 40 }), () => addAccount({ clientId: "slow" }))
      const others = yield* Effect.forEach(Array.from({ length: 5 }), () => addAccount({ clientId: "quick" }))
      let refusals = 0
      script.answer = (sent) =>
        sent.clientId === "slow" && refusals++ < 3
          ? failing("throttled", { reach: "app", retryAfterMillis: 1_500 })()
          : rotated(sent)
      yield* makeDue(paused)
      yield* schedule(script)
      yield* eventually("the app is paused", Effect.sync(() => refusals), (n) => n > 0)
      yield* makeDue(others)
      yield* allRefreshed(others)
      // Those that were throttled have a backoff of their own; nobody waits for them.
      yield* eventually(
        "the app goes on",
        Effect.forEach(paused, refreshed),
        (all) => all.filter(Boolean).length >= 30,
      )
    })))

  it.effect("a slow app does not hold up another, however much of it has waited longer", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      script.answer = (sent) =>
        sent.clientId === "slow" ? Effect.andThen(Effect.sleep("500 millis"), rotated(sent)) : rotated(sent)
      const slow = yield* Effect.forEach(Array.from({ length: 60 }), () => addAccount({ clientId: "slow" }))
      yield* makeDue(slow)
      const quick = yield* Effect.forEach(Array.from({ length: 60 }), () => addAccount({ clientId: "quick" }))
      yield* makeDue(quick)
      yield* schedule(script)
      yield* allRefreshed(quick)
      const done = (yield* Effect.forEach(slow, refreshed)).filter(Boolean).length
      assert.isAtMost(done, 30, "without turns all of them come first")
      yield* allRefreshed(slow)
    })))

  it.effect("hands back at its end what it claimed and did not work on", () =>
    Effect.gen(function* () {
      yield* noGrants
      const gate = held()
      const script = new Script()
      script.answer = gate.answer
      const members = yield* Effect.forEach(Array.from({ length: 30 }), () => addAccount())
      yield* makeDue(members)
      const { sql, tables: t } = yield* Database
      const claimed = Effect.map(
        orDie(sql<{ id: GrantId }>`select id from ${t.grants} where claimed_until > now()`),
        (rows) => rows.length,
      )
      yield* Effect.scoped(Effect.gen(function* () {
        yield* schedule(script)
        yield* gate.asked
        yield* eventually("more are claimed than are in hand", claimed, (n) => n >= 20)
        yield* gate.release
      }))
      assert.strictEqual(yield* claimed, 0)
    }))

  it.effect("goes on once a database that failed answers again", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      let down = true
      const members = yield* Effect.forEach(Array.from({ length: 12 }), () => addAccount())
      yield* makeDue(members)
      yield* schedule(script, (grants) => ({
        ...grants,
        claim: (limit, seconds, except, inHand) =>
          down
            ? Effect.suspend(() => {
              down = false
              return Effect.die(new Error("the database is down"))
            })
            : grants.claim(limit, seconds, except, inHand),
      }))
      yield* allRefreshed(members)
      assert.strictEqual(script.sent.length, 12)
    })))

  it.effect("keeps a warm account's access token valid over many lives, and the others' not", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const [warm, alive] = yield* Effect.all([addAccount(), addAccount()])
      yield* (yield* Accounts).patch(warm.id, { refreshPolicy: "warm" })
      yield* makeDue([warm, alive])
      yield* schedule(script)
      yield* allRefreshed([warm, alive])
      for (let life = 2; life <= 5; life++) {
        yield* age(alive, 30)
        yield* age(warm, 55)
        const { token: { expiresAt } } = yield* eventually(
          "its token is replaced",
          accountOf(warm),
          ({ token: { version } }) => version === life + 1,
        )
        assert.isAbove(expiresAt!.epochMilliseconds, Date.now() + 59 * 60_000)
      }
      assert.isBelow((yield* accountOf(alive)).token.expiresAt!.epochMilliseconds, Date.now())
      assert.strictEqual(script.tokensOf(alive.name).length, 1)
    })))

  it.effect("spreads an import burst over the period from its first refresh on", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const members = yield* Effect.forEach(Array.from({ length: 300 }), () => addAccount())
      yield* makeDue(members)
      yield* schedule(script)
      yield* allRefreshed(members)
      const { sql, tables: t } = yield* Database
      const hours = (yield* orDie(sql<{ hours: number }>`
        select extract(epoch from due_at - now())::float8 / 3600 as hours from ${t.grants}`)).map(({ hours }) => hours)
      for (let tenth = 1; tenth < 10; tenth++) {
        const within = hours.filter((due) => due >= tenth * 2.4 && due < (tenth + 1) * 2.4).length
        assert.isAtLeast(within, 300 / 9 / 3, `tenth ${tenth}`)
        assert.isAtMost(within, (300 / 9) * 2, `tenth ${tenth}`)
      }
    })))
})
