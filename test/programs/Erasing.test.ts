/** Deleted accounts: nothing of them is left, whoever finishes the work, and a receipt stays. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { Erasing } from "../../src/programs/Erasing.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { Database } from "../../src/storage/Database.ts"
import { Erasures } from "../../src/storage/Erasures.ts"
import { grantOwner } from "../../src/storage/grants/Grants.ts"
import { Changes } from "../../src/storage/mail/Changes.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { onDatabases } from "../support/databases.ts"

/** What the provider answers; set by a test. */
let answer: (request: Request) => Promise<Response> = () => Promise.resolve(new Response(null, { status: 503 }))

const settings = Settings.layerWith({
  encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
  googleTokenUrl: "http://provider.test/google/token",
}).pipe(Layer.orDie)

const layer = Erasing.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(Accounts.layer, Audit.layer, Changes.layer, Erasures.layer, Messages.layer, Vault.layerConfigured),
  ),
  Layer.provide(settings),
  Layer.provide(Layer.succeed(FetchHttpClient.Fetch, (input, init) => answer(new Request(input as string, init)))),
  Layer.orDie,
)

interface Given {
  readonly provider?: "google" | "microsoft"
  readonly token?: string
  readonly grantId?: string
  readonly messages?: number
}

await onDatabases("Erasing", layer, (it) => {
  /** An account with something in every table that can name it. */
  const addAccount = Effect.fnUntraced(function* (given: Given = {}) {
    const { sql, tables: t } = yield* Database
    const { grantId = newId(), messages = 10, provider = "microsoft", token = `secret-${newId()}` } = given
    const [id, appId, runId, folderId] = [newId(), newId(), newId(), newId()]
    const email = `Person-${id}@example.com`
    const subject = `subject-${id}`
    if (given.grantId === undefined) {
      const sealed = (yield* Vault).seal(grantOwner(grantId), token)
      yield* sql`insert into ${t.apps} (id, provider, client_id, tenant) values (${appId}, ${provider}, ${appId}, 'common')`
      yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, subject)
        values (${grantId}, ${appId}, ${sealed}, '\\x00', ${subject})`
      yield* sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at) values (${grantId}, 'graph', '\\x00', now())`
    }
    yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
      values (${id}, ${provider}, ${email}, ${email.toLowerCase()}, 'graph', ${grantId}, 'active')`
    yield* sql`insert into ${t.folders} (account_id, id, remote_id, display_name) values (${id}, ${folderId}, 'inbox', 'Inbox')`
    yield* sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients, cc_recipients,
        bcc_recipients, reply_to, is_read, is_draft, is_flagged, importance, categories, has_attachments, preview)
      select ${id}, gen_random_uuid(), n::text, ${folderId}, 1, 'to ' || ${email}::text, '[]', '[]', '[]', '[]', true, false, false,
        'normal', '{}', false, '' from generate_series(1, ${messages}::int) n`
    yield* sql`insert into ${t.message_index} (account_id, message_id, received_at, wants_body)
      select account_id, id, now(), false from ${t.messages} where account_id = ${id}`
    yield* sql`insert into ${t.message_bodies} (account_id, message_id, body_text)
      select account_id, id, 'for ' || ${email}::text from ${t.messages} where account_id = ${id}`
    yield* sql`insert into ${t.changes} (account_id, kind, origin) select ${id}, 'message.created', 'live'
      from generate_series(1, ${messages}::int)`
    yield* sql`insert into ${t.runs} (id, kind, state, trigger) values (${runId}, 'import', 'completed', 'api')`
    yield* sql`insert into ${t.run_items} (run_id, position, email, account_id, dedup_key, outcome, error_message) values
      (${runId}, 1, ${email}, ${id}, ${`${provider}:${email.toLowerCase()}`}, 'succeeded', null),
      (${runId}, 2, ${email.toUpperCase()}, null, null, 'failed', ${`no ${email}`}),
      (${runId}, 3, 'somebody@else.example', null, null, 'failed', null)`
    yield* sql`insert into ${t.events} (kind, subject, message) values
      ('account.needs_reauth', ${id}, ${email}), ('grant.ending', ${grantId}, ${email})`
    yield* sql`insert into ${t.connect_sessions} (id, kind, app_id, expected_email, link_hash, connected_account_id, grant_id, expires_at)
      select gen_random_uuid(), 'sign_in', app_id, ${email}, decode(md5(${id}), 'hex'), ${id}, ${grantId}, now()
      from ${t.grants} where id = ${grantId}`
    yield* sql`insert into ${t.audit} (actor, action, account_id, grant_id, outcome) values ('old', 'access_token', ${id}, ${grantId}, 'issued')`
    yield* (yield* Audit).record({ actor: "admin", action: "mail.message", accountId: id, grantId, outcome: "ok" })
    return { id, email, grantId, runId, subject }
  })

  /** The tables that hold a text, in whatever column. */
  const tablesWith = Effect.fnUntraced(function* (text: string) {
    const { schema, sql } = yield* Database
    const tables = yield* sql<{ name: string }>`select table_name as name from information_schema.tables
      where table_schema = ${schema} order by 1`
    const found: Array<string> = []
    for (const { name } of tables) {
      const rows = yield* sql`select 1 from ${sql(`${schema}.${name}`)} x where x::text ilike ${`%${text}%`} limit 1`
      if (rows.length > 0) found.push(name)
    }
    return found
  })

  /** Those who were writing while accounts were deleted have ended. */
  const aMinuteLater = Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    yield* sql`update ${t.erasures} set settle_at = now(), revoke_at = null where finished_at is null`
  })

  const erase = Effect.fnUntraced(function* (id: string) {
    return Option.getOrThrow(yield* (yield* Accounts).erase(id))
  })

  const receipt = Effect.fnUntraced(function* (id: string) {
    return Option.getOrThrow(yield* (yield* Erasures).get(id))
  })

  it.effect("leaves nothing of an account in any table, and everything of the others", () =>
    Effect.gen(function* () {
      const erasing = yield* Erasing
      const changes = yield* Changes
      const messages = yield* Messages
      const other = yield* addAccount()
      const one = yield* addAccount({ messages: 2_300 })
      const begin = yield* changes.list({ limit: 500 })
      assert.isAbove((yield* tablesWith(one.email)).length, 4)
      const held = yield* messages.list({ accountId: one.id, limit: 1 })

      const id = yield* erase(one.id)
      assert.isTrue(Option.isNone(yield* (yield* Accounts).erase(one.id)))
      // Gone for readers at once, whatever is stored still.
      assert.isTrue(Option.isNone(yield* (yield* Accounts).get(one.id)))
      assert.isTrue(Option.isNone(yield* messages.get(held.items[0]!.id)))
      assert.deepStrictEqual((yield* messages.list({ accountId: one.id, limit: 5 })).items, [])
      assert.isTrue((yield* messages.list({ limit: 500 })).items.every(({ accountId }) => accountId !== one.id))
      assert.deepInclude({ ...(yield* receipt(id)) }, { state: "running", grant: "deleted", revocation: "unsupported" })

      yield* erasing.work
      assert.deepInclude({ ...(yield* receipt(id)) }, { state: "running" })
      yield* aMinuteLater
      yield* erasing.work
      const { erased, finishedAt, state, subject } = yield* receipt(id)
      assert.strictEqual(state, "completed")
      assert.isNotNull(finishedAt)
      assert.deepStrictEqual(erased, {
        messages: 2_300,
        bodies: 2_300,
        folders: 1,
        changes: 2_300,
        runItems: 2,
        events: 2,
        connectSessions: 1,
        auditEntries: 1,
      })
      for (const text of [one.id, one.email, one.subject, one.grantId]) {
        assert.deepStrictEqual(yield* tablesWith(text), [], text)
      }
      // The log still says that somebody's mail was read, and is whole; nobody can tell whose.
      const entries = (yield* (yield* Audit).list({ limit: 500 })).items.filter((entry) => entry.subject === subject)
      assert.deepStrictEqual(entries.map(({ accountId, action }) => [action, accountId]), [["mail.message", undefined]])
      assert.deepStrictEqual((yield* (yield* Audit).list({ limit: 500, accountId: one.id })).items, [])

      assert.strictEqual((yield* messages.list({ accountId: other.id, limit: 500 })).items.length, 10)
      assert.includeMembers(yield* tablesWith(other.email), [
        "accounts",
        "connect_sessions",
        "events",
        "messages",
        "run_items",
      ])
      const rest = yield* changes.list({ limit: 500, after: begin.items[2]!.position })
      assert.deepStrictEqual(rest.items.map(({ accountId }) => accountId), Array.from({ length: 7 }, () => other.id))
      // A reader in the midst of what is gone goes on without a fault.
      assert.deepStrictEqual((yield* changes.list({ limit: 500, after: begin.items[400]!.position })).items, [])
    }))

  it.effect("is finished by whoever goes on, each piece once, and waits for runs that have the account before them", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const accounts = yield* Effect.forEach(Array.from({ length: 4 }), () => addAccount({ messages: 1_200 }))
      const waiting = accounts[0]!
      yield* sql`update ${t.runs} set state = 'running' where id = ${waiting.runId}`
      yield* sql`update ${t.run_items} set outcome = 'pending' where run_id = ${waiting.runId} and position = 1`
      const ids = yield* Effect.forEach(accounts, ({ id }) => erase(id))
      // It is left in the midst of it. What a kill does is in test/crash/erasing.test.ts.
      const { purgeSome } = yield* Erasures
      yield* purgeSome
      yield* purgeSome
      yield* aMinuteLater
      const another = Effect.flatMap(Erasing, ({ work }) => work)
      yield* Effect.all([another, another, another], { concurrency: 3 })
      const states = Effect.forEach(ids, (id) => Effect.map(receipt(id), ({ state }) => state))
      assert.deepStrictEqual(yield* states, ["running", "completed", "completed", "completed"])
      assert.deepStrictEqual((yield* Effect.forEach(ids, receipt)).map(({ erased }) => erased.messages), [
        1_200,
        1_200,
        1_200,
        1_200,
      ])

      yield* sql`update ${t.run_items} set outcome = 'failed' where run_id = ${waiting.runId} and position = 1`
      yield* sql`update ${t.runs} set state = 'completed' where id = ${waiting.runId}`
      // What the run has left is found, and after another minute nothing is.
      yield* another
      yield* aMinuteLater
      yield* another
      assert.deepStrictEqual(yield* states, ["completed", "completed", "completed", "completed"])
      for (const { email, id } of accounts) {
        assert.deepStrictEqual([yield* tablesWith(id), yield* tablesWith(email)], [[], []])
      }
    }))

  it.effect("keeps a grant that another account is read by", () =>
    Effect.gen(function* () {
      const one = yield* addAccount({ provider: "google" })
      const other = yield* addAccount({ provider: "google", grantId: one.grantId })
      const id = yield* erase(one.id)
      yield* aMinuteLater
      yield* (yield* Erasing).work
      assert.deepInclude({ ...(yield* receipt(id)) }, { state: "completed", grant: "kept", revocation: "not_needed" })
      assert.include(yield* tablesWith(other.grantId), "grants")
    }))

  it.effect("hands a refresh token back to Google, again and again until it takes it, and for a day at the most", () =>
    Effect.gen(function* () {
      const simulator = yield* make({ accounts: 2, googleAccounts: 2, latency: "0 millis" })
      const tokens = [...simulator.importLines({ format: "csv" })].slice(1).map((line) => line.split(",")[2]!.trim())
      const [refused, taken, dead] = [
        yield* addAccount({ provider: "google", token: tokens[0]! }),
        yield* addAccount({ provider: "google", token: tokens[1]! }),
        yield* addAccount({ provider: "google", token: tokens[1]! }),
      ]
      const erasing = yield* Erasing
      answer = () => Promise.resolve(new Response("busy", { status: 503 }))
      const first = yield* erase(refused.id)
      yield* aMinuteLater
      yield* erasing.work
      assert.deepInclude({ ...(yield* receipt(first)) }, { state: "running", revocation: "pending" })
      const { sql, tables: t } = yield* Database
      yield* sql`update ${t.erasures} set requested_at = requested_at - interval '21 hours' where id = ${first}`
      yield* aMinuteLater
      yield* erasing.work
      assert.deepInclude({ ...(yield* receipt(first)) }, { state: "completed", revocation: "failed" })

      answer = (request) => simulator.handler(request)
      // The second of them has been revoked with the first.
      const ids = [yield* erase(taken.id), yield* erase(dead.id)]
      yield* aMinuteLater
      yield* erasing.work
      assert.deepStrictEqual(
        (yield* Effect.forEach(ids, receipt)).map(({ revocation, state }) => [state, revocation]),
        [
          ["completed", "revoked"],
          ["completed", "revoked"],
        ],
      )
      assert.strictEqual(simulator.grants({ revoked: true }).length, 1)
    }))
})
