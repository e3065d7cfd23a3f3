/** What is swept, and what stays. */
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { Database } from "../../src/storage/Database.ts"
import { Sweeps } from "../../src/storage/Sweeps.ts"
import { onDatabases } from "../support/databases.ts"
import { addApp, addGrant, noGrants } from "../support/grants.ts"

const layer = Sweeps.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({ runDays: 30, changeDays: 30 }))))

await onDatabases("Sweeps", layer, (it) => {
  const addGrants = Effect.fnUntraced(function* (count: number) {
    const appId = yield* addApp(crypto.randomUUID())
    const { sql, tables: t } = yield* Database
    yield* addGrant(appId, { due: 0 })
    yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash)
      select gen_random_uuid(), ${appId}, '', '' from generate_series(2, ${count}::int)`
    return appId
  })

  it.effect("hashes of past tokens stay for as long as their provider may take the token, however many go", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const [microsoft, google] = [yield* addGrants(1), yield* addGrants(1)]
      yield* sql`update ${t.apps} set provider = 'google' where id = ${google}`
      const add = (appId: string, days: number, count = 1) =>
        sql`insert into ${t.grant_tokens} (grant_id, hash, retired_at)
          select id, decode(md5(${`${days} `} || n), 'hex'), now() - make_interval(days => ${days}::int)
          from ${t.grants}, generate_series(1, ${count}::int) n where app_id = ${appId}`
      yield* add(microsoft, 95)
      yield* add(microsoft, 105, 20_005)
      yield* add(google, 105)
      yield* add(google, 405)
      yield* (yield* Sweeps).tokenHashes
      const left = yield* sql`select p.provider, extract(day from now() - k.retired_at)::int as days
        from ${t.grant_tokens} k join ${t.grants} g on g.id = k.grant_id join ${t.apps} p on p.id = g.app_id order by 2`
      assert.deepStrictEqual(left, [{ provider: "microsoft", days: 95 }, { provider: "google", days: 105 }])
    }))

  it.effect("runs go with their items, and changes that every webhook has sent", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const sweeps = yield* Sweeps
      const add = (state: string, days: number) =>
        sql`with made as (
          insert into ${t.runs} (id, kind, state, trigger, finished_at)
          values (gen_random_uuid(), 'refresh', ${state}, ${`${state} ${days}`},
            case when ${state} = 'completed' then now() - make_interval(days => ${days}::int) end)
          returning id
        ) insert into ${t.run_items} (run_id, position) select id, n from made, generate_series(1, 10500) n`
      yield* add("completed", 40)
      yield* add("completed", 20)
      yield* add("running", 40)
      yield* sweeps.runs
      const runs = yield* sql`select r.trigger, count(*)::int as items from ${t.runs} r
        join ${t.run_items} i on i.run_id = r.id group by r.trigger order by 1`
      assert.deepStrictEqual(runs, [{ trigger: "completed 20", items: 10_500 }, {
        trigger: "running 40",
        items: 10_500,
      }])

      yield* sql`insert into ${t.changes} (at, account_id, kind, origin)
        select now() - interval '40 days' + n * interval '5 days', gen_random_uuid(), 'message.created', 'live'
        from generate_series(1, 4) n`
      const ids = yield* sql<{ id: string }>`select id::text as id from ${t.changes} order by id`
      yield* sql`insert into ${t.webhooks} (id, url, description, origins, secret, change_cursor, event_cursor)
        values (gen_random_uuid(), 'https://example.com/', '', '{live}', '', ${ids[0]!.id}::bigint, 0)`
      const left = sql`select 1 from ${t.changes}`
      yield* sweeps.changes
      assert.lengthOf(yield* left, 3)
      yield* sql`update ${t.webhooks} set enabled = false`
      yield* sweeps.changes
      assert.lengthOf(yield* left, 2)
    }))

  it.effect("access tokens that ended a day ago are found in some turns, and then again from the start", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const sweeps = yield* Sweeps
      yield* addGrants(6_000)
      const add = sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at)
        select id, resource, '', now() - case when resource = 'graph' then interval '25 hours' else interval '23 hours' end
        from ${t.grants}, unnest(array['graph', 'outlook-imap']) resource on conflict do nothing`
      const left = Effect.map(
        sql<{ resource: string; count: number }>`select resource, count(*)::int as count from ${t.access_tokens}
          group by resource order by resource`,
        (rows) => Object.fromEntries(rows.map(({ count, resource }) => [resource, count])),
      )
      for (let round = 0; round < 2; round++) {
        yield* add
        yield* sweeps.accessTokens
        const { graph } = yield* left
        assert(graph !== undefined && graph < 6_000 && graph > 0)
        yield* sweeps.accessTokens
        yield* sweeps.accessTokens
        assert.deepStrictEqual(yield* left, { "outlook-imap": 6_000 })
      }
    }))

  it.effect("events stay for more than a year", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      yield* sql`insert into ${t.events} (at, kind, subject, message)
        select now() - make_interval(days => days), 'app.failing', 'x', days::text from unnest(array[500, 401, 399, 1]) days`
      yield* (yield* Sweeps).events
      assert.deepStrictEqual(yield* sql`select message from ${t.events} order by id`, [{ message: "399" }, {
        message: "1",
      }])
    }))
})
