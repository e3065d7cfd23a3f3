import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { Database } from "../../src/storage/Database.ts"
import { Events } from "../../src/storage/Events.ts"
import { Sweeps } from "../../src/storage/Sweeps.ts"
import { onDatabases } from "../support/databases.ts"

const entry = (accountId: string, outcome = "issued") => ({
  actor: "admin",
  action: "access_token" as const,
  accountId,
  grantId: newId(),
  resource: "graph" as const,
  outcome,
})

const sweeps = Sweeps.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({}))))

await onDatabases("Audit", Layer.mergeAll(Audit.layer, Events.layer, sweeps), (it, engine) => {
  it.effect("keeps who was given what, newest first, page by page, of all accounts or of one", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const [one, other] = [newId(), newId()]
      const entries = Array.from({ length: 7 }, (_, index) => entry(index % 2 === 0 ? one : other, `outcome_${index}`))
      yield* Effect.forEach(entries, audit.record)
      const first = yield* audit.list({ limit: 4 })
      const second = yield* audit.list({ limit: 4, cursor: first.nextCursor! })
      const items = [...first.items, ...second.items]
      assert.isNull(second.nextCursor)
      assert.deepStrictEqual(items.map(({ at: _at, id: _id, ...rest }) => rest), entries.toReversed())
      assert.isTrue(items.every(({ at }) => DateTime.isDateTime(at)))
      const ofOther = yield* audit.list({ limit: 4, accountId: other.toUpperCase() })
      assert.deepStrictEqual(ofOther.items.map(({ outcome }) => outcome), ["outcome_5", "outcome_3", "outcome_1"])
      for (const accountId of [newId(), "nobody", ""]) {
        assert.deepStrictEqual(yield* audit.list({ limit: 4, accountId }), { items: [], nextCursor: null })
      }
      assert.strictEqual((yield* Effect.flip(audit.list({ limit: 1, cursor: "x" })))._tag, "InvalidCursor")
    }))

  // The embedded engine has one connection, which an open transaction holds; there no caller shares it.
  it.effect.skipIf(engine === "embedded")(
    "outlives a rollback of the transaction that the caller is in",
    () =>
      Effect.gen(function* () {
        const audit = yield* Audit
        const { sql } = yield* Database
        const accountId = newId()
        yield* Effect.andThen(audit.record(entry(accountId)), Effect.fail("the caller thinks better of it")).pipe(
          sql.withTransaction,
          Effect.ignore,
        )
        assert.strictEqual((yield* audit.list({ limit: 1, accountId })).items.length, 1)
      }),
  )

  it.effect("events and entries are swept after 400 days", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const events = yield* Events
      const { records } = yield* Sweeps
      const { sql, tables: t } = yield* Database
      const [old, young] = [newId(), newId()]
      const age = (days: number) => sql`now() - make_interval(days => ${days})`
      for (const [accountId, days] of [[old, 401], [young, 399]] as const) {
        yield* audit.record(entry(accountId))
        yield* events.record({ kind: "app.faulted", subject: accountId, message: "m" })
        yield* sql`update ${t.audit} set at = ${age(days)} where account_id = ${accountId}`
        yield* sql`update ${t.events} set at = ${age(days)} where subject = ${accountId}`
      }
      yield* records
      const audited = (yield* audit.list({ limit: 100 })).items.map(({ accountId }) => accountId)
      const told = (yield* events.list({ limit: 100 })).items.map(({ subject }) => subject)
      for (const left of [audited, told]) {
        assert.include(left, young)
        assert.notInclude(left, old)
      }
    }))
})
