/** Migrations: from the first release's rows to the newest tables, by many processes at once, with few rights. */
import { PgClient } from "@effect/sql-pg"
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { migrations } from "../../migrations/mod.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { DueGrants } from "../../src/storage/grants/DueGrants.ts"
import { column, Database, DatabaseError } from "../../src/storage/Database.ts"
import { refreshLag } from "../../src/storage/grants/RefreshLag.ts"
import { addAccount, fleet, process, Script, setDue, statusOf } from "../oauth/fleet.ts"
import { onDatabases, postgresUrl } from "../support/databases.ts"

/** A name that nothing in the database has; the schema is dropped at the end. */
const freshSchema = Effect.gen(function* () {
  const { sql } = yield* Database
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`
  yield* Effect.addFinalizer(() => Effect.ignoreCause(sql`drop schema if exists ${sql(name)} cascade`))
  return name
})

/** The schema as a release left it whose last migration was this one. */
const migrateUpTo = Effect.fnUntraced(function* (schema: string, last: string) {
  const { sql } = yield* Database
  yield* sql`create schema ${sql(schema)}`
  const released = Object.entries(migrations).filter(([name]) => name <= last)
  yield* Migrator.make({})({
    table: `${schema}.migrations`,
    loader: Migrator.fromRecord(Object.fromEntries(released.map(([name, migration]) => [name, migration(schema)]))),
  }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
})

const migrate = Effect.fnUntraced(function* (schema: string, client?: PgClient.PgClient) {
  const { engine, sql } = yield* Database
  return yield* Effect.provideService(Database.fromClient({ schema, engine }), PgClient.PgClient, client ?? sql)
})

const applied = Effect.fnUntraced(function* (schema: string) {
  const { sql } = yield* Database
  const rows = yield* sql<{ id: number; name: string }>`select migration_id as id, name
    from ${sql(`${schema}.migrations`)} order by migration_id`
  return rows.map(({ id, name }) => `${String(id).padStart(4, "0")}_${name}`)
})

const connect = (options: Partial<Parameters<typeof PgClient.layer>[0]> = {}) =>
  Effect.map(
    Layer.build(
      Layer.fresh(
        PgClient.layer({ url: Redacted.make(postgresUrl), maxConnections: 3, multiplex: false, ...options }),
      ),
    ),
    Context.get(PgClient.PgClient),
  )

await onDatabases("Database", Layer.empty, (it, engine) => {
  it.effect("the rows of the first release keep what they say", () =>
    Effect.scoped(Effect.gen(function* () {
      const { sql } = yield* Database
      const schema = yield* freshSchema
      yield* migrateUpTo(schema, "0001_fleet")
      const t = (name: string) => sql(`${schema}.${name}`)
      const [app] = yield* sql<{ id: string }>`insert into ${t("apps")} (id, provider, client_id, tenant)
        values (gen_random_uuid(), 'microsoft', 'an-app', 'common') returning id`
      const names = ["due", "later", "dead", "disabled"]
      yield* sql`insert into ${t("grants")} (id, app_id, secret, token_hash, due_at, failures, failure_class)
        select gen_random_uuid(), ${app!.id}, convert_to(name, 'utf8'), '', due, failures, class from (values
          ('due', now() - interval '1 minute', 0, null),
          ('later', now() + interval '5 hours', 0, null),
          ('dead', null, 3, 'needs_user'),
          ('disabled', null, 0, null)
        ) as old (name, due, failures, class)`
      yield* sql`insert into ${t("accounts")} (id, provider, email, email_key, channel, grant_id, status, sync_due_at)
        select gen_random_uuid(), 'microsoft', name, name, 'graph', id,
          case name when 'dead' then 'needs_reauth' when 'disabled' then 'disabled' else 'active' end,
          case name when 'disabled' then null else now() end
        from (select id, convert_from(secret, 'utf8') as name from ${t("grants")}) old`

      const database = yield* migrate(schema)
      assert.deepStrictEqual(yield* applied(schema), Object.keys(migrations))
      const rows = yield* sql<{ name: string; due: number | null; attempt: number | null; sync: boolean }>`
        select a.email as name, a.sync_due_at is not null as sync, extract(epoch from g.due_at - now())::float8 as due,
          extract(epoch from g.attempt_at - now())::float8 as attempt
        from ${t("accounts")} a join ${t("grants")} g on g.id = a.grant_id
        where g.policy = 'keep-alive' and g.claimed_until is null order by array_position(${
        column("text", names)
      }, a.email)`
      const [due, later, dead, disabled] = rows
      assert.deepStrictEqual(rows.map(({ name }) => name), names)
      for (const row of rows) assert.strictEqual(row.attempt, row.due)
      assert.closeTo(due!.due!, -60, 30)
      assert.closeTo(later!.due!, 5 * 3_600, 30)
      assert(dead!.due! > 0 && dead!.due! < 7 * 86_400, "a dead one is looked at again within a week")
      assert.isNull(disabled!.due)
      assert.deepStrictEqual(rows.map(({ sync }) => sync), [true, true, false, false])
      assert.strictEqual((yield* refreshLag(database)).due, 1)
    })))

  it.effect("a policy of a tag that all grants follow goes on being followed", () =>
    Effect.scoped(Effect.gen(function* () {
      const { sql } = yield* Database
      const schema = yield* freshSchema
      yield* migrateUpTo(schema, "0002_refresh")
      const policies = sql(`${schema}.tag_policies`)
      yield* sql`insert into ${policies} (tag, policy) values ('vip', 'warm')`
      yield* migrate(schema)
      assert.deepStrictEqual(
        yield* sql`select policy, version = followed_version as followed from ${policies}`,
        [{ policy: "warm", followed: true }],
      )
    })))

  it.effect("several processes that start at once migrate once", () =>
    Effect.scoped(Effect.gen(function* () {
      const schema = yield* freshSchema
      const clients = engine === "postgres"
        ? yield* Effect.all([connect(), connect(), connect()])
        : [undefined, undefined, undefined]
      const databases = yield* Effect.forEach(clients, (client) => migrate(schema, client), {
        concurrency: "unbounded",
      })
      assert.deepStrictEqual(yield* applied(schema), Object.keys(migrations))
      for (const { sql, tables: t } of databases) {
        assert.deepStrictEqual(yield* sql`select value from ${t.meta} where name = 'epoch'`, [{ value: "1" }])
      }
    })))

  it.effect("two installations live in schemas of their own", () =>
    Effect.scoped(Effect.gen(function* () {
      const [one, other] = [yield* migrate(yield* freshSchema), yield* migrate(yield* freshSchema)]
      const { sql } = yield* Database
      yield* sql`insert into ${one.tables.apps} (id, provider, client_id, tenant)
        values (gen_random_uuid(), 'microsoft', 'x', 'common')`
      assert.deepStrictEqual(yield* sql`select count(*)::int as apps from ${other.tables.apps}`, [{ apps: 0 }])
      assert.notStrictEqual(one.changesLock, other.changesLock)
    })))

  if (engine === "postgres") {
    it.effect("a role that may not create schemas works in the one that is there, and is told where there is none", () =>
      Effect.scoped(Effect.gen(function* () {
        const { sql } = yield* Database
        const schema = yield* freshSchema
        const role = yield* Effect.acquireRelease(
          Effect.tap(
            Effect.succeed(`test_${crypto.randomUUID().replaceAll("-", "")}`),
            (name) => sql`create role ${sql(name)}`,
          ),
          (name) =>
            Effect.ignoreCause(Effect.andThen(sql`drop owned by ${sql(name)} cascade`, sql`drop role ${sql(name)}`)),
        )
        const client = yield* connect({ startupParameters: { role } })
        assert.deepStrictEqual(yield* client`select current_user::text as role`, [{ role }])
        const refused = yield* Effect.flip(migrate(schema, client))
        assert.instanceOf(refused, DatabaseError)
        assert.include(refused.message, "the right to create its schema and tables")

        yield* sql`create schema ${sql(schema)}`
        yield* sql`grant usage, create on schema ${sql(schema)} to ${sql(role)}`
        yield* migrate(schema, client)
        assert.deepStrictEqual(yield* applied(schema), Object.keys(migrations))
      })))

    it.effect("all works without prepared statements, as a pooler may want it", () =>
      Effect.scoped(Effect.gen(function* () {
        const schema = yield* freshSchema
        const database = yield* migrate(schema, yield* connect({ prepare: false }))
        yield* Effect.gen(function* () {
          const accounts = yield* Accounts
          const member = yield* addAccount()
          yield* setDue(member, -60)
          const [claimed] = yield* (yield* DueGrants).claim(10, 60, [{ provider: "google", clientId: "another" }])
          assert(claimed?.grantId === member.grantId)
          yield* (yield* process(new Script())).refresh(member.grantId, claimed.resource)
          assert.strictEqual(yield* statusOf(member), "active")
          assert.strictEqual(yield* accounts.bringForward("refresh"), 1)
        }).pipe(Effect.provide(Layer.fresh(fleet).pipe(Layer.provideMerge(Layer.succeed(Database, database)))))
      })))
  }
})
