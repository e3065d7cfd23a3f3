/** The fleet at a glance: what is overdue, for how long, and that asking costs little. */
import { assert } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Database } from "../../src/storage/Database.ts"
import { lagUnder, overdue } from "../../src/storage/grants/RefreshLag.ts"
import { Stats } from "../../src/storage/Stats.ts"
import { overdueSyncs } from "../../src/storage/mail/SyncLag.ts"
import { onDatabases } from "../support/databases.ts"
import { addApp, addGrant, noGrants } from "../support/grants.ts"
import { makeAccount } from "../support/mail.ts"
import { freshStats } from "../support/stats.ts"

/** One that has kept nothing: a busy machine may have taken long over the last measurement. */
const stats = Effect.provide(Stats, freshStats)

await onDatabases("Stats", Layer.empty, (it, engine) => {
  it.effect("nothing is overdue in an empty fleet", () =>
    Effect.gen(function* () {
      const { fleet } = yield* stats
      const { refresh } = yield* fleet
      assert.deepStrictEqual(refresh, {
        due: 0,
        lagSeconds: 0,
        byApp: [],
        others: { "keep-alive": { due: 0, lagSeconds: 0 }, warm: { due: 0, lagSeconds: 0 } },
        failing: { throttled: 0, transient: 0, app: 0, scope: 0, blocked: 0, needs_user: 0, ambiguous: 0, unknown: 0 },
        ending: { withinDay: 0, withinWeek: 0 },
      })
    }))

  it.effect("what is overdue, by app and policy, the oldest first", () =>
    Effect.gen(function* () {
      yield* noGrants
      const [one, two] = [yield* addApp("one"), yield* addApp("two")]
      yield* addGrant(one, { due: 30 })
      yield* addGrant(one, { due: 90 })
      yield* addGrant(one, { due: 400, policy: "warm" })
      yield* addGrant(two, { due: 200 })
      // Neither those that are to come, nor those that rest.
      yield* addGrant(two, { due: -60 })
      yield* addGrant(two, { due: null })
      yield* addGrant(two, { due: 5_000, attempt: null })

      const { refreshLag } = yield* stats
      const lag = yield* refreshLag
      assert.deepStrictEqual(
        lag.byApp.map(({ lagSeconds: _, ...rest }) => rest),
        [
          { appId: one, provider: "microsoft", clientId: "one", tenant: "common", policy: "warm", due: 1 },
          { appId: two, provider: "microsoft", clientId: "two", tenant: "common", policy: "keep-alive", due: 1 },
          { appId: one, provider: "microsoft", clientId: "one", tenant: "common", policy: "keep-alive", due: 2 },
        ],
      )
      for (const [index, expected] of [400, 200, 90].entries()) {
        assert.closeTo(lag.byApp[index]!.lagSeconds, expected, 10)
      }
      assert.strictEqual(lag.due, 4)
      assert.closeTo(lag.lagSeconds, 400, 10)
      assert.strictEqual(lagUnder("keep-alive", lag).due, 3)
      assert.closeTo(lagUnder("keep-alive", lag).lagSeconds, 200, 10)
    }))

  it.effect("a grant that a process is working on does not wait; one whose claim has lapsed does", () =>
    Effect.gen(function* () {
      yield* noGrants
      const app = yield* addApp("claimed")
      yield* addGrant(app, { due: 500, claimed: -60 })
      yield* addGrant(app, { due: 800, attempt: -300, claimed: -60 })
      yield* addGrant(app, { due: 100, claimed: 1 })
      const { refreshLag } = yield* stats
      const lag = yield* refreshLag
      assert.strictEqual(lag.due, 1)
      assert.closeTo(lag.lagSeconds, 100, 10)
    }))

  it.effect("what backs off behind a throttling app counts from the time at which it was due", () =>
    Effect.gen(function* () {
      yield* noGrants
      const app = yield* addApp("throttled")
      // Tried again in 5 minutes, tried again by now, and not due before its next attempt.
      yield* addGrant(app, { due: 3_600, attempt: -300, failure: "throttled" })
      yield* addGrant(app, { due: 1_800, attempt: 5, failure: "throttled" })
      yield* addGrant(app, { due: -300, attempt: -300, failure: "needs_user" })
      const { fleet } = yield* stats
      const { refresh } = yield* fleet
      assert.strictEqual(refresh.due, 2)
      assert.closeTo(refresh.lagSeconds, 3_600, 10)
      assert.deepInclude(refresh.failing, { throttled: 2, needs_user: 1, transient: 0 })
    }))

  it.effect("apps beyond the hundred that wait longest are summed by policy", () =>
    Effect.gen(function* () {
      yield* noGrants
      for (let app = 0; app < 102; app++) {
        yield* addGrant(yield* addApp(`app-${app}`), {
          due: 10_000 - app * 60,
          policy: app % 2 === 0 ? "warm" : "keep-alive",
        })
      }
      const { refreshLag } = yield* stats
      const lag = yield* refreshLag
      assert.strictEqual(lag.due, 102)
      assert.deepStrictEqual(
        lag.byApp.map(({ clientId }) => clientId),
        Array.from({ length: 100 }, (_, app) => `app-${app}`),
      )
      assert.strictEqual(lag.others.warm.due, 1)
      assert.closeTo(lag.others.warm.lagSeconds, 10_000 - 100 * 60, 30)
      assert.strictEqual(lag.others["keep-alive"].due, 1)
      assert.strictEqual(lagUnder("warm", lag).due, 51)
    }))

  it.effect("accounts whose sync is overdue, by channel; those that fail, and those that are stale", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const add = Effect.fnUntraced(function* (
        channel: "graph" | "imap",
        times: { readonly due: number; readonly synced: number; readonly failure?: string; readonly status?: string },
      ) {
        const { id } = yield* makeAccount({ channel })
        const ago = (seconds: number) => sql`now() - make_interval(secs => ${seconds}::float8)`
        yield* sql`update ${t.accounts} set sync_due_at = ${ago(times.due)}, synced_at = ${ago(times.synced)},
          sync_failure_code = ${times.failure ?? null}, status = ${times.status ?? "active"} where id = ${id}`
      })
      yield* add("graph", { due: 30, synced: 330 })
      yield* add("graph", { due: -60, synced: 240 })
      yield* add("imap", { due: 500, synced: 800 })
      // Waits for the end of a pause: late since its interval of 300 s ended.
      yield* add("graph", { due: -600, synced: 1_300, failure: "throttled" })
      yield* add("graph", { due: -600, synced: 5_000, failure: "consent_required" })
      yield* add("imap", { due: 9_000, synced: 9_000, status: "needs_reauth" })

      const { sync } = yield* stats
      const { byChannel, due, failing, lagSeconds, reach, ...rest } = yield* sync
      assert.deepStrictEqual([due, byChannel.graph.due, byChannel.imap.due, byChannel.gmail.due], [3, 2, 1, 0])
      assert.closeTo(lagSeconds, 1_000, 10)
      assert.closeTo(byChannel.graph.lagSeconds, 1_000, 10)
      assert.closeTo(byChannel.imap.lagSeconds, 500, 10)
      assert.deepInclude(failing, { throttled: 1, scope: 1, transient: 0, unknown: 0 })
      assert.deepStrictEqual([rest.accounts, rest.stale.accounts, rest.foldersListing], [5, 2, 0])
      assert.closeTo(rest.stale.oldestSeconds, 5_000, 10)
      assert.deepStrictEqual(reach, { everySeconds: 300, accounts: 750, meanSeconds: null })
    }))

  if (engine === "postgres") {
    it.effect("of a large fleet only the accounts that are overdue are read", () =>
      Effect.gen(function* () {
        yield* noGrants
        const database = yield* Database
        const { sql, tables: t } = database
        const { grantId } = yield* makeAccount({})
        yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status, sync_due_at, synced_at)
          select gen_random_uuid(), 'microsoft', i::text, i::text, 'graph', ${grantId}, 'active',
            case when i % 100 = 0 then now() - interval '1 minute' else now() + interval '2 minutes' end,
            case when i % 100 = 0 then now() - interval '5 minutes' else now() - interval '2 minutes' end
          from generate_series(1, 100000) i`
        yield* sql`vacuum analyze ${t.accounts}`
        const { sync } = yield* stats
        assert.strictEqual((yield* sync).due, 1_000)
        const plan = JSON.stringify(yield* sql`explain (format json) ${overdueSyncs(database, 300)}`)
        assert.include(plan, `"Index Name":"accounts_sync_due"`)
        assert.notInclude(plan, `"Node Type":"Seq Scan"`)
      }))

    it.effect("of a large fleet only what is overdue is read", () =>
      Effect.gen(function* () {
        yield* noGrants
        const database = yield* Database
        const { sql, tables: t } = database
        const app = yield* addApp("large")
        // 1 in 100 is overdue, and 1 in 200 backs off; the rest is due within a day.
        yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at)
          select gen_random_uuid(), ${app}, '\\x00', '\\x00', at, case when i % 200 = 0 then now() + interval '1 minute' else at end
          from (select i, case when i % 100 = 0 then now() - interval '1 minute' else now() + interval '1 hour' + i * interval '1 second' end as at
            from generate_series(1, 100000) i) due`
        yield* sql`analyze ${t.grants}`
        const { refreshLag } = yield* stats
        assert.strictEqual((yield* refreshLag).due, 1_000)

        const plan = JSON.stringify(yield* sql`explain (format json) ${overdue(database)}`)
        assert.include(plan, `"Index Name":"grants_attempt"`)
        assert.include(plan, `"Index Name":"grants_late"`)
        const scanned = [...plan.matchAll(/"Node Type":"Seq Scan"[^{}]*?"Relation Name":"(\w+)"/g)].map(([, name]) =>
          name
        )
        assert.notInclude(scanned, "grants")
      }))
  }
})
