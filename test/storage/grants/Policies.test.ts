/** Each way in which the policy of a grant must follow, and when the grant is due then. */
import { assert } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Redacted } from "effect"
import type { RefreshPolicy } from "../../../src/domain/Account.ts"
import { newId } from "../../../src/domain/Ids.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { column, Database, orDie } from "../../../src/storage/Database.ts"
import { ImportStaging } from "../../../src/storage/runs/ImportStaging.ts"
import { Policies } from "../../../src/storage/grants/Policies.ts"
import { Runs } from "../../../src/storage/runs/Runs.ts"
import { fleet } from "../../oauth/fleet.ts"
import { onDatabases } from "../../support/databases.ts"

const minute = 60
const hour = 3_600
const day = 86_400

const layer = Policies.layer.pipe(Layer.provideMerge(fleet), Layer.orDie)

interface Member {
  readonly id: string
  readonly grantId: string
  readonly email: string
}

const row = (email: string, tags: ReadonlyArray<string>) => ({
  email,
  clientId: "11111111-2222-3333-4444-555555555555",
  tenant: "common",
  provider: "microsoft" as const,
  channel: "graph" as const,
  refreshToken: Redacted.make(newId()),
  tags,
})

const memberOf = Effect.fnUntraced(function* (email: string): Effect.fn.Return<Member, never, Database> {
  const { sql, tables: t } = yield* Database
  const rows = yield* orDie(
    sql<{ id: string; grant_id: string }>`select id, grant_id from ${t.accounts} where email = ${email}`,
  )
  return { id: rows[0]!.id, grantId: rows[0]!.grant_id, email }
})

/** An active account, redeemed `refreshed` seconds ago, whose access token for Graph ends in an hour. */
const addAccount = (tags: ReadonlyArray<string> = [], refreshed = 0) =>
  orDie(Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    const email = `${newId()}@example.com`
    yield* (yield* ImportStaging).storeOne(row(email, tags))
    const member = yield* memberOf(email)
    yield* sql`update ${t.accounts} set status = 'active' where id = ${member.id}`
    yield* sql`update ${t.grants} set refreshed_at = now() - make_interval(secs => ${refreshed}::float8),
      due_at = now() + interval '20 hours', attempt_at = now() + interval '20 hours' where id = ${member.grantId}`
    yield* accessToken(member, "graph", hour)
    return member
  }))

const accessToken = Effect.fnUntraced(function* ({ grantId }: Member, resource: string, seconds: number) {
  const { sql, tables: t } = yield* Database
  yield* sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at, renew_at)
    values (${grantId}, ${resource}, ${new Uint8Array()}, now() + make_interval(secs => ${seconds}::float8),
      now() + make_interval(secs => ${seconds - 600}::float8))
    on conflict (grant_id, resource) do update set expires_at = excluded.expires_at,
      renew_at = excluded.renew_at`
}, orDie)

/** Another account on the same grant, as a shared mailbox is. */
const addShared = Effect.fnUntraced(function* ({ grantId }: Member) {
  const { sql, tables: t } = yield* Database
  const id = newId()
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    values (${id}, 'microsoft', ${id}, ${id}, 'graph', ${grantId}, 'active')`
  return { id, grantId, email: id }
}, orDie)

/** Policy, and seconds until it is due and tried; null = it rests. */
const grantOf = Effect.fnUntraced(function* ({ grantId }: Pick<Member, "grantId">) {
  const { sql, tables: t } = yield* Database
  const rows = yield* sql<{ policy: RefreshPolicy; due: number | null; attempt: number | null }>`
    select policy, extract(epoch from due_at - now())::float8 as due,
      extract(epoch from attempt_at - now())::float8 as attempt from ${t.grants} where id = ${grantId}`
  return rows[0]!
}, orDie)

const policyOf = (member: Pick<Member, "grantId">) => Effect.map(grantOf(member), ({ policy }) => policy)

/** Due, and tried, in `seconds`, give or take the time that the test took. */
const assertDue = Effect.fnUntraced(function* (member: Pick<Member, "grantId">, from: number, to = from) {
  const { due, attempt } = yield* grantOf(member)
  assert.isNotNull(due)
  assert.strictEqual(attempt, due)
  assert.isAtLeast(due!, from - 60)
  assert.isAtMost(due!, to + 1)
})

const patch = Effect.fnUntraced(function* ({ id }: Member, change: Parameters<Accounts["Service"]["patch"]>[1]) {
  return Option.getOrThrow(yield* (yield* Accounts).patch(id, change))
})

const setTag = (tag: string, policy: RefreshPolicy) => Effect.flatMap(Policies, ({ set }) => set(tag, policy))
const unsetTag = (tag: string) => Effect.flatMap(Policies, ({ unset }) => unset(tag))

/** Imports one row as a run of its own. */
const importRow = Effect.fnUntraced(function* (email: string, tags: ReadonlyArray<string>, verify: boolean) {
  const staging = yield* ImportStaging
  const runs = yield* Runs
  const begun = yield* staging.begin({ kind: "import", trigger: "test" })
  assert(begun._tag === "New")
  yield* staging.append(begun.upload, [{ _tag: "ImportRow", line: 1, ...row(email, tags) }])
  const { id } = yield* staging.seal(begun.upload, "")
  const owned = (yield* runs.claim("import", 100)).find((run) => run.id === id)!
  yield* staging.applyNext(owned, { onDuplicate: "update", dryRun: false, verify })
  yield* runs.finish(owned, "completed")
  return yield* memberOf(email)
})

await onDatabases("Policies", layer, (it, engine) => {
  it.effect("an account follows its own policy, and null is that of its tags", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      const before = yield* grantOf(member)
      assert.strictEqual(before.policy, "keep-alive")
      const warm = yield* patch(member, { refreshPolicy: "warm" })
      assert.strictEqual(warm.refreshPolicy, "warm")
      assert.strictEqual(warm.token.policy, "warm")
      const untouched = yield* patch(member, { tags: ["a"] })
      assert.strictEqual(untouched.refreshPolicy, "warm")
      const cold = yield* patch(member, { refreshPolicy: null })
      assert.notProperty(cold, "refreshPolicy")
      assert.strictEqual(cold.token.policy, "keep-alive")
    }))

  it.effect("else that of its tags, of which warm wins", () =>
    Effect.gen(function* () {
      const [vip, slow] = [newId(), newId()]
      const tagged = yield* addAccount([vip])
      const other = yield* addAccount(["other"])
      assert.deepInclude(yield* setTag(vip, "warm"), { tag: vip, policy: "warm" })
      assert.strictEqual(yield* policyOf(tagged), "warm")
      assert.strictEqual(yield* policyOf(other), "keep-alive")
      yield* setTag(slow, "keep-alive")
      assert.strictEqual((yield* patch(other, { tags: [slow, vip] })).token.policy, "warm")
      assert.strictEqual((yield* patch(other, { refreshPolicy: "keep-alive" })).token.policy, "keep-alive")
      assert.strictEqual((yield* patch(other, { refreshPolicy: null })).token.policy, "warm")
      assert.strictEqual((yield* patch(other, { tags: [slow] })).token.policy, "keep-alive")
      yield* setTag(vip, "keep-alive")
      assert.strictEqual(yield* policyOf(tagged), "keep-alive")
      yield* setTag(vip, "warm")
      assert.strictEqual(yield* policyOf(tagged), "warm")
      assert.isTrue(yield* unsetTag(vip))
      assert.strictEqual(yield* policyOf(tagged), "keep-alive")
      assert.isFalse(yield* unsetTag(vip))
    }))

  it.effect("of several accounts on one grant, those that are not disabled decide", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const one = yield* addAccount()
      const other = yield* addShared(one)
      yield* patch(other, { refreshPolicy: "warm" })
      assert.strictEqual(yield* policyOf(one), "warm")
      yield* patch(other, { status: "disabled" })
      assert.strictEqual(yield* policyOf(one), "keep-alive")
      yield* patch(other, { status: "active" })
      assert.strictEqual(yield* policyOf(one), "warm")
      assert.isTrue(yield* accounts.remove(other.id))
      assert.strictEqual(yield* policyOf(one), "keep-alive")
    }))

  it.effect("a resting grant goes on resting, and is due at once when it is enabled", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* patch(member, { status: "disabled" })
      yield* patch(member, { refreshPolicy: "warm" })
      assert.deepStrictEqual(yield* grantOf(member), { policy: "keep-alive", due: null, attempt: null })
      yield* patch(member, { status: "active" })
      assert.strictEqual(yield* policyOf(member), "warm")
      yield* assertDue(member, 0)
      yield* patch(member, { status: "disabled" })
      assert.deepStrictEqual(yield* grantOf(member), { policy: "keep-alive", due: null, attempt: null })
    }))

  it.effect("an import brings tags, and with them a policy", () =>
    Effect.gen(function* () {
      const vip = newId()
      const tagged = `${newId()}@example.com`
      yield* setTag(vip, "warm")
      // Whoever verifies redeems right after, so the fallback is left where it is.
      const verified = yield* importRow(tagged, [vip], true)
      assert.strictEqual(yield* policyOf(verified), "warm")
      yield* assertDue(verified, 12 * hour, day)
      const unverified = yield* importRow(`${newId()}@example.com`, [vip], false)
      assert.strictEqual(yield* policyOf(unverified), "warm")
      yield* assertDue(unverified, 0)
      const plain = yield* importRow(`${newId()}@example.com`, ["other"], false)
      assert.strictEqual(yield* policyOf(plain), "keep-alive")

      const member = yield* addAccount()
      yield* importRow(member.email, [vip], true)
      assert.strictEqual(yield* policyOf(member), "warm")
      const own = yield* addAccount()
      yield* patch(own, { refreshPolicy: "keep-alive" })
      yield* importRow(own.email, [vip], true)
      assert.strictEqual(yield* policyOf(own), "keep-alive")
      yield* unsetTag(vip)
      assert.strictEqual(yield* policyOf(member), "keep-alive")
    }))

  it.effect("a new token for a warm account is due at once, unless its import verifies it", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* patch(member, { refreshPolicy: "warm" })
      yield* importRow(member.email, [], false)
      assert.strictEqual(yield* policyOf(member), "warm")
      yield* assertDue(member, 0)
      yield* importRow(member.email, [], true)
      yield* assertDue(member, 12 * hour, day)
    }))

  it.effect("a warm grant is due the margin before the first of its access tokens ends", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* patch(member, { refreshPolicy: "warm" })
      yield* assertDue(member, 50 * minute)
      // Nobody reads through IMAP, so that token is of no account.
      const unused = yield* addAccount()
      yield* accessToken(unused, "outlook-imap", 5 * minute)
      yield* patch(unused, { refreshPolicy: "warm" })
      yield* assertDue(unused, 50 * minute)

      const ending = yield* addAccount()
      yield* accessToken(ending, "graph", 5 * minute)
      yield* patch(ending, { refreshPolicy: "warm" })
      yield* assertDue(ending, 0)

      const both = yield* addAccount()
      yield* patch(yield* addShared(both), { channel: "imap" })
      yield* accessToken(both, "outlook-imap", 30 * minute)
      yield* patch(both, { refreshPolicy: "warm" })
      yield* assertDue(both, 20 * minute)
      const half = yield* addAccount()
      yield* patch(yield* addShared(half), { channel: "imap" })
      yield* patch(half, { refreshPolicy: "warm" })
      yield* assertDue(half, 0)
    }))

  it.effect("a warm account whose channel changes gets a token for it at once", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* patch(member, { refreshPolicy: "warm" })
      yield* patch(member, { channel: "imap" })
      yield* assertDue(member, 0)
      const cold = yield* addAccount()
      yield* patch(cold, { channel: "imap" })
      yield* assertDue(cold, 20 * hour)
    }))

  it.effect("a grant that is only kept alive is due in the last tenth of its period", () =>
    Effect.gen(function* () {
      const members = yield* Effect.replicateEffect(addAccount([], 2 * hour), 5)
      for (const member of members) {
        yield* patch(member, { refreshPolicy: "warm" })
        yield* patch(member, { refreshPolicy: null })
        yield* assertDue(member, 0.9 * day - 2 * hour, day - 2 * hour)
      }
      const dues = yield* Effect.forEach(members, (member) => Effect.map(grantOf(member), ({ due }) => due))
      assert.isAbove(new Set(dues.map((due) => Math.round(due! / 10))).size, 1)
      const overdue = yield* addAccount([], 3 * day)
      yield* patch(overdue, { refreshPolicy: "warm" })
      yield* patch(overdue, { refreshPolicy: null })
      yield* assertDue(overdue, 0)
    }))

  it.effect("a failing grant keeps its backoff", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const member = yield* addAccount()
      yield* sql`update ${t.grants} set failures = 2, attempt_at = now() + interval '15 hours' where id = ${member.grantId}`
      yield* patch(member, { refreshPolicy: "warm" })
      const { policy, due, attempt } = yield* grantOf(member)
      assert.strictEqual(policy, "warm")
      assert.isAtMost(due!, 50 * minute)
      assert.isAtLeast(attempt!, 15 * hour - 60)
    }))

  it.effect("what does not change the policy leaves the due time alone", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* patch(member, { tags: ["a"] })
      yield* patch(member, { refreshPolicy: "keep-alive" })
      yield* assertDue(member, 20 * hour)
    }))

  it.effect("a tag policy over very many accounts is followed by some at a time", () =>
    Effect.gen(function* () {
      const { schema, sql, tables: t } = yield* Database
      const tag = newId()
      const { grantId } = yield* addAccount()
      yield* sql`with new as (
          insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at)
          select gen_random_uuid(), app_id, '', '', now() + interval '1 day', now() + interval '1 day'
          from ${t.grants}, generate_series(1, 2500) where id = ${grantId} returning id
        )
        insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status, tags)
        select gen_random_uuid(), 'microsoft', id::text, id::text, 'graph', id, 'active', array[${tag}] from new`
      const name = (text: string) => sql(`${schema}.${text}`)
      yield* sql`create table ${name("statements")} (transaction xid8)`
      yield* sql`create function ${name("counted")}() returns trigger language plpgsql as ${
        sql.literal(`$$ begin insert into ${schema}.statements values (pg_current_xact_id()); return null; end $$`)
      }`
      yield* sql`create trigger counted after update on ${t.grants} for each statement execute function ${
        name("counted")
      }()`
      const counts = sql<{ warm: number; statements: number; transactions: number }>`select
        (select count(*)::int from ${t.grants} g join ${t.accounts} a on a.grant_id = g.id
          where a.tags @> ${column("text", [tag])} and g.policy = 'warm' and g.due_at <= now()) as warm,
        (select count(*)::int from ${name("statements")}) as statements,
        (select count(distinct transaction)::int from ${name("statements")}) as transactions`
      yield* setTag(tag, "warm")
      assert.deepStrictEqual(yield* counts, [{ warm: 2_500, statements: 3, transactions: 3 }])
      yield* unsetTag(tag)
      assert.deepStrictEqual(yield* counts, [{ warm: 0, statements: 6, transactions: 6 }])
      yield* sql`drop trigger counted on ${t.grants}`
    }))

  it.effect("a change that was broken off before all had followed is finished later", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const policies = yield* Policies
      const [set, unset, recent] = [newId(), newId(), newId()]
      const [one, two, three] = [yield* addAccount([set]), yield* addAccount([unset]), yield* addAccount([recent])]
      yield* setTag(unset, "warm")
      // As a process leaves it that ends with the row committed and no grant looked at.
      yield* sql`insert into ${t.tag_policies} (tag, policy, changed_at)
        values (${set}, 'warm', now() - interval '1 hour'), (${recent}, 'warm', now())`
      yield* sql`update ${t.tag_policies} set policy = null, version = 2, changed_at = now() - interval '1 hour'
        where tag = ${unset}`
      const shown = Effect.map(
        Effect.orDie(policies.list({ limit: 500 })),
        ({ items }) => [set, unset, recent].filter((tag) => items.some((item) => item.tag === tag)),
      )
      assert.deepStrictEqual(yield* shown, [set, recent])
      assert.isFalse(yield* unsetTag(unset))

      yield* policies.followUnfinished
      assert.strictEqual(yield* policyOf(one), "warm")
      assert.strictEqual(yield* policyOf(two), "keep-alive")
      // Whoever made this change is still at it.
      assert.strictEqual(yield* policyOf(three), "keep-alive")
      const rows = sql<{ tag: string }>`select tag from ${t.tag_policies}
        where tag = any(${column("text", [set, unset])}) and followed_version = version`
      assert.deepStrictEqual(yield* rows, [{ tag: set }])
    }))

  it.effect("a tag that has no policy any more can have one again, before all have followed", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const tag = newId()
      const member = yield* addAccount([tag])
      yield* setTag(tag, "warm")
      yield* sql`update ${t.tag_policies} set policy = null, version = 2, created_at = now() - interval '1 day'
        where tag = ${tag}`
      const again = yield* setTag(tag, "keep-alive")
      assert.isAbove(again.createdAt.epochMilliseconds, Date.now() - hour * 1_000)
      assert.strictEqual(yield* policyOf(member), "keep-alive")
    }))

  it.effect("the list holds each tag once, over its pages", () =>
    Effect.gen(function* () {
      const policies = yield* Policies
      const prefix = newId()
      const tags = Array.from({ length: 7 }, (_, index) => `${prefix} Ä${index}`)
      for (const tag of tags) yield* setTag(tag, "keep-alive")
      const seen: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* Effect.orDie(policies.list({ limit: 3, cursor }))
        seen.push(...page.items.map(({ tag }) => tag))
        cursor = page.nextCursor ?? undefined
      } while (cursor !== undefined)
      assert.deepStrictEqual(seen.filter((tag) => tag.startsWith(prefix)), tags)
      assert.deepStrictEqual(seen, [...new Set(seen)])
      const error = yield* Effect.flip(policies.list({ limit: 3, cursor: "x" }))
      assert.strictEqual(error._tag, "InvalidCursor")
    }))

  if (engine === "postgres") {
    it.effect("a tag policy waits for accounts that are being stored, and sees them", () =>
      Effect.gen(function* () {
        const { sql, schema } = yield* Database
        const staging = yield* ImportStaging
        const tag = newId()
        const email = `${newId()}@example.com`
        const isWaiting = sql<{ count: number }>`select count(*)::int as count from pg_locks
          where not granted and relation = ${`${schema}.tag_policies`}::regclass`
        const setting = yield* sql.withTransaction(Effect.gen(function* () {
          yield* staging.storeOne(row(email, [tag]))
          const fiber = yield* Effect.forkChild(
            Effect.updateContext(
              (yield* Policies).set(tag, "warm"),
              (context: Context.Context<never>) => Context.omit(sql.transactionService)(context),
            ),
          )
          while ((yield* isWaiting)[0]!.count === 0) yield* Effect.sleep("20 millis")
          return fiber
        }))
        yield* Fiber.join(setting)
        assert.strictEqual(yield* policyOf(yield* memberOf(email)), "warm")
      }))
  }
})
