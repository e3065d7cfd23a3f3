/** A rotation of the encryption key whose process is killed: another one goes on with it, and every secret opens by the new key. */
import { assert, describe, it } from "@effect/vitest"
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { EncryptionRotation } from "../../src/domain/EncryptionRotation.ts"
import { newId } from "../../src/domain/Ids.ts"
import { hmacOf, sealingKey, sealWith } from "../../src/oauth/Cipher.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { column, Database } from "../../src/storage/Database.ts"
import { engines } from "../support/engines.ts"
import { keysOf, processWith } from "../support/keys.ts"
import { eventually, install, runToEnd, type Service } from "../support/processes.ts"
import { usableEngines } from "../support/databases.ts"

const grants = 6_000
const path = "/v1/encryption/rotation"
const one = keysOf("k1")
const both = keysOf("k2", "k1")

const engine = "postgres"

describe.runIf(engines.includes(engine) && (await usableEngines).includes(engine))("A killed rotation", () => {
  it.live("is gone on with", () =>
    Effect.gen(function* () {
      const installation = yield* install(engine, "http://127.0.0.1:9", { MAILFLEET_ENCRYPTION_KEYS: one })
      const openDatabase = (sql: PgClient.PgClient) =>
        Database.fromClient({ schema: installation.schema, engine }).pipe(
          Effect.provideService(PgClient.PgClient, sql),
          Effect.orDie,
        )

      const key = sealingKey(1, "k1", new TextEncoder().encode("k1".padEnd(32, "-")))
      const ids = Array.from({ length: grants }, newId).toSorted()
      const sealed = ids.map((id) => sealWith(key, `grant:${id}`, `grant:${id}`, `token of ${id}`))
      const hash = hmacOf(new Uint8Array(32))
      yield* installation.query((sql, table) =>
        Effect.gen(function* () {
          const database = yield* openDatabase(sql)
          yield* Effect.provideService(processWith(one), Database, database)
          const app = newId()
          yield* sql`insert into ${
            table("apps")
          } (id, provider, client_id, tenant) values (${app}, 'microsoft', ${app}, 'common')`
          yield* sql`insert into ${table("grants")} (id, app_id, secret, token_hash)
            select id, ${app}, secret, hash from unnest(${column("uuid", ids)}, ${column("bytea", sealed)},
              ${column("bytea", ids.map((id) => hash(id).slice(0, 16)))}) as n (id, secret, hash)`
        }).pipe(Effect.scoped)
      )

      const env = { MAILFLEET_ENCRYPTION_KEYS: both }
      const rotation = (service: Service) => service.call(EncryptionRotation, path)
      let service = yield* installation.start(env)
      assert.strictEqual(
        (yield* service.call(EncryptionRotation, path, { method: "POST", status: 202 })).state,
        "running",
      )
      yield* eventually("some are sealed anew", rotation(service), ({ resealed }) => resealed > 1_000)
      yield* service.kill
      const left = yield* installation.query((sql, table) =>
        sql<{ count: number }>`select count(*)::int as count from ${table("grants")} where get_byte(secret, 0) = 1`
      )
      assert.isAbove(left[0]!.count, 0, "it was killed in the middle")
      yield* installation.query((sql, table) =>
        sql`update ${table("encryption_rotations")} set lease_until = lease_until - interval '90 seconds'`
      )

      service = yield* installation.start(env)
      // The command joins the one that is under way.
      const { code, output } = yield* runToEnd(["keys", "rotate-encryption"], {
        MAILFLEET_URL: service.url,
        MAILFLEET_API_KEY: installation.adminKey,
      })
      assert.strictEqual(code, 0, output)
      assert.include(output, "may be removed from MAILFLEET_ENCRYPTION_KEYS of every process: k1")
      const done = yield* rotation(service)
      assert.deepInclude(done, { state: "completed", total: grants, processed: grants, removable: ["k1"] })
      yield* service.stop

      yield* installation.query((sql) =>
        Effect.gen(function* () {
          const database = yield* openDatabase(sql)
          const context = yield* Effect.provideService(processWith(keysOf("k2")), Database, database)
          const vault = yield* Effect.provideContext(Vault, context)
          const rows = yield* sql<{ id: string; secret: Uint8Array }>`select id, secret from ${database.tables.grants}`
          assert.lengthOf(rows, grants)
          for (const { id, secret } of rows) {
            assert.strictEqual(Redacted.value(yield* vault.open(`grant:${id}`, secret)), `token of ${id}`)
          }
        }).pipe(Effect.scoped, Effect.orDie)
      )
    }).pipe(Effect.scoped), 60_000)
})
