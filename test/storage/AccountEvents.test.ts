/** What is told of single accounts, and since when their status is what it is. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import type { FailureClass } from "../../src/domain/FailureClass.ts"
import { GrantStore, type Settlement } from "../../src/oauth/GrantStore.ts"
import { tellChanged } from "../../src/storage/AccountEvents.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { column, Database, orDie } from "../../src/storage/Database.ts"
import { Events } from "../../src/storage/Events.ts"
import {
  accountOf,
  addAccount,
  addSharer,
  failing,
  fleet,
  importAgain,
  type Member,
  process,
  rotated,
  Script,
} from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"

const layer = Events.layer.pipe(Layer.provideMerge(fleet), Layer.orDie)

/** What was told of an account, oldest first. */
const toldOf = ({ id }: Pick<Member, "id">) =>
  Effect.map(
    Effect.orDie(Effect.flatMap(Events, (events) => events.list({ limit: 500, subject: id }))),
    ({ items }) => items.toReversed(),
  )

const kindsOf = (member: Pick<Member, "id">) =>
  Effect.map(toldOf(member), (events) => events.map(({ kind }) => kind.slice("account.".length)))

const patch = ({ id }: Member, status: "active" | "disabled") =>
  Effect.flatMap(Accounts, (accounts) => accounts.patch(id, { status }))

/** Lets minutes pass since the status last changed. */
const age = ({ id }: Member) =>
  Effect.flatMap(
    Database,
    ({ sql, tables: t }) =>
      orDie(sql`update ${t.accounts} set status_since = status_since - interval '5 minutes' where id = ${id}`),
  )

await onDatabases("Account events", layer, (it) => {
  it.effect("a change of status is told once, with its cause; a failure that repeats is not", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const refresh = (member: Member, failureClass?: FailureClass) => {
        script.answer = failureClass === undefined ? rotated : failing(failureClass, { providerCode: "AADSTS1" })
        return Effect.ignore(tokens.refresh(member.grantId, "graph"))
      }
      const member = yield* addAccount()
      yield* refresh(member)
      assert.deepStrictEqual(yield* kindsOf(member), [], "a first import")
      yield* refresh(member, "needs_user")
      yield* refresh(member, "needs_user")
      const [told, ...others] = yield* toldOf(member)
      assert.deepStrictEqual(others, [])
      assert.strictEqual(told!.code, "AADSTS1")
      assert.strictEqual(told!.message, `${member.email} must be signed in again: the provider said needs_user`)
      yield* refresh(member, "transient")
      yield* refresh(member)
      yield* refresh(member)
      yield* refresh(member, "blocked")
      yield* refresh(member, "needs_user")
      yield* refresh(member)
      assert.deepStrictEqual(yield* kindsOf(member), [
        "needs_reauth",
        "recovered",
        "blocked",
        "needs_reauth",
        "recovered",
      ])
      const recovered = (yield* toldOf(member)).at(-1)!
      assert.notProperty(recovered, "code")
      assert.include(recovered.message, member.email)
    }))

  it.effect("a token that an import brings is a recovery once it has worked, and only where something had been told", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const [dead, sound] = [yield* addAccount(), yield* addAccount()]
      yield* tokens.refresh(sound.grantId, "graph")
      script.answer = failing("needs_user")
      yield* Effect.flip(tokens.refresh(dead.grantId, "graph"))
      for (const member of [dead, sound]) {
        yield* importAgain(member, `${member.name}-again.1`)
        assert.strictEqual((yield* accountOf(member)).status, "pending")
      }
      assert.deepStrictEqual(yield* kindsOf(dead), ["needs_reauth"])
      script.answer = rotated
      for (const member of [dead, sound]) yield* tokens.refresh(member.grantId, "graph")
      assert.deepStrictEqual(yield* kindsOf(dead), ["needs_reauth", "recovered"])
      assert.deepStrictEqual(yield* kindsOf(sound), [])
    }))

  it.effect("statusSince moves with the status, and with nothing else", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const failed = (failureClass: FailureClass) =>
        Effect.suspend(() => {
          script.answer = failing(failureClass, { reach: "grant" })
          return Effect.exit(tokens.refresh(member.grantId, "graph"))
        })
      const ok = Effect.suspend(() => {
        script.answer = rotated
        return tokens.refresh(member.grantId, "graph")
      })
      const steps = [
        ["a fault that passes", failed("transient"), false],
        ["the first redemption", ok, true],
        ["another", ok, false],
        ["an unknown refusal", failed("unknown"), false],
        ["a dead grant", failed("needs_user"), true],
        ["still dead", failed("needs_user"), false],
        ["blocked", failed("blocked"), true],
        ["alive", ok, true],
        ["off", patch(member, "disabled"), true],
        ["off as it was", patch(member, "disabled"), false],
        ["on", patch(member, "active"), true],
        ["on as it was", patch(member, "active"), false],
        ["a new token", importAgain(member, "new.1"), true],
        ["a newer token", importAgain(member, "newer.1"), false],
        ["it works", ok, true],
      ] as const
      for (const [name, step, moves] of steps) {
        yield* age(member)
        const before = yield* accountOf(member)
        yield* step
        const after = yield* accountOf(member)
        assert.strictEqual(after.status !== before.status, moves, `${name}: ${before.status} to ${after.status}`)
        assert.strictEqual(DateTime.isGreaterThan(after.statusSince, before.statusSince), moves, name)
      }
    }))

  it.effect("all accounts of a grant are told of, and those that are off are not", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const [other, off] = [yield* addSharer(member, "graph"), yield* addSharer(member, "imap")]
      yield* tokens.refresh(member.grantId, "graph")
      yield* patch(off, "disabled")
      script.answer = failing("needs_user")
      yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
      assert.deepStrictEqual(yield* kindsOf(member), ["needs_reauth"])
      assert.deepStrictEqual(yield* kindsOf(other), ["needs_reauth"])
      assert.deepStrictEqual(yield* kindsOf(off), [])
    }))

  it.effect("of thousands at once each is told once, however often the same answers are stored", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const store = yield* GrantStore
      const seed = yield* addAccount()
      const count = 2_000
      // With a token that can be read: that of the seed belongs to another grant, and leases do not look inside.
      const ids = yield* orDie(sql<{ id: string; grant_id: string }>`with new as (
          insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at, refreshed_at)
          select gen_random_uuid(), app_id, secret, token_hash, now(), now(), now()
          from ${t.grants}, generate_series(1, ${count}::int) n where id = ${seed.grantId} returning id
        )
        insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
        select gen_random_uuid(), 'microsoft', id::text, id::text, 'graph', id, 'active' from new returning id, grant_id`)
      const answers = yield* store.lease(ids.map(({ grant_id }) => grant_id))
      const batch = answers.flatMap((answer): ReadonlyArray<Settlement> =>
        answer._tag === "Unreadable"
          ? [{
            _tag: "Failed",
            grant: answer.grant,
            resource: "graph",
            class: "needs_user",
            code: "AADSTS50173",
            message: "the user's sign-ins were revoked; the user must sign in again",
            traceId: undefined,
            correlationId: undefined,
            refreshToken: undefined,
            recorded: true,
            status: "needs_reauth",
            attemptInSeconds: 86_400,
            movesDue: true,
          }]
          : []
      )
      assert.lengthOf(batch, count)
      for (let time = 0; time < 2; time++) {
        const settled = yield* store.settle(batch)
        assert.isTrue(settled.every(({ applied }) => applied))
      }
      const [told] = yield* orDie(sql<{ events: number; subjects: number; changes: number }>`
        select count(*)::int as events, count(distinct subject)::int as subjects,
          (select count(*)::int from ${t.changes} where account_id = any(${
        column("uuid", ids.map(({ id }) => id))
      })) as changes
        from ${t.events} where kind = 'account.needs_reauth' and code = 'AADSTS50173'`)
      assert.deepStrictEqual(told, { events: count, subjects: count, changes: count })
    }))

  it.effect("a caller's own change is told with its transaction, or not at all", () =>
    Effect.gen(function* () {
      const database = yield* Database
      const { id, email } = yield* addAccount()
      const changed = { id, email, before: "needs_reauth", after: "active" } as const
      const tell = orDie(tellChanged(database, [changed, { ...changed, after: "pending" }]))
      yield* Effect.exit(database.sql.withTransaction(Effect.andThen(tell, Effect.fail("rolled back"))))
      assert.deepStrictEqual(yield* kindsOf({ id }), [])
      yield* orDie(database.sql.withTransaction(tell))
      assert.deepStrictEqual(yield* kindsOf({ id }), ["recovered"])
      yield* orDie(tellChanged(database, []))
    }))
})
