import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger } from "effect"
import { TestClock } from "effect/testing"
import { newId } from "../../src/domain/Ids.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { ReauthSpike } from "../../src/pacing/ReauthSpike.ts"
import * as OperatorEvents from "../../src/programs/OperatorEvents.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Events } from "../../src/storage/Events.ts"
import { Reattempts } from "../../src/storage/grants/Reattempts.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { addAccount, fleet, type Member } from "../oauth/fleet.ts"

const refused = new ProviderError({
  class: "app",
  code: "app_misconfigured",
  message: "the client secret has expired; make a new one",
  providerCode: "AADSTS7000222",
})

/** The pacing of one process, and what it told. */
const start = Effect.gen(function* () {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${JSON.stringify(message)}`))
  const storage = yield* Effect.context<Events | Reattempts>()
  const layer = OperatorEvents.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(AppBreaker.layer, ReauthSpike.layer)),
    Layer.provide(Logger.layer([logger])),
    Layer.provide(Layer.succeedContext(storage)),
  )
  const context = yield* Layer.build(Layer.fresh(layer))
  return { breaker: Context.get(context, AppBreaker), spike: Context.get(context, ReauthSpike), lines }
})

/** By the real clock, whatever the time of the test is. */
const looked: typeof eventually = (what, look, until) => TestClock.withLive(eventually(what, look, until))

const eventsOf = (subject: string, count: number) =>
  looked(
    `${count} events of ${subject}`,
    Effect.flatMap(Events, (events) =>
      Effect.map(Effect.orDie(events.list({ limit: 500 })), ({ items }) =>
        items.filter((event) =>
          event.subject === subject
        ).toReversed())),
    (events) => events.length >= count,
  )

/** As a refusal long believed leaves a grant: tried again in a week. */
const declare = ({ grantId, id }: Member) =>
  Effect.flatMap(Database, ({ sql, tables: t }) =>
    orDie(Effect.all([
      sql`update ${t.accounts} set status = 'needs_reauth' where id = ${id}`,
      sql`update ${t.grants} set attempt_at = now() + interval '7 days' where id = ${grantId}`,
    ])))

const minutesToAttempt = ({ grantId }: Member) =>
  Effect.flatMap(Database, ({ sql, tables: t }) =>
    Effect.map(
      orDie(sql<{ minutes: number }>`select (extract(epoch from attempt_at - now()) / 60)::float8 as minutes
        from ${t.grants} where id = ${grantId}`),
      (rows) => rows[0]!.minutes,
    ))

await onDatabases("OperatorEvents", Layer.provideMerge(Layer.mergeAll(Events.layer, Reattempts.layer), fleet), (it) => {
  it.effect("an app's fault and its end are told once, in the log and for good", () =>
    Effect.scoped(Effect.gen(function* () {
      const one = yield* start
      const other = yield* start
      const clientId = newId()
      const app = {
        provider: "microsoft" as const,
        clientId,
        tenant: "common",
        resource: "graph" as const,
        updatedAt: 1,
      }
      const fault = ({ breaker }: typeof one, faulty: typeof app) =>
        Effect.ignore(breaker.guard(faulty)(Effect.fail({ error: refused, reach: "app" as const })))
      yield* fault(one, app)
      yield* eventsOf(`microsoft:${clientId}`, 1)
      yield* fault(other, app)
      // A process tells its faults in their order: once the next one is told, this one is done with.
      const next = newId()
      yield* fault(other, { ...app, clientId: next })
      yield* eventsOf(`microsoft:${next}`, 1)
      yield* one.breaker.reset(app)
      const events = yield* eventsOf(`microsoft:${clientId}`, 2)
      assert.deepStrictEqual(events.map(({ code, kind }) => [kind, code]), [
        ["app.faulted", "AADSTS7000222"],
        ["app.recovered", undefined],
      ])
      assert.include(events[0]!.message, refused.message)
      assert.strictEqual(one.lines.length, 2, one.lines.join("\n"))
      assert.match(one.lines[0]!, /^Error .*AADSTS7000222/)
      assert.match(one.lines[1]!, /^Info /)
    })).pipe(Effect.provide(TestClock.layer())))

  it.effect("a spike is told, and those declared just before are soon looked at again", () =>
    Effect.scoped(Effect.gen(function* () {
      const { lines, spike } = yield* start
      const [early, redeemed] = [yield* addAccount(), yield* addAccount()]
      yield* declare(early)
      for (const { grantId } of [early, redeemed]) assert.isTrue(yield* spike.refused(grantId))
      for (let n = 0; n < 48; n++) yield* spike.refused(newId())
      const [begun] = yield* eventsOf("fleet", 1)
      assert.strictEqual(begun?.kind, "reauth.spike")
      const before = yield* minutesToAttempt(redeemed)
      yield* TestClock.adjust("30 seconds")
      const minutes = yield* looked("the grant is to be tried soon", minutesToAttempt(early), (it) => it < 60)
      assert.isTrue(minutes > 14 && minutes < 20, String(minutes))
      assert.isAtMost(yield* minutesToAttempt(redeemed), before, "it is in good order")
      yield* TestClock.adjust("1 hour")
      const events = yield* eventsOf("fleet", 2)
      assert.deepStrictEqual(events.map(({ kind }) => kind), ["reauth.spike", "reauth.spike_ended"])
      assert.deepStrictEqual(lines.map((line) => line.split(" ")[0]), ["Warn", "Info"])
    })).pipe(Effect.provide(TestClock.layer())))

  it.effect("only what would be tried later is tried soon, and only what somebody tries", () =>
    Effect.gen(function* () {
      const { soon } = yield* Reattempts
      const { sql, tables: t } = yield* Database
      const members = yield* Effect.forEach(Array.from({ length: 3 }), () => addAccount())
      const [late, sooner, disabled] = members as [Member, Member, Member]
      yield* Effect.forEach(members, declare)
      yield* orDie(sql`update ${t.grants} set attempt_at = now() + interval '5 minutes' where id = ${sooner.grantId}`)
      yield* orDie(sql`update ${t.grants} set attempt_at = null where id = ${disabled.grantId}`)
      assert.strictEqual(yield* soon(members.map(({ grantId }) => grantId)), 1)
      assert.isBelow(yield* minutesToAttempt(late), 20)
      assert.isBelow(yield* minutesToAttempt(sooner), 6)
      assert.strictEqual(yield* soon([]), 0)
    }))
})
