/** The client of promises against the server. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { createClient, Problems } from "../../src/client.ts"
import { newId } from "../../src/domain/Ids.ts"
import { onDatabases } from "../support/databases.ts"
import { adminKey, clientId, csv, refreshToken, Server, server } from "../server/stack.ts"

type Client = ReturnType<typeof createClient>

/** A program without Effect, on a client whose `fetch` is the server's handler. */
const withClient = (program: (client: Client) => Promise<void>, apiKey = adminKey) =>
  Effect.flatMap(Server, ({ handler }) =>
    Effect.promise(async () => {
      await using client = createClient({
        url: "http://mailfleet.test",
        apiKey,
        fetch: (input, init) => handler(new Request(input, init)),
      })
      await program(client)
    }))

/** What a call is rejected with. */
const rejection = (call: Promise<unknown>): Promise<unknown> =>
  call.then(() => assert.fail("it was not rejected"), (error) => error)

await onDatabases("createClient", server, (it) => {
  it.effect("imports a file, waits for its run and lists what came of it", () =>
    withClient(async (client) => {
      const file = csv(Array.from({ length: 30 }, (_, index) => [`p${index}@promise.example`, "ok"] as const))
      const run = await client.import(file, { tags: ["promise"] })
      assert.deepInclude(run, { kind: "import", total: 30 })
      assert.instanceOf(run.createdAt, Date)
      assert.deepInclude(await client.runs.ended(run), { state: "completed", succeeded: 30 })
      const states: Array<string> = []
      for await (const { state } of client.runs.watch(run)) states.push(state)
      assert.strictEqual(states.at(-1), "completed")

      const emails: Array<string> = []
      for await (const { email } of client.accounts.all({ tag: "promise" })) emails.push(email)
      assert.strictEqual(new Set(emails).size, 30)
      const { items, nextCursor } = await client.accounts.list({ tag: "promise", limit: 10 })
      assert.strictEqual(items.length, 10)
      const next = await client.accounts.list({ tag: "promise", limit: 10, cursor: nextCursor ?? "" })
      assert.notStrictEqual(next.items[0]?.id, items[0]?.id)
    }))

  it.effect("takes and gives secrets as texts, and times as dates", () =>
    withClient(async (client) => {
      const account = await client.accounts.add({
        email: `${newId()}@promise.example`,
        clientId,
        refreshToken: refreshToken("ok"),
      })
      assert.strictEqual(account.status, "active")
      const { accessToken, expiresAt } = await client.accessToken(account.id, { minValidity: "5 minutes" })
      assert.match(accessToken, /^CANARY-access-/)
      assert.isAbove(expiresAt.getTime(), account.createdAt.getTime())
      const run = await client.refresh({ filter: { tag: "nobody", refreshedBefore: new Date() } })
      assert.strictEqual(run.total, 0)
      const app = await client.apps.add({
        provider: "google",
        clientId: `1-${newId()}.apps.googleusercontent.com`,
        secret: "CANARY secret",
        secretExpiresAt: new Date("2027-01-31"),
      })
      assert.deepInclude(app, { hasSecret: true })
      assert.strictEqual((await client.policies.set("promise-vip", "warm")).policy, "warm")
      assert.isTrue(await client.policies.unset("promise-vip"))
      assert.isFalse(await client.policies.unset("promise-vip"))
    }))

  it.effect("says undefined of what is not there, and is rejected with the problems of the API", () =>
    withClient(async (client) => {
      assert.isUndefined(await client.accounts.get("nothing"))
      assert.isUndefined(await client.messages.get("nothing"))
      assert.isFalse(await client.accounts.remove("nothing"))
      assert.isUndefined(await client.accounts.patch("nothing", { tags: ["x"] }))
      assert.instanceOf(await rejection(client.runs.ended({ id: "nothing" })), Problems.NotFound)
      assert.instanceOf(await rejection(client.import("")), Problems.ImportRefused)
      assert.instanceOf(await rejection(client.accounts.list({ cursor: "x" })), Problems.InvalidCursor)
      const wrong = await rejection(client.accessToken("x", { minValidity: "soon" }))
      assert.instanceOf(wrong, Problems.InvalidRequest)
      const email = `${newId()}@promise.example`
      const { id } = await client.accounts.add({ email, clientId, refreshToken: refreshToken("ok") })
      const duplicate = await rejection(client.accounts.add({ email, clientId, refreshToken: refreshToken("ok") }))
      assert.deepInclude(duplicate, { code: "duplicate_account", accountId: id })
    }))

  it.effect("follows the change log for as long as it is wanted", () =>
    withClient(async (client) => {
      const { id } = await client.accounts.add({
        email: `${newId()}@promise.example`,
        clientId,
        refreshToken: refreshToken("ok"),
      })
      const { items } = await client.changes.list({ limit: 500 })
      const before = items.at(-1)
      await client.accounts.patch(id, { status: "disabled" })
      for await (const change of client.followChanges(before === undefined ? {} : { after: before.position })) {
        assert.isTrue(change.position > (before?.position ?? ""))
        assert.instanceOf(change.at, Date)
        if (change.accountId === id) break
      }
    }))

  it.effect("is refused with a wrong key", () =>
    withClient(async (client) => {
      assert.instanceOf(await rejection(client.stats()), Problems.Unauthorized)
      assert.instanceOf(await rejection(client.import("x")), Problems.Unauthorized)
    }, "CANARY-wrong"))
})
