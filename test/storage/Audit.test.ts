/** The audit log: what it keeps, and that whoever tampers with it is found out. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Stream } from "effect"
import { type AuditHead, type AuditVerdict, verifyChain } from "../../src/domain/AuditChain.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addApp, addGrant } from "../support/grants.ts"

const entry = (outcome = "issued") => ({
  actor: "admin",
  action: "access_token",
  grantId: newId(),
  resource: "graph" as const,
  outcome,
})

/** As the command does it: page by page. */
const verify = (noted?: AuditHead) =>
  Effect.gen(function* () {
    const audit = yield* Audit
    const first = yield* audit.chain({ limit: 3 })
    const links = Stream.unfold(first as typeof first | undefined, (page) =>
      Effect.gen(function* () {
        if (page === undefined) return undefined
        const next = page.nextCursor === null
          ? undefined
          : yield* Effect.orDie(audit.chain({ limit: 3, cursor: page.nextCursor }))
        return [page.items, next] as const
      })).pipe(Stream.flatMap(Stream.fromIterable))
    return yield* verifyChain(first.anchor, links, noted)
  })

const faultOf = ({ fault }: AuditVerdict) => fault === null ? null : [fault.position, fault.code]

await onDatabases("Audit", Audit.layer, (it, engine) => {
  const newAccount = Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    yield* addGrant(yield* addApp(crypto.randomUUID()), { due: 0 })
    const id = newId()
    yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id)
      select ${id}, 'microsoft', ${id}, ${id}, 'graph', id from ${t.grants} limit 1`
    return id
  })

  /** Runs with the log as it is, and puts it back afterwards. */
  const tampering = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const rows = yield* sql<
        { log: string }
      >`select coalesce(json_agg(a order by id), '[]')::text as log from ${t.audit} a`
      return yield* Effect.ensuring(
        effect,
        Effect.orDie(sql`with gone as (delete from ${t.audit}) select 1`.pipe(Effect.andThen(
          sql`insert into ${t.audit} select * from json_populate_recordset(null::${t.audit}, ${rows[0]!.log}::json)`,
        ))),
      )
    })

  it.effect("keeps who was given what, newest first, page by page, of all accounts or of one", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const [one, other] = [yield* newAccount, yield* newAccount]
      const entries = Array.from({ length: 7 }, (_, index) => ({
        ...entry(`outcome_${index}`),
        accountId: index % 2 === 0 ? one : other,
        objectId: newId(),
      }))
      yield* Effect.forEach(entries, audit.record)
      const first = yield* audit.list({ limit: 4 })
      const second = yield* audit.list({ limit: 4, cursor: first.nextCursor! })
      const items = [...first.items, ...second.items]
      assert.isNull(second.nextCursor)
      assert.deepStrictEqual(
        items.map(({ at: _at, id: _id, hash: _hash, subject: _subject, ...rest }) => rest),
        entries.toReversed(),
      )
      assert.isTrue(items.every(({ at, hash }) => DateTime.isDateTime(at) && hash?.length === 64))
      const ofOther = yield* audit.list({ limit: 4, accountId: other.toUpperCase() })
      assert.deepStrictEqual(ofOther.items.map(({ outcome }) => outcome), ["outcome_5", "outcome_3", "outcome_1"])
      for (const accountId of [newId(), "nobody", ""]) {
        assert.deepStrictEqual(yield* audit.list({ limit: 4, accountId }), { items: [], nextCursor: null })
      }
      assert.strictEqual((yield* Effect.flip(audit.list({ limit: 1, cursor: "x" })))._tag, "InvalidCursor")
      assert.strictEqual((yield* Effect.flip(audit.chain({ limit: 1, cursor: "x" })))._tag, "InvalidCursor")
    }))

  it.effect("holds pseudonyms: without the key of an account its ids are found nowhere in the log", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const { sql, tables: t } = yield* Database
      const accountId = yield* newAccount
      const given = { ...entry(), accountId, objectId: newId() }
      yield* audit.record(given)
      const text = (yield* sql<{ row: string }>`select a::text as row from ${t.audit} a`).map(({ row }) => row).join()
      for (const id of [accountId, given.grantId, given.objectId]) assert.notInclude(text, id)
      const subject = (yield* audit.list({ limit: 1, accountId })).items[0]!.subject
      yield* sql`delete from ${t.audit_subjects} where account_id = ${accountId}`
      const left = (yield* audit.list({ limit: 1 })).items[0]!
      assert.deepStrictEqual([left.accountId, left.grantId, left.objectId, left.subject], [
        undefined,
        undefined,
        undefined,
        subject,
      ])
      assert.isNull((yield* verify()).fault)
    }))

  it.effect("stays whole whoever writes, and however many at once", () =>
    Effect.gen(function* () {
      // Two services on one database, as two processes have them.
      const before = (yield* verify()).entries
      const write = Effect.gen(function* () {
        const audit = yield* Audit
        yield* Effect.forEach(Array.from({ length: 150 }, () => entry()), audit.record, { concurrency: 50 })
        return yield* Effect.void
      })
      yield* Effect.all([write, Effect.provide(write, Layer.fresh(Audit.layer))], { concurrency: 2 })
      const { entries, fault } = yield* verify()
      assert.deepStrictEqual([entries - before, fault], [300, null])
    }))

  // The embedded engine has one connection, which an open transaction holds; there no caller shares it.
  if (engine !== "embedded") {
    it.effect("outlives a rollback of the transaction that the caller is in", () =>
      Effect.gen(function* () {
        const audit = yield* Audit
        const { sql } = yield* Database
        const accountId = yield* newAccount
        yield* Effect.andThen(audit.record({ ...entry(), accountId }), Effect.fail("the caller thinks better of it"))
          .pipe(
            sql.withTransaction,
            Effect.ignore,
          )
        assert.strictEqual((yield* audit.list({ limit: 1, accountId })).items.length, 1)
      }))
  }

  it.effect("what was changed, taken out, moved, cut off or written anew is found", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      yield* Effect.forEach(Array.from({ length: 6 }, () => entry()), (yield* Audit).record)
      const { fault, head, noted } = yield* verify()
      assert.deepStrictEqual([fault, noted], [null, null])
      const at = (back: number) => String(BigInt(head.position) - BigInt(back))
      const found = <E, R>(tamper: Effect.Effect<unknown, E, R>) =>
        tampering(Effect.andThen(tamper, Effect.map(verify(head), faultOf)))

      assert.deepStrictEqual((yield* verify(head)).noted, true)
      assert.deepStrictEqual(
        yield* found(sql`update ${t.audit} set outcome = 'refused' where id = ${at(2)}::bigint`),
        [at(2), "changed"],
      )
      assert.deepStrictEqual(
        yield* found(sql`update ${t.audit} set at = at + interval '1 hour' where id = ${at(3)}::bigint`),
        [
          at(3),
          "changed",
        ],
      )
      assert.deepStrictEqual(yield* found(sql`delete from ${t.audit} where id = ${at(3)}::bigint`), [at(3), "missing"])
      assert.deepStrictEqual(
        yield* found(sql`update ${t.audit} set id = case id when ${at(1)}::bigint then -1 else -2 end
          where id in (${at(1)}::bigint, ${at(2)}::bigint)`.pipe(
          Effect.andThen(
            sql`update ${t.audit} set id = case id when -1 then ${at(2)}::bigint else ${
              at(1)
            }::bigint end where id < 0`,
          ),
        )),
        [at(2), "changed"],
      )
      assert.deepStrictEqual(yield* found(sql`delete from ${t.audit} where id > ${at(2)}::bigint`), [
        at(1),
        "truncated",
      ])
      // The end is cut off and written anew: whole in itself, and only the head that was noted shows it.
      const anew = Effect.gen(function* () {
        yield* sql`delete from ${t.audit} where id > ${at(2)}::bigint`
        yield* Effect.forEach([entry("forged"), entry("forged")], (yield* Audit).record)
        assert.isNull((yield* verify()).fault)
      })
      assert.deepStrictEqual(yield* found(anew), [at(0), "rewritten"])
      assert.isNull((yield* verify(head)).fault)
    }))

  it.effect("retention cuts off the beginning, and the rest still verifies", () =>
    Effect.gen(function* () {
      const audit = yield* Audit
      const { sql, tables: t } = yield* Database
      yield* Effect.forEach(Array.from({ length: 4 }, () => entry("old")), audit.record)
      const { head } = yield* verify()
      yield* Effect.forEach(Array.from({ length: 3 }, () => entry("young")), audit.record)
      // Times are part of the chain: what is older than none of them is.
      yield* tampering(Effect.gen(function* () {
        yield* sql`update ${t.audit} set at = at - interval '401 days' where id <= ${head.position}::bigint`
        yield* audit.prune(400)
        const verdict = yield* verify()
        assert.deepStrictEqual([verdict.entries, verdict.fault, verdict.anchor], [3, null, head])
        assert.strictEqual((yield* verify(head)).noted, true)
        const older = { position: String(BigInt(head.position) - 1n), hash: "0".repeat(64) }
        assert.deepStrictEqual([(yield* verify(older)).noted, (yield* verify(older)).fault], [null, null])
        yield* audit.prune(0)
        assert.strictEqual((yield* verify()).entries, 0)
        yield* audit.record(entry())
        assert.deepStrictEqual([(yield* verify()).entries, (yield* verify()).fault], [1, null])
      }))
    }))
})
