/** When refresh tokens end, and that it is told in time, and once. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer } from "effect"
import type { Provider } from "../../../src/domain/Account.ts"
import type { Registration } from "../../../src/domain/App.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { Apps } from "../../../src/storage/grants/Apps.ts"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { countEnding, Endings, endsBefore } from "../../../src/storage/grants/Endings.ts"
import { Events } from "../../../src/storage/Events.ts"
import { Stats } from "../../../src/storage/Stats.ts"
import {
  accountOf,
  addAccount,
  failing,
  fleet,
  importAgain,
  type Member,
  process,
  rotated,
  Script,
  unrotated,
} from "../../oauth/fleet.ts"
import { onDatabases } from "../../support/databases.ts"
import { noGrants } from "../../support/grants.ts"
import { freshStats } from "../../support/stats.ts"

const layer = Layer.mergeAll(Apps.layer, Endings.layer, Events.layer).pipe(Layer.provideMerge(fleet), Layer.orDie)

const tell = Effect.flatMap(Endings, ({ tell }) => tell)

/** What was told of a grant, oldest first. */
const toldOf = ({ grantId }: Member) =>
  Effect.map(
    Effect.orDie(Effect.flatMap(Events, (events) => events.list({ limit: 500, subject: grantId }))),
    ({ items }) => items.toReversed(),
  )

const codesOf = (member: Member) => Effect.map(toldOf(member), (events) => events.map(({ code }) => code))

/** Sets times of a grant: days before now. */
const setTimes = Effect.fnUntraced(function* (
  { grantId }: Member,
  { lives, used }: { readonly used?: number; readonly lives?: number },
) {
  const { sql, tables: t } = yield* Database
  if (used !== undefined) {
    yield* sql`update ${t.grants} set refreshed_at = now() - ${used}::float8 * interval '1 day',
      created_at = now() - interval '2 years' where id = ${grantId}`
  }
  if (lives !== undefined) {
    yield* sql`update ${t.grants} set lives_until = now() + ${lives}::float8 * interval '1 day' where id = ${grantId}`
  }
}, orDie)

const register = Effect.fnUntraced(function* ({ clientId }: Member, registration: Registration) {
  const { sql, tables: t } = yield* Database
  yield* sql`update ${t.apps} set registration = ${registration} where client_id = ${clientId}`
}, orDie)

/** An account that is active and has not been redeemed for so many days. */
const addUnused = Effect.fnUntraced(function* (days: number, provider: Provider = "microsoft") {
  const script = new Script()
  if (provider === "google") script.answer = unrotated
  const member = yield* addAccount({ provider })
  yield* (yield* process(script)).refresh(member.grantId, member.resource)
  yield* setTimes(member, { used: days })
  return member
}, Effect.orDie)

/** Days until its refresh token ends. */
const daysLeft = (member: Member) =>
  Effect.map(
    accountOf(member),
    ({ token: { endsAt } }) =>
      endsAt === undefined ? undefined : Math.round((endsAt.epochMilliseconds - Date.now()) / 8_640_000) / 10,
  )

const endingBefore = Effect.fnUntraced(function* (days: number) {
  const endsBefore = DateTime.addDuration(yield* DateTime.now, Duration.days(days))
  const { items } = yield* Effect.orDie((yield* Accounts).list({ limit: 500, endsBefore }))
  return items.map(({ id }) => id)
})

const counted = Effect.flatMap(
  Effect.provide(Stats, freshStats),
  ({ fleet }) => Effect.map(fleet, ({ refresh }) => refresh.ending),
)

await onDatabases("Endings", layer, (it, engine) => {
  it.effect("90 days of disuse end a token at Microsoft, six months at Google; each use puts it off", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const microsoft = yield* addUnused(60)
      assert.strictEqual(yield* daysLeft(microsoft), 30)
      yield* tokens.refresh(microsoft.grantId, "graph")
      assert.strictEqual(yield* daysLeft(microsoft), 90)
      const left = (yield* daysLeft(yield* addUnused(60, "google")))!
      assert.isTrue(left >= 181 - 60.1 && left <= 184 - 59.9, String(left))
      // One that was never redeemed: since it was stored.
      assert.strictEqual(yield* daysLeft(yield* addAccount()), 90)
    }))

  it.effect("a grant that the provider ends in any case does so however it is used; one that is no refresh token does not end", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const member = yield* addUnused(0)
      yield* setTimes(member, { lives: 3 })
      assert.strictEqual(yield* daysLeft(member), 3)
      yield* orDie(sql`update ${t.grants} set kind = 'client_credentials' where id = ${member.grantId}`)
      assert.isUndefined(yield* daysLeft(member))
      assert.strictEqual((yield* accountOf(member)).access, "app-only")
      yield* orDie(sql`update ${t.grants} set kind = 'service_account' where id = ${member.grantId}`)
      assert.isUndefined(yield* daysLeft(member))
      assert.strictEqual((yield* accountOf(member)).access, "service-account")
      const own = yield* addAccount()
      assert.strictEqual((yield* accountOf(own)).access, "own")
      yield* orDie(sql`update ${t.accounts} set by_name = true where id = ${own.id}`)
      assert.strictEqual((yield* accountOf(own)).access, "shared")
    }))

  it.effect("an imported token of an app whose tokens live a day, or a week, ends then at the latest", () =>
    Effect.gen(function* () {
      for (const [registration, days] of [["spa", 1], ["testing", 7]] as const) {
        const first = yield* addAccount()
        assert.strictEqual(yield* daysLeft(first), 90)
        yield* register(first, registration)
        const member = yield* addAccount({ clientId: first.clientId })
        assert.strictEqual(yield* daysLeft(member), days)
        yield* importAgain(first, `${first.name}-again.1`)
        assert.strictEqual(yield* daysLeft(first), days)
      }
    }))

  it.effect("the grants of an app follow its registration", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const [member, stranger] = [yield* addUnused(0), yield* addUnused(0)]
      const rows = yield* orDie(sql<{ id: string }>`select id from ${t.apps} where client_id = ${member.clientId}`)
      const change = (registration: Registration) => Effect.orDie(apps.patch(rows[0]!.id, { registration }))
      yield* change("spa")
      assert.strictEqual(yield* daysLeft(member), 1)
      assert.strictEqual(yield* daysLeft(stranger), 90)
      yield* change("standard")
      assert.strictEqual(yield* daysLeft(member), 90)
      // Where it is known, the time of the sign-in counts.
      yield* orDie(sql`update ${t.grants} set signed_in_at = now() - interval '12 hours' where id = ${member.grantId}`)
      yield* change("spa")
      assert.strictEqual(yield* daysLeft(member), 0.5)
      // What does not change the registration changes no grant.
      yield* setTimes(member, { lives: 0.2 })
      yield* change("spa")
      assert.strictEqual(yield* daysLeft(member), 0.2)
    }))

  it.effect("found by when they end; what has ended, or ends by itself, is not told of", () =>
    Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const tokens = yield* process(script)
      const [soon, later, google, limited, dead] = [
        yield* addUnused(89.5),
        yield* addUnused(85),
        yield* addUnused(100, "google"),
        yield* addUnused(1),
        yield* addUnused(88),
      ]
      yield* setTimes(limited, { lives: 5 })
      script.answer = failing("needs_user")
      yield* Effect.flip(tokens.refresh(dead.grantId, "graph"))
      assert.sameMembers(yield* endingBefore(1), [soon.id])
      assert.sameMembers(yield* endingBefore(7), [soon.id, later.id, limited.id])
      assert.sameMembers(yield* endingBefore(85), [soon.id, later.id, google.id, limited.id])
      assert.deepStrictEqual(yield* endingBefore(0), [])
      assert.isUndefined(yield* daysLeft(dead))
      assert.deepStrictEqual(yield* counted, { withinDay: 1, withinWeek: 3 })

      assert.strictEqual(yield* tell, 3)
      assert.deepStrictEqual(yield* codesOf(dead), [])
      // Ended by now, as far as anybody knows: nothing is left to be told beforehand.
      yield* setTimes(soon, { used: 91 })
      assert.sameMembers(yield* endingBefore(0), [soon.id])
      assert.deepStrictEqual(yield* counted, { withinDay: 0, withinWeek: 2 })
      assert.strictEqual(yield* tell, 0)
    }))

  it.effect("told seven days and one day before, each once, by however many processes; after a use again", () =>
    Effect.gen(function* () {
      yield* noGrants
      const member = yield* addUnused(80)
      assert.strictEqual(yield* tell, 0)
      const step = Effect.fnUntraced(function* (used: number) {
        yield* setTimes(member, { used })
        yield* Effect.forEach(Array.from({ length: 5 }), () => tell, { concurrency: "unbounded", discard: true })
        return yield* codesOf(member)
      })
      assert.deepStrictEqual(yield* step(84), ["7 days"])
      assert.deepStrictEqual(yield* step(88), ["7 days"])
      assert.deepStrictEqual(yield* step(89.5), ["7 days", "1 day"])
      assert.deepStrictEqual(yield* step(89.9), ["7 days", "1 day"])
      // As if those had been told before the grant was used once more.
      const { sql, tables: t } = yield* Database
      yield* orDie(sql`update ${t.events} set at = at - interval '100 days' where subject = ${member.grantId}`)
      assert.deepStrictEqual(yield* step(1), ["7 days", "1 day"])
      assert.deepStrictEqual(yield* step(89.5), ["7 days", "1 day", "1 day"])
      const [event] = yield* toldOf(member)
      assert.strictEqual(event!.kind, "grant.ending")
      assert.include(event!.message, member.email)
      assert.include(event!.message, "90 days after its last use")
      assert.notProperty(event!, "reconnectUrl")
    }))

  it.effect("told in time where tokens live a week or a day, with what to do", () =>
    Effect.gen(function* () {
      yield* noGrants
      const testing = yield* addUnused(0)
      yield* register(testing, "testing")
      const spa = yield* addUnused(0)
      yield* register(spa, "spa")
      const given = yield* addUnused(0)
      const told = Effect.fnUntraced(function* (member: Member, days: number) {
        yield* setTimes(member, { lives: days })
        yield* tell
        return yield* codesOf(member)
      })
      assert.deepStrictEqual(yield* told(testing, 6.9), [])
      assert.deepStrictEqual(yield* told(testing, 0.9), ["1 day"])
      assert.deepStrictEqual(yield* told(spa, 0.9), [])
      assert.deepStrictEqual(yield* told(spa, 1 / 24), ["2 hours"])
      assert.deepStrictEqual(yield* told(given, 6), ["7 days"])
      assert.deepStrictEqual(yield* told(given, 0.5), ["7 days", "1 day"])
      assert.include((yield* toldOf(testing))[0]!.message, "publish")
      assert.include((yield* toldOf(spa))[0]!.message, "single-page")
      assert.include((yield* toldOf(given))[0]!.message, "limited time")
    }))

  it.effect("says why a grant is not used", () =>
    Effect.gen(function* () {
      yield* noGrants
      const script = new Script()
      const tokens = yield* process(script)
      const [off, blocked, forgotten] = [yield* addUnused(1), yield* addUnused(1), yield* addUnused(1)]
      yield* (yield* Accounts).patch(off.id, { status: "disabled" })
      script.answer = failing("blocked", { providerCode: "AADSTS53003" })
      yield* Effect.flip(tokens.refresh(blocked.grantId, "graph"))
      for (const member of [off, blocked, forgotten]) yield* setTimes(member, { used: 85 })
      assert.strictEqual(yield* tell, 3)
      const message = (member: Member) => Effect.map(toldOf(member), ([event]) => event!.message)
      assert.include(yield* message(off), "disabled")
      assert.include(yield* message(blocked), "AADSTS53003: the provider said blocked")
      assert.include(yield* message(forgotten), "MAILFLEET_SCHEDULES")
      // A new token that was not tried yet: when it was used last is not known.
      yield* importAgain(forgotten, `${forgotten.name}-again.1`)
      yield* setTimes(forgotten, { used: 89.5 })
      assert.strictEqual(yield* tell, 0)
      script.answer = rotated
    }))

  if (engine === "postgres") {
    it.effect("of a large fleet only what ends is read", () =>
      Effect.gen(function* () {
        yield* noGrants
        const database = yield* Database
        const { sql, tables: t } = database
        const member = yield* addUnused(1)
        // 1 in 1,000 has not been used for long, and 1 in 1,000 lives for a limited time.
        yield* sql`with new as (
            insert into ${t.grants} (id, app_id, secret, token_hash, created_at, refreshed_at, lives_until)
            select gen_random_uuid(), app_id, '', '', now() - interval '1 year',
              now() - case when i % 1000 = 0 then interval '85 days' else i * interval '1 second' end,
              case when i % 1000 = 1 then now() + interval '5 days' end
            from ${t.grants}, generate_series(1, 50000) i where id = ${member.grantId} returning id
          )
          insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
          select gen_random_uuid(), 'microsoft', id::text, id::text, 'graph', id, 'active' from new`
        for (const table of [t.grants, t.accounts, t.apps]) yield* sql`analyze ${table}`
        assert.deepStrictEqual(yield* counted, { withinDay: 0, withinWeek: 100 })
        assert.lengthOf(yield* endingBefore(7), 100)

        const now = yield* DateTime.now
        const condition = endsBefore(database, DateTime.add(now, { days: 7 }), now)
        for (
          const statement of [
            sql`${countEnding(database)}`,
            sql`select a.id from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id join ${t.apps} p on p.id = g.app_id
              where ${condition} order by a.id limit 51`,
          ]
        ) {
          const plan = JSON.stringify(yield* sql`explain (format json) ${statement}`)
          assert.include(plan, `"Index Name":"grants_unused"`)
          assert.include(plan, `"Index Name":"grants_ending"`)
          const scanned = [...plan.matchAll(/"Node Type":"Seq Scan"[^{}]*?"Relation Name":"(\w+)"/g)].map(([, name]) =>
            name
          )
          assert.notInclude(scanned, "grants")
          assert.notInclude(scanned, "accounts")
        }
      }))
  }
})
