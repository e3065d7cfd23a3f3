/** Which grants are claimed, by whom, and for how long. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Provider } from "../../../src/domain/Account.ts"
import type { AppReach } from "../../../src/domain/App.ts"
import { newId } from "../../../src/domain/Ids.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { type DueGrant, DueGrants, type InHand } from "../../../src/storage/grants/DueGrants.ts"
import { column, Database, orDie } from "../../../src/storage/Database.ts"
import { accountOf, addAccount, fleet, type Member, setDue, statusOf } from "../../oauth/fleet.ts"
import { onDatabases } from "../../support/databases.ts"
import { noGrants } from "../../support/grants.ts"
import { eventually } from "../../support/processes.ts"

const minute = 60
const claimSeconds = 600

const claim = (limit: number, except: ReadonlyArray<AppReach> = [], inHand: ReadonlyArray<InHand> = []) =>
  Effect.flatMap(DueGrants, (grants) => grants.claim(limit, claimSeconds, except, inHand))

const idsOf = (grants: ReadonlyArray<Pick<DueGrant, "grantId">>) => grants.map(({ grantId }) => grantId).sort()

/** An account whose grant was due `seconds` ago. */
const addDue = Effect.fnUntraced(function* (seconds: number, options: Parameters<typeof addAccount>[0] = {}) {
  const member = yield* addAccount(options)
  yield* setDue(member, -seconds)
  return member
})

/** Many accounts of one app, each with a grant of its own that is due: the first since a second, the next since two. */
const addManyDue = Effect.fnUntraced(function* (count: number, options: Parameters<typeof addAccount>[0] = {}) {
  const { sql, tables: t } = yield* Database
  const { grantId } = yield* addAccount(options)
  const rows = yield* sql<{ id: string }>`with new as (
      insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at)
      select gen_random_uuid(), app_id, '', '', now() - n * interval '1 second', now() - n * interval '1 second'
      from ${t.grants}, generate_series(1, ${count}::int) n where id = ${grantId} returning id
    )
    insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    select gen_random_uuid(), 'microsoft', id::text, id::text, 'graph', id, 'active' from new returning grant_id as id`
  return rows.map(({ id }) => id).sort()
}, orDie)

/** Another account on the same grant, read through IMAP. */
const addImap = Effect.fnUntraced(function* ({ grantId }: Member) {
  const { sql, tables: t } = yield* Database
  const id = newId()
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    values (${id}, 'microsoft', ${id}, ${id}, 'imap', ${grantId}, 'active')`
  return { id }
}, orDie)

const accessToken = Effect.fnUntraced(function* ({ grantId }: Member, resource: string, seconds: number) {
  const { sql, tables: t } = yield* Database
  yield* sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at, renew_at)
    values (${grantId}, ${resource}, '', now() + make_interval(secs => ${seconds}::float8),
      now() + make_interval(secs => ${seconds - 600}::float8))
    on conflict (grant_id, resource) do update set expires_at = excluded.expires_at,
      renew_at = excluded.renew_at`
}, orDie)

const disable = ({ id }: Pick<Member, "id">) =>
  Effect.flatMap(Accounts, (accounts) => accounts.patch(id, { status: "disabled" }))
const enable = ({ id }: Pick<Member, "id">) =>
  Effect.flatMap(Accounts, (accounts) => accounts.patch(id, { status: "active" }))

/** The resource that the only grant that is due is claimed for; its claim is handed back. */
const resourceClaimed = Effect.gen(function* () {
  const claimed = yield* claim(10)
  assert.strictEqual(claimed.length, 1)
  yield* (yield* DueGrants).unclaim(claimed)
  return claimed[0]!.resource
})

await onDatabases("Due grants", fleet, (it, engine) => {
  it.effect("claims what is due, the oldest first, and nothing twice", () =>
    Effect.gen(function* () {
      yield* noGrants
      const due = yield* Effect.forEach([3, 5, 1, 4, 2], (minutes) => addDue(minutes * minute))
      const [third, fifth, first, fourth, second] = due as [Member, Member, Member, Member, Member]
      yield* addDue(-minute)
      yield* disable(yield* addDue(9 * minute))
      assert.deepStrictEqual(idsOf(yield* claim(2)), idsOf([fifth, fourth]))
      assert.deepStrictEqual(idsOf(yield* claim(2)), idsOf([third, second]))
      assert.deepStrictEqual(idsOf(yield* claim(2)), idsOf([first]))
      assert.deepStrictEqual(yield* claim(2), [])
    }))

  it.effect("says what a redemption needs to know, and leaves the times of the account alone", () =>
    Effect.gen(function* () {
      yield* noGrants
      const graph = yield* addDue(minute, { tenant: "contoso.com" })
      const gmail = yield* addDue(minute, { provider: "google", tenant: "" })
      const before = yield* accountOf(graph)
      const claimed = new Map((yield* claim(10)).map(({ until: _, ...grant }) => [grant.grantId, grant]))
      assert.deepStrictEqual(claimed.get(graph.grantId), {
        grantId: graph.grantId,
        resource: "graph",
        app: { provider: "microsoft", clientId: graph.clientId, tenant: "contoso.com" },
      })
      assert.deepStrictEqual(claimed.get(gmail.grantId), {
        grantId: gmail.grantId,
        resource: "gmail",
        app: { provider: "google", clientId: gmail.clientId, tenant: "" },
      })
      assert.deepStrictEqual(yield* accountOf(graph), before)
    }))

  // On Postgres each of them has a connection of its own, as processes have.
  it.effect("gives each grant to one of many claimers", () =>
    Effect.gen(function* () {
      yield* noGrants
      const ids = yield* addManyDue(300)
      const claimer = (limit: number) =>
        Effect.gen(function* () {
          const mine: Array<DueGrant> = []
          for (let found = yield* claim(limit); found.length > 0; found = yield* claim(limit)) {
            assert.isAtMost(found.length, limit)
            mine.push(...found)
          }
          return mine
        })
      const claimed = yield* Effect.forEach([3, 5, 7, 11, 13, 17, 19, 23], claimer, { concurrency: "unbounded" })
      assert.deepStrictEqual(idsOf(claimed.flat()), ids)
    }))

  it.effect("a claim ends by itself", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { grantId } = yield* addDue(minute)
      const grants = yield* DueGrants
      assert.deepStrictEqual(idsOf(yield* grants.claim(10, 0.2, [])), [grantId])
      const again = yield* eventually("the claim ends", claim(10), (found) => found.length > 0)
      assert.deepStrictEqual(idsOf(again), [grantId])
      assert.deepStrictEqual(yield* claim(10), [])
    }))

  it.effect("what is handed back is free at once", () =>
    Effect.gen(function* () {
      yield* noGrants
      const grants = yield* DueGrants
      yield* Effect.all([addDue(minute), addDue(minute), addDue(minute)])
      const [first, second, third] = yield* claim(10)
      yield* grants.unclaim([third!, first!, { ...second!, grantId: newId() }])
      yield* grants.unclaim([])
      assert.deepStrictEqual(idsOf(yield* claim(10)), idsOf([first!, third!]))
    }))

  it.effect("a claim that has ended does not hand back that of another process", () =>
    Effect.gen(function* () {
      yield* noGrants
      const grants = yield* DueGrants
      yield* addDue(minute)
      const ended = yield* grants.claim(10, 0.1, [])
      yield* eventually("another claims it", claim(10), (found) => found.length > 0)
      yield* grants.unclaim(ended)
      assert.deepStrictEqual(yield* claim(10), [])
    }))

  it.effect("clients take turns, the one with the least in hand first, and one that is alone gets all", () =>
    Effect.gen(function* () {
      yield* noGrants
      const grants = yield* DueGrants
      const [slow, quick, rare] = [newId(), newId(), newId()]
      yield* addManyDue(40, { clientId: slow })
      // Two tenants are one client.
      yield* addManyDue(20, { clientId: quick })
      yield* addManyDue(20, { clientId: quick, tenant: "contoso.com" })
      yield* addDue(1, { clientId: rare })
      const of = (clientId: string, count: number, most: number | null = null): InHand => ({
        provider: "microsoft",
        clientId,
        count,
        most,
      })
      /** How many of each a claim gets; it is handed back. */
      const turns = Effect.fnUntraced(function* (
        limit: number,
        except: ReadonlyArray<AppReach>,
        inHand: ReadonlyArray<InHand>,
      ) {
        const claimed = yield* claim(limit, except, inHand)
        yield* grants.unclaim(claimed)
        return [slow, quick, rare].map((clientId) => claimed.filter(({ app }) => app.clientId === clientId).length)
      })
      assert.deepStrictEqual(yield* turns(11, [], []), [5, 5, 1])
      assert.deepStrictEqual(yield* turns(11, [], [of(slow, 10)]), [0, 10, 1])
      assert.deepStrictEqual(yield* turns(21, [], [of(slow, 8), of(newId(), 3)]), [6, 14, 1])
      const others = [quick, rare].map((clientId) => ({ provider: "microsoft", clientId }))
      assert.deepStrictEqual(yield* turns(30, others, [of(slow, 100)]), [30, 0, 0])
      assert.deepStrictEqual(yield* turns(30, [], [of(slow, 3, 4), of(quick, 0, 2)]), [1, 2, 1])
      assert.deepStrictEqual(yield* turns(30, [], [of(slow, 5, 4), of(quick, 1, 1), of(rare, 0, 0)]), [0, 0, 0])
    }))

  it.effect("leaves out the apps that it is told to, at one tenant or at all", () =>
    Effect.gen(function* () {
      yield* noGrants
      const grants = yield* DueGrants
      const [clientId, other] = [newId(), newId()]
      const common = yield* addDue(minute, { clientId })
      const contoso = yield* addDue(minute, { clientId, tenant: "contoso.com" })
      // The same id at another provider is another app.
      const google = yield* addDue(minute, { clientId, provider: "google" })
      const otherApp = yield* addDue(minute, { clientId: other })
      const app = (clientId: string, tenant?: string, provider: Provider = "microsoft"): AppReach => ({
        provider,
        clientId,
        tenant,
      })
      for (
        const [except, left] of [
          [[app(clientId)], [google, otherApp]],
          [[app(clientId, "contoso.com")], [common, google, otherApp]],
          [[app(clientId, "fabrikam.com"), app(newId())], [common, contoso, google, otherApp]],
          [[app(clientId, "common"), app(other), app(clientId, undefined, "google")], [contoso]],
          [[app(clientId), app(clientId, "common"), app(other), app(clientId, undefined, "google")], []],
        ] as const
      ) {
        const claimed = yield* claim(10, except)
        assert.deepStrictEqual(idsOf(claimed), idsOf(left), JSON.stringify(except))
        yield* grants.unclaim(claimed)
      }
    }))

  it.effect("claims grants of any status but disabled, and none that is deleted", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const accounts = yield* Accounts
      const members = new Map<string, Member>()
      for (const status of ["pending", "active", "needs_reauth", "blocked"]) {
        const member = yield* addDue(minute)
        yield* orDie(sql`update ${t.accounts} set status = ${status} where id = ${member.id}`)
        members.set(status, member)
      }
      const [disabled, deleted] = [yield* addDue(minute), yield* addDue(minute)]
      yield* disable(disabled)
      yield* accounts.remove(deleted.id)
      assert.deepStrictEqual(idsOf(yield* claim(10)), idsOf([...members.values()]))
      assert.strictEqual(yield* statusOf(disabled), "disabled")
      yield* enable(disabled)
      assert.deepStrictEqual(idsOf(yield* claim(10)), [disabled.grantId])
    }))

  it.effect("of several resources takes the one whose access token ends first", () =>
    Effect.gen(function* () {
      yield* noGrants
      const member = yield* addDue(minute)
      const imap = yield* addImap(member)
      yield* accessToken(member, "graph", 10 * minute)
      assert.strictEqual(yield* resourceClaimed, "outlook-imap", "it has none yet")
      yield* accessToken(member, "outlook-imap", 20 * minute)
      assert.strictEqual(yield* resourceClaimed, "graph")
      yield* accessToken(member, "graph", 30 * minute)
      assert.strictEqual(yield* resourceClaimed, "outlook-imap")
      yield* disable(imap)
      assert.strictEqual(yield* resourceClaimed, "graph")
      yield* disable(member)
      assert.deepStrictEqual(yield* claim(10), [])
      yield* enable(imap)
      assert.strictEqual(yield* resourceClaimed, "outlook-imap")
    }))

  it.effect("a grant rests once the last of its accounts in use is deleted", () =>
    Effect.gen(function* () {
      yield* noGrants
      const member = yield* addDue(minute)
      const imap = yield* addImap(member)
      yield* disable(member)
      yield* (yield* Accounts).remove(imap.id)
      assert.deepStrictEqual(yield* claim(10), [])
      assert.isNull((yield* accountOf(member)).token.nextRefreshAt)
    }))

  it.effect("bringing all forward makes due what does not rest", () =>
    Effect.gen(function* () {
      yield* noGrants
      const accounts = yield* Accounts
      const members = yield* Effect.all([addAccount(), addAccount(), addDue(minute)])
      yield* disable(yield* addAccount())
      assert.strictEqual(yield* accounts.bringForward("refresh"), 3)
      assert.deepStrictEqual(idsOf(yield* claim(10)), idsOf(members))
    }))

  it.effect("bringing very many forward leaves none out", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const accounts = yield* Accounts
      const ids = yield* addManyDue(2_500)
      yield* sql`update ${t.grants} set attempt_at = now() + interval '1 day' where id = any(${column("uuid", ids)})`
      assert.strictEqual(yield* accounts.bringForward("refresh"), 2_501)
      const [due] =
        yield* sql`select count(*)::int as count from ${t.grants} where attempt_at <= now() and due_at <= now()`
      assert.deepStrictEqual(due, { count: 2_501 })
      yield* sql`update ${t.accounts} set sync_due_at = now() + interval '1 day'
        where grant_id = any(${column("uuid", ids)})`
      assert.isAtLeast(yield* accounts.bringForward("sync"), 2_500)
      assert.isAtLeast((yield* accounts.claimSyncDue(3_000, 60)).length, 2_500)
    }))

  if (engine === "postgres") {
    it.effect("a claim reads little, whatever waits behind an app that is left out", () =>
      Effect.gen(function* () {
        yield* noGrants
        const { schema, sql, tables: t } = yield* Database
        const [paused, other] = [newId(), newId()]
        yield* addManyDue(20_000, { clientId: paused })
        yield* addManyDue(50, { clientId: other })
        yield* sql`analyze ${t.grants}, ${t.apps}, ${t.accounts}`
        const grantsRead = Effect.map(
          sql<{ count: number }>`select (seq_tup_read + idx_tup_fetch)::int as count from pg_stat_xact_user_tables
            where schemaname = ${schema} and relname = 'grants'`,
          (rows) => rows[0]!.count,
        )
        yield* sql.withTransaction(Effect.gen(function* () {
          const before = yield* grantsRead
          const claimed = yield* claim(20, [{ provider: "microsoft", clientId: paused }])
          assert.strictEqual(claimed.length, 20)
          assert.isTrue(claimed.every(({ app }) => app.clientId === other))
          assert.isAtMost((yield* grantsRead) - before, 200)
        }))
      }))
  }
})
