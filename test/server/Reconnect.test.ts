/** Reconnect links over HTTP: a look at one does nothing, its button leads to the provider, while somebody must sign in. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, logged, raw, refused, server, taken } from "./stack.ts"

const accountOf = (id: string) => taken(Account, 200, `/v1/accounts/${id}`)

/** The path of the link of a dead account. */
const deadLink = Effect.fnUntraced(function* (email: string) {
  const { id } = yield* addAccount(email, "needs_user")
  const { reconnectUrl = "" } = yield* accountOf(id)
  return { id, path: new URL(reconnectUrl).pathname }
})

const open = Effect.fnUntraced(
  function* (path: string, method: "GET" | "POST" = "GET", headers: Record<string, string> = {}) {
    const response = yield* raw(path, { key: null, method, headers })
    return { response, text: yield* Effect.promise(() => response.text()) }
  },
)

const sessionsOf = Effect.fnUntraced(function* (id: string) {
  const { sql, tables: t } = yield* Database
  const rows = yield* sql<{ count: number }>`select count(*)::int as count from ${t.connect_sessions}
    where account_id = ${id}`
  return rows[0]!.count
}, orDie)

await onDatabases("Reconnect", server, (it) => {
  it.effect("the page of a dead account says who is to sign in, and makes nothing", () =>
    Effect.gen(function* () {
      const { id, path } = yield* deadLink("dead@reconnect.example")
      for (let time = 0; time < 20; time++) {
        const { response, text } = yield* open(path)
        assert.strictEqual(response.status, 200)
        assert.match(text, /<form method="post"/)
        assert.include(text, "dead@reconnect.example")
      }
      assert.strictEqual(yield* sessionsOf(id), 0)
      for (
        const [language, words] of [["de", "Weiter zu Microsoft"], ["zh", "Microsoft"], ["en", "Continue to Microsoft"]]
      ) {
        const { response, text } = yield* open(path, "GET", { "accept-language": language! })
        assert.include(text, words!)
        assert.match(response.headers.get("content-language") ?? "", new RegExp(`^${language}`))
      }
      yield* refused(405, "method_not_allowed", path, { method: "PUT", key: null })
    }))

  it.effect("its button opens a session for the account, and only so many", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { id, path } = yield* deadLink("many@reconnect.example")
      const answers = yield* Effect.forEach(Array.from({ length: 9 }), () => open(path, "POST"), {
        concurrency: "unbounded",
      })
      assert.deepStrictEqual(
        answers.map(({ response }) => response.status).sort(),
        [303, 303, 303, 303, 303, 429, 429, 429, 429],
      )
      const { response } = answers.find(({ response }) => response.status === 303)!
      assert.strictEqual(new URL(response.headers.get("location")!).origin, "https://login.microsoftonline.com")
      assert.strictEqual(yield* sessionsOf(id), 5)
      // They end by themselves, and then there is room again.
      yield* orDie(sql`update ${t.connect_sessions} set expires_at = now() where account_id = ${id}`)
      assert.strictEqual((yield* open(path, "POST")).response.status, 303)
      // From a page of another site it is a page like any other.
      const foreign = yield* open(path, "POST", { "sec-fetch-site": "cross-site" })
      assert.strictEqual(foreign.response.status, 200)
      assert.strictEqual(yield* sessionsOf(id), 6)
    }))

  it.effect("where nobody has to sign in again, a link does nothing", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { id, path } = yield* deadLink("cured@reconnect.example")
      for (const status of ["active", "blocked", "disabled", "pending"]) {
        yield* orDie(sql`update ${t.accounts} set status = ${status} where id = ${id}`)
        for (const method of ["GET", "POST"] as const) {
          const { response, text } = yield* open(path, method)
          assert.strictEqual(response.status, 200)
          assert.include(text, "This mailbox is connected")
          assert.notInclude(text, "<form")
          assert.notInclude(text, "reconnect.example")
        }
        assert.notProperty(yield* accountOf(id), "reconnectUrl")
      }
      assert.strictEqual(yield* sessionsOf(id), 0)
    }))

  it.effect("links that were made up, and those of accounts that are gone, lead nowhere", () =>
    Effect.gen(function* () {
      const { id, path } = yield* deadLink("forged@reconnect.example")
      const other = yield* deadLink("other@reconnect.example")
      const mac = path.split(".").at(-1)!
      yield* raw(`/v1/accounts/${other.id}`, { method: "DELETE" })
      for (
        const forged of [
          `/reconnect/${other.id}.${mac}`,
          `/reconnect/${id}`,
          `/reconnect/${id}.`,
          `/reconnect/${id}.${"A".repeat(22)}`,
          "/reconnect/x",
          `/reconnect/${"x".repeat(5_000)}`,
          other.path,
        ]
      ) {
        for (const method of ["GET", "POST"] as const) {
          assert.strictEqual((yield* open(forged, method)).response.status, 404, `${method} ${forged}`)
        }
      }
      assert.strictEqual(yield* sessionsOf(id), 0)
    }))

  it.effect("no log line holds a link", () =>
    Effect.gen(function* () {
      const { path } = yield* deadLink("quiet@reconnect.example")
      yield* open(path)
      yield* open(path, "POST")
      const lines = yield* logged
      assert.isNotEmpty(lines.filter((line) => line.includes("/reconnect/…")))
      assert.deepStrictEqual(lines.filter((line) => line.includes(path.split(".").at(-1)!)), [])
      assert.deepStrictEqual(lines.filter((line) => /reconnect\/[\w-]{8}/.test(line)), [])
    }))
})
