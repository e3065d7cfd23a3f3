/** Rotations of the encryption key, on both engines: nothing is lost, and what is no longer needed is said. */
import { assert } from "@effect/vitest"
import { Context, Effect, Fiber, Logger, Schedule } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { SettingsError } from "../../src/domain/Settings.ts"
import { keyNamedIn } from "../../src/oauth/Cipher.ts"
import { GrantStore } from "../../src/oauth/GrantStore.ts"
import { KeyRing } from "../../src/oauth/KeyRing.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { RotateEncryption } from "../../src/programs/RotateEncryption.ts"
import { Database } from "../../src/storage/Database.ts"
import { sealedColumns } from "../../src/storage/encryption/SealedValues.ts"
import { addAccount, grantOf, importAgain, process, Script } from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"
import { keysOf, olderProcessWith, processWith, rotate } from "../support/keys.ts"

/** A fleet whose secrets an older version has sealed by `k1` itself, in a database without data keys. */
const olderFleet = Effect.fnUntraced(function* (size: number) {
  const { sql, tables: t } = yield* Database
  yield* sql`truncate ${t.apps}, ${t.webhooks}, ${t.data_keys}, ${t.encryption_rotations} cascade`
  const older = yield* olderProcessWith(keysOf("k1"))
  const members = yield* Effect.forEach(Array.from({ length: size }), () => addAccount()).pipe(
    Effect.provideContext(older),
  )
  // One of each other kind.
  const vault = Context.get(older, Vault)
  const appId = (yield* sql<{ id: string }>`select id from ${t.apps} order by id limit 1`)[0]!.id
  yield* sql`update ${t.apps} set secret = ${vault.seal(`app:${appId}`, "secret")},
    private_key = ${vault.seal(`app:${appId}:key`, "private key")} where id = ${appId}`
  const webhookId = newId()
  yield* sql`insert into ${t.webhooks} (id, url, description, origins, secret, previous_secret, change_cursor, event_cursor)
    values (${webhookId}, 'https://example.com', '', '{live}', ${vault.seal(`webhook:${webhookId}`, "new")},
      ${vault.seal(`webhook:${webhookId}`, "old")}, 0, 0)`
  return { members, older }
})

const formats = Effect.fnUntraced(function* () {
  const { sql, tables: t } = yield* Database
  const found = new Set<string>()
  for (const { column, table } of sealedColumns) {
    const rows = yield* sql<{ secret: Uint8Array }>`select ${sql(column)} as secret from ${t[table]}
      where ${sql(column)} is not null`
    for (const { secret } of rows) found.add(`${keyNamedIn(secret).format}:${keyNamedIn(secret).id}`)
  }
  return [...found].toSorted()
})

await onDatabases("RotateEncryption", Logger.layer([]), (it, engine) => {
  it.effect("knows every column that may hold a sealed value", () =>
    Effect.gen(function* () {
      const { schema, sql } = yield* Database
      const rows = yield* sql<{ name: string }>`select table_name || '.' || column_name as name
        from information_schema.columns where table_schema = ${schema} and data_type = 'bytea' order by name`
      const sealed = sealedColumns.map(({ column, table }) => `${table}.${column}`)
      assert.deepStrictEqual(rows.map(({ name }) => name).filter((name) => !sealed.includes(name)), [
        "api_keys.hash",
        "audit.hash",
        "audit_subjects.key",
        "connect_sessions.browser_hash",
        "connect_sessions.link_hash",
        "connect_sessions.state_hash",
        "dashboard_sessions.admin_mac",
        "dashboard_sessions.hash",
        "data_keys.wrapped",
        "grant_tokens.hash",
        "grants.token_hash",
        "subscriptions.client_state",
      ])
    }))

  it.effect("seals anew what an older version sealed; the old key goes, and past tokens are recognised", () =>
    Effect.gen(function* () {
      const { members, older } = yield* olderFleet(3)
      const [member] = members
      const first = member!
      // Its first token is a past one from now on.
      const script = new Script()
      const tokens = yield* Effect.provideContext(process(script), older)
      yield* tokens.refresh(first.grantId, "graph")
      const link = Context.get(older, Vault).mac("reconnect", first.id)

      const upgraded = yield* processWith(keysOf("k1"))
      assert.deepStrictEqual(yield* formats(), ["1:k1"], "an upgrade changes nothing")
      assert.deepStrictEqual((yield* Context.get(upgraded, RotateEncryption).progress).keysInUse, ["k1"])

      const { sql, tables: t } = yield* Database
      yield* sql`update ${t.apps} set private_key = set_byte(private_key, 30, get_byte(private_key, 30) # 1)
        where private_key is not null`

      const both = yield* processWith(keysOf("k2", "k1"))
      const rotation = yield* rotate(both)
      assert.strictEqual(rotation.state, "completed")
      assert.deepStrictEqual(rotation.keysInUse, ["k2"])
      assert.deepStrictEqual(rotation.removable, ["k1"])
      assert.strictEqual(rotation.unreadable, 1, "what was altered is left, and counted")
      assert.strictEqual(rotation.processed, rotation.total)
      assert.deepStrictEqual(yield* formats(), ["1:k1", "2:d1"])

      const without = yield* processWith(keysOf("k2"))
      const vault = Context.get(without, Vault)
      assert.isTrue(vault.hasMac("reconnect", first.id, link), "links that were sent work on")
      const stored = yield* Effect.forEach(members, grantOf).pipe(Effect.provideContext(without))
      assert.deepStrictEqual(stored.map(({ refreshToken }) => refreshToken), [
        `${first.name}.2`,
        ...members.slice(1).map(({ name }) => `${name}.1`),
      ])
      yield* importAgain(first, `${first.name}.1`).pipe(Effect.provideContext(without))
      assert.strictEqual(
        (yield* Effect.provideContext(grantOf(first), without)).refreshToken,
        `${first.name}.2`,
        "a past token is not put back",
      )

      // A process that was started before reads what it has not seen the key of.
      assert.strictEqual(
        (yield* Effect.provideContext(grantOf(first), upgraded).pipe(Effect.exit))._tag,
        "Failure",
        "but for one without the key",
      )
      assert.strictEqual((yield* Effect.provideContext(grantOf(first), both)).version, 2)
    }))

  it.effect("never puts back a token that was replaced meanwhile", () =>
    Effect.gen(function* () {
      const { members } = yield* olderFleet(40)
      const both = yield* processWith(keysOf("k2", "k1"))
      const script = new Script()
      const tokens = yield* Effect.provideContext(process(script), both)
      const storm = yield* Effect.forEach(members, ({ grantId }) => tokens.refresh(grantId, "graph"), {
        concurrency: 10,
      })
        .pipe(Effect.repeat(Schedule.forever), Effect.forkChild)
      yield* rotate(both)
      yield* Fiber.interrupt(storm)
      // What is under way goes on to its commit.
      yield* Effect.sleep("300 millis")
      const without = yield* processWith(keysOf("k2"))
      for (const member of members) {
        const sent = script.tokensOf(member.name).map((token) => Number(token.split(".")[1]))
        const { refreshToken } = yield* Effect.provideContext(grantOf(member), without)
        assert.strictEqual(Number(refreshToken.split(".")[1]), Math.max(...sent) + 1)
        assert.strictEqual(new Set(sent).size, sent.length, "no token was sent twice")
      }
      assert.deepStrictEqual(yield* formats(), ["2:d1"])
    }))

  it.effect("goes from data key to data key; other processes follow", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      yield* sql`truncate ${t.apps}, ${t.webhooks}, ${t.data_keys}, ${t.encryption_rotations} cascade`
      const first = yield* processWith(keysOf("k1"))
      const second = yield* processWith(keysOf("k1"))
      const member = yield* Effect.provideContext(addAccount(), first)
      assert.deepStrictEqual(yield* formats(), ["2:d1"], "a new fleet has a data key from its start")
      assert.strictEqual((yield* rotate(first)).state, "completed")
      assert.deepStrictEqual(yield* formats(), ["2:d2"])
      assert.strictEqual((yield* Effect.provideContext(grantOf(member), second)).refreshToken, `${member.name}.1`)
      yield* Effect.sync(() => Context.get(second, KeyRing).sealing().id).pipe(
        Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (id) => id === "d2" }),
      )
      const leased = yield* Context.get(second, GrantStore).lease([member.grantId])
      assert.strictEqual(leased[0]?._tag, "Leased")
    }))

  it.effect("a start without a key that is needed, or with another one of its name, is refused in one line", () =>
    Effect.gen(function* () {
      yield* olderFleet(1)
      yield* processWith(keysOf("k2", "k1"))
      const missing = yield* Effect.flip(processWith(keysOf("k2")))
      assert.instanceOf(missing, SettingsError)
      assert.match(missing.message, /^MAILFLEET_ENCRYPTION_KEYS lacks k1, which stored secrets need: .*$/)
      const { sql, tables: t } = yield* Database
      yield* sql`delete from ${t.data_keys} where use = 'direct'`
      const other = yield* Effect.flip(
        processWith(keysOf("k2").replace(btoa("k2".padEnd(32, "-")), btoa("x".repeat(32)))),
      )
      assert.instanceOf(other, SettingsError)
      assert.match(other.message, /^the key k2 of MAILFLEET_ENCRYPTION_KEYS is another one than .*$/)
      assert.notInclude(other.message, btoa("x".repeat(32)))
    }))

  it.effect("a command wraps the keys in the place of a configured one", () =>
    Effect.gen(function* () {
      const { members } = yield* olderFleet(2)
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => Deno.makeTempDir()),
        (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
      )
      const write = (name: string, script: string) =>
        Effect.promise(async () => {
          await Deno.writeTextFile(`${folder}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o700 })
          return `${folder}/${name}`
        })
      // As a program that asks a key management service: base64 in, base64 out, by a secret that is not ours.
      const command = yield* write(
        "keys",
        `test -z "$MAILFLEET_ENCRYPTION_KEYS$DATABASE_URL" || exit 9
flag=$(test "$1" = unwrap && echo -d)
base64 -d | openssl enc -aes-256-cbc -pbkdf2 $flag -pass pass:theirs | base64 -w0`,
      )
      const moving = yield* processWith(keysOf("k1"), command)
      const { keysInUse, removable } = yield* rotate(moving)
      assert.deepStrictEqual({ keysInUse, removable }, { keysInUse: ["command"], removable: ["k1"] })
      const after = yield* processWith("", command)
      for (const member of members) {
        assert.strictEqual((yield* Effect.provideContext(grantOf(member), after)).refreshToken, `${member.name}.1`)
      }
      const without = yield* Effect.flip(processWith(keysOf("k1")))
      assert.strictEqual(without.message, "MAILFLEET_KEY_COMMAND must be set: it wraps the keys of stored secrets")

      // The way back takes as long again on an engine that other processes may be on.
      if (engine === "embedded") {
        const back = yield* rotate(yield* processWith(`${keysOf("k3")},command`, command))
        assert.deepStrictEqual(back.keysInUse, ["k3"])
        yield* rotate(yield* processWith(keysOf("k3"), command))
      }

      const refused = (script: string, name: string) =>
        Effect.map(
          Effect.flatMap(write(name, script), (path) => Effect.flip(processWith("", path))),
          ({ message }) => message,
        )
      assert.include(yield* refused("echo CANARY >&2; exit 3", "failing"), "failed to unwrap a key: it ended with 3")
      assert.notInclude(yield* refused("echo CANARY >&2; exit 3", "failing"), "CANARY")
      assert.include(yield* refused("echo 'not base64!'", "wrong"), "must answer unwrap with base64")
      assert.include(
        (yield* Effect.flip(processWith("", `${folder}/none`))).message,
        "MAILFLEET_KEY_COMMAND cannot be run",
      )
    }), 20_000)
})
